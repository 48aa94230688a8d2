"""What the service makes of usage, over a real engine both ways."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import msgspec
import pytest

from apimetry.middleware.routes import UNMATCHED
from apimetry.query_api.insights.answer import answer_insights
from apimetry.query_api.insights.forecast import Prices
from apimetry.query_api.settings import QuerySettings
from apimetry.query_api.usage.params import parse_window
from apimetry.store.accounts.records import Application, RequestLimits
from tests.support.oracles.query_events import Event, insert_events, random_events
from tests.support.services.query_service import assert_error, running_query_service

NOW = 1_705_765_500
DAY = 86_400
START = NOW - DAY
SHOP = Application("shop", "o" * 24, "Shop", 90, RequestLimits(20, None, 3000), datetime.now(timezone.utc))


def at(second, **fields):
    return Event(timestamp=second * 1_000_000, **fields)


def insights(store, *parameters, application=SHOP):
    prices = Prices("0.001", "0.000001")
    answer = answer_insights(parse_window(parameters, NOW), application, prices=prices, ask=store.ask, now=NOW)
    answer = msgspec.to_builtins(answer)
    assert answer["success"] is True
    return answer["insights"]


def busy_day():
    """A first half of fast requests; a second one with more of them, slow ones and errors."""
    busy = NOW - 3600
    return [
        at(START + 60, route="/fast", response_us=20_000, sample_weight=900, consumer_id="a"),
        at(busy, route="/fast", response_us=20_000, sample_weight=900, consumer_id="a"),
        at(busy, route="/slow", response_us=900_000, sample_weight=300, consumer_id="b"),
        at(busy, route="/slow", response_us=900_000, sample_weight=100, consumer_id="b", method="POST"),
        at(busy, route="/broken", response_us=1000, sample_weight=94, consumer_id="b"),
        at(busy + 60, route="/broken", response_us=1000, sample_weight=6, status_code=500),
        at(busy + 60, route="/good", response_us=501_000, response_bytes=1_000_000),
    ]


def test_a_busy_day(store):
    insert_events(store, busy_day())
    answer = insights(store)
    assert answer["overview"] == {
        "totalRequests": 2301,
        "successRate": 99.7,
        "averageLatency": 172.4,
        "peakRequests": 1394,
    }
    assert {name: trend["trend"] for name, trend in answer["trends"].items()} == {
        "requestsPerHour": "increasing",
        "latency": "increasing",
        "errorsPerHour": "increasing",
    }
    assert answer["trends"]["requestsPerHour"] == {
        "trend": "increasing",
        "changePercent": 55.7,
        "firstHalf": 75.0,
        "secondHalf": 116.8,
    }
    assert answer["bottlenecks"] == [
        {
            "type": "high_latency",
            "endpoint": "/slow",
            "latency": 900.0,
            "recommendation": "Consider caching or optimizing this endpoint",
        },
        {
            "type": "high_latency",
            "endpoint": "/good",
            "latency": 501.0,
            "recommendation": "Consider caching or optimizing this endpoint",
        },
        {
            "type": "high_error_rate",
            "endpoint": "/broken",
            "successRate": 94.0,
            "recommendation": "Investigate and fix errors in this endpoint",
        },
    ]
    assert answer["alerts"] == []
    assert answer["costs"]["current"] == {"requests": 2.301, "data": 1.0, "total": 3.301}
    assert answer["costs"]["savings"] == {"failedRequests": 0.006, "cacheableRequests": 2.1}
    assert answer["capacity"]["utilization"]["requestsPerDay"] == 76.7
    assert answer["capacity"]["projectedUtilization"]["requestsPerDay"] == 119.4
    caching = answer["optimization"]["caching"]
    assert [(row["endpoint"], row["requests"], row["timePercentage"]) for row in caching] == [
        ("/slow", 300, 68.1),
        ("/fast", 1800, 9.1),
    ]
    batching = [
        (row["keyId"], row["endpoint"], row["requests"], row["requestsPerActiveMinute"])
        for row in answer["optimization"]["batching"]
    ]
    assert batching == [("a", "/fast", 1800, 900.0), ("b", "/slow", 400, 400.0), ("b", "/broken", 94, 94.0)]
    assert answer["optimization"]["rateLimiting"] == [
        {
            "limit": "requestsPerMinute",
            "configured": 20,
            "peak": 1394,
            "recommendation": "Spread requests more evenly, or raise the limit",
        }
    ]
    assert [(row["type"], row["priority"]) for row in answer["recommendations"]] == [
        ("rate_limit_projected", "medium"),
        ("errors_increasing", "medium"),
        ("latency_increasing", "medium"),
        ("caching", "low"),
        ("batching", "low"),
        ("peaks", "low"),
    ]


def test_alerts_lead_the_recommendations(embedded_store):
    insert_events(embedded_store, [at(NOW - 5, status_code=500, response_us=2_000_000, sample_weight=4000)])
    answer = insights(embedded_store)
    assert [row["type"] for row in answer["alerts"]] == ["rate_limit_approaching", "error_rate_high", "latency_high"]
    assert [row["action"] for row in answer["recommendations"][:3]] == [
        "upgrade_plan",
        "investigate_errors",
        "optimize_requests",
    ]
    assert answer["bottlenecks"][-1]["type"] == "rate_limit_approaching"


def test_without_events_there_is_nothing_to_do(embedded_store):
    for parameters in [(), (("timeframe", "all"),), (("method", "GET"),)]:
        answer = insights(embedded_store, *parameters)
        assert answer["bottlenecks"] == answer["alerts"] == answer["recommendations"] == []
        assert set(answer["optimization"]) == {"caching", "batching", "rateLimiting"}
        assert not any(answer["optimization"].values())
        assert {trend["trend"] for trend in answer["trends"].values()} == {"stable"}
        assert set(answer["costs"]["projected"].values()) == {0}


def test_filters_hold_for_every_part(embedded_store):
    insert_events(embedded_store, busy_day())
    answer = insights(embedded_store, ("consumer_id", "b"))
    assert answer["overview"]["totalRequests"] == 494
    assert [row["endpoint"] for row in answer["optimization"]["caching"]] == ["/slow"]
    assert {row["keyId"] for row in answer["optimization"]["batching"]} == {"b"}
    assert insights(embedded_store, ("method", "POST"))["optimization"]["caching"] == []
    assert (
        insights(embedded_store, ("method", "GET"), ("method", "POST"))["optimization"]["caching"][0]["requests"]
        == 300
    )


def test_slow_and_failing_endpoints_are_found_among_thousands(embedded_store):
    rare = [
        at(NOW - 9, route="/slow", response_us=10**7),
        at(NOW - 9, route="/failing", status_code=500, response_us=5),
    ]
    insert_events(
        embedded_store, rare + [at(NOW - 9, route=f"/{i}", response_us=10, sample_weight=9) for i in range(3000)]
    )
    answer = insights(embedded_store, application=replace(SHOP, limits=RequestLimits()))
    assert [row["endpoint"] for row in answer["bottlenecks"]] == ["/slow", "/failing"]


def test_what_matched_no_route_is_no_bottleneck_and_no_candidate(embedded_store):
    names = ["", UNMATCHED, "/real"]
    slow = [at(NOW - 9, route=name, response_us=10**6, sample_weight=50, consumer_id="a") for name in names]
    failing = [at(NOW - 9, route=name, status_code=500, sample_weight=10, consumer_id="a") for name in names]
    insert_events(embedded_store, slow + failing)
    answer = insights(embedded_store, application=replace(SHOP, limits=RequestLimits()))
    assert [(row["type"], row["endpoint"]) for row in answer["bottlenecks"]] == [
        ("high_latency", "/real"),
        ("high_error_rate", "/real"),
    ]
    assert {row["endpoint"] for rows in answer["optimization"].values() for row in rows} <= {"/real"}
    assert [row["endpoint"] for row in answer["optimization"]["batching"]] == ["/real"]


def test_lists_are_bounded_with_the_worst_first(embedded_store):
    events = [at(NOW - 9, route=f"/{i:03}", response_us=10**6 + i * 1000, status_code=500) for i in range(80)]
    events += [at(NOW - 9, route=f"/{i:03}", response_us=10**6 + i * 1000, sample_weight=1 + i) for i in range(80)]
    insert_events(embedded_store, events)
    bottlenecks = insights(embedded_store)["bottlenecks"]
    slow, failing = (
        [row for row in bottlenecks if row["type"] == name] for name in ("high_latency", "high_error_rate")
    )
    assert [row["endpoint"] for row in slow] == [f"/{i:03}" for i in range(79, 69, -1)]
    assert [row["endpoint"] for row in failing] == [f"/{i:03}" for i in range(10)]


def test_requests_without_a_time_are_no_slow_ones(embedded_store):
    """What nobody timed changes no latency: neither means, nor trends, nor who is slow."""
    timed = [at(second, route="/a", response_us=600_000) for second in (START + 60, NOW - 60)]
    insert_events(embedded_store, timed, token="timed")
    before = insights(embedded_store)
    untimed = [
        at(second, route=route, response_us=None, sample_weight=500)
        for second in (START + 60, NOW - 60)
        for route in ("/a", "/b")
    ]
    insert_events(embedded_store, untimed, token="untimed")
    answer = insights(embedded_store)
    assert answer["overview"]["averageLatency"] == before["overview"]["averageLatency"] == 600.0
    assert answer["trends"]["latency"] == before["trends"]["latency"]
    assert answer["capacity"]["current"]["latency"] == answer["capacity"]["projected"]["latency"] == 600.0
    assert [row["endpoint"] for row in answer["bottlenecks"] if row["type"] == "high_latency"] == ["/a"]
    assert [row["timePercentage"] for row in answer["optimization"]["caching"]] == [100.0]


def test_both_halves_are_the_whole(embedded_store):
    insert_events(embedded_store, random_events(5, 500, START, NOW))
    answer = insights(embedded_store, ("start", str(START)), ("end", str(NOW)))
    requests = answer["trends"]["requestsPerHour"]
    assert (requests["firstHalf"] + requests["secondHalf"]) * 12 == pytest.approx(
        answer["overview"]["totalRequests"], abs=2
    )


async def test_the_service_answers_with_its_prices_and_refuses_with_no_success(embedded_store):
    insert_events(embedded_store, [at(NOW - 5, request_bytes=1000)])
    settings = QuerySettings(price_per_request=2, price_per_byte=0)
    async with running_query_service(embedded_store, settings, clock=lambda: NOW) as service:
        answer = await service.answer("/v1/developer/insights")
        assert answer["insights"]["costs"]["current"] == {"requests": 2.0, "data": 0.0, "total": 2.0}
        for query, part in [("?granularity=hour", "'granularity'"), ("?timeframe=x", "timeframe is 'x'")]:
            response = await service.get(f"/v1/developer/insights{query}")
            await assert_error(response, 400, part, success=False)


@pytest.mark.parametrize("name", ["price_per_request", "price_per_byte"])
@pytest.mark.parametrize("price", [-1, float("nan"), float("inf")])
def test_prices_that_are_none_are_refused(name, price):
    with pytest.raises(ValueError, match=name):
        QuerySettings(**{name: price})


def test_batching_is_looked_for_in_the_last_day_among_the_busiest(embedded_store):
    busiest = [at(NOW - 9, consumer_id=f"c{i:03}", sample_weight=1000 + i) for i in range(120)]
    insert_events(embedded_store, [*busiest, at(NOW - 3 * DAY, consumer_id="former", sample_weight=5000)])
    batching = insights(embedded_store, ("timeframe", "7d"))["optimization"]["batching"]
    assert [row["keyId"] for row in batching] == [f"c{i:03}" for i in range(119, 109, -1)]
