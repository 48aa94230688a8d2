"""Usage over a real engine, both ways: a sample, counting by hand, and what must agree."""

from __future__ import annotations

import itertools
import json

import pytest

from apimetry.query_api.usage.reading import MAX_SORTED_BUCKETS
from apimetry.serving.errors import BadRequest
from tests.query_api.usage.asking import DAY, NOW, SHOP, START, at, shape, usage
from tests.support.oracles.query_events import Event, insert_events, random_events
from tests.support.oracles.query_usage import (
    iso,
)
from tests.support.services.query_service import assert_error, running_query_service

SEED = json.loads(
    """{"success": true, "usage": {"totalRequests": 1, "successfulRequests": 1, "failedRequests": 1,
    "successRate": 1.0, "averageLatency": 1.0, "peakLatency": 1.0, "requestsPerMinute": 1.0, "requestsPerHour": 1.0,
    "requestsPerDay": 1.0, "peakRequestsPerMinute": 1, "peakRequestsPerHour": 1, "dataTransferred": 1,
    "averageDataPerRequest": 1}, "timeSeries": [{"timestamp": "", "requests": 1, "successfulRequests": 1,
    "failedRequests": 1, "averageLatency": 1.0, "peakLatency": 1.0, "dataTransferred": 1}], "breakdown": {
    "byEndpoint": [{"endpoint": "", "requests": 1, "successRate": 1.0, "averageLatency": 1.0, "dataTransferred": 1}],
    "byMethod": [{"method": "", "requests": 1, "percentage": 1.0}],
    "byStatusCode": [{"statusCode": 1, "requests": 1, "percentage": 1.0}],
    "byKey": [{"keyId": "", "requests": 1, "percentage": 1.0}]}, "errors": {"totalErrors": 1, "errorRate": 1.0,
    "byType": [{"type": "", "count": 1, "percentage": 1.0, "description": ""}],
    "byEndpoint": [{"endpoint": "", "errors": 1, "percentage": 1.0}],
    "byStatusCode": [{"statusCode": 1, "count": 1, "percentage": 1.0}]}, "rateLimits": {
    "current": {"requestsPerMinute": 1, "requestsPerHour": 1, "requestsPerDay": 1},
    "usage": {"requestsPerMinute": 1.0, "requestsPerHour": 1.0, "requestsPerDay": 1.0},
    "utilization": {"requestsPerMinute": 1.0, "requestsPerHour": 1.0, "requestsPerDay": 1.0}}, "alerts": [
    {"type": "", "message": "", "priority": "", "recommendation": ""}], "pagination": {"total": 1, "limit": 1,
    "offset": 1, "hasMore": true}, "timestamp": ""}"""
)


def sample_events():
    """The developer usage API's sample: 15,420 requests of a day, from 14:00 on, by few events of much weight."""
    scores = {"route": "/v1/scores/:identity", "response_us": 180_000, "response_bytes": 8000}
    identity = {"route": "/v1/identity/:identity", "response_us": 320_000, "request_bytes": 10_000}
    achievements = {"route": "/v1/achievements/:identity", "response_us": 450_000}
    first, second = "key_1234567890abcdef", "key_abcdef1234567890"
    hours = {"timestamp": (NOW - 6300) * 1_000_000}
    return [
        Event(**scores, **hours, consumer_id=first, sample_weight=8380),
        Event(**scores, **hours, consumer_id=first, sample_weight=120, status_code=429),
        Event(**identity, **hours, consumer_id=first, sample_weight=560),
        Event(**identity, **hours, consumer_id=second, sample_weight=3420),
        Event(**identity, **hours, consumer_id=first, sample_weight=80, status_code=429),
        Event(**identity, **hours, consumer_id=first, sample_weight=140, status_code=500),
        Event(
            **achievements, **hours, consumer_id=first, sample_weight=1500, request_bytes=4000, response_bytes=6000
        ),
        Event(**achievements, **hours, consumer_id=first, sample_weight=1220, method="POST"),
    ]


def test_a_sample_has_its_figures(embedded_store):
    insert_events(embedded_store, sample_events())
    answer = usage(embedded_store, application=SHOP)
    assert answer["usage"] == {
        "totalRequests": 15_420,
        "successfulRequests": 15_080,
        "failedRequests": 340,
        "successRate": 97.8,
        "averageLatency": 265.8,
        "peakLatency": 450.0,
        "requestsPerMinute": 10.7,
        "requestsPerHour": 642.5,
        "requestsPerDay": 15_420,
        "peakRequestsPerMinute": 15_420,
        "peakRequestsPerHour": 15_420,
        "dataTransferred": 125_000_000,
        "averageDataPerRequest": 8106,
    }
    breakdown = answer["breakdown"]
    assert [(row["endpoint"], row["requests"], row["averageLatency"]) for row in breakdown["byEndpoint"]] == [
        ("/v1/scores/:identity", 8500, 180.0),
        ("/v1/identity/:identity", 4200, 320.0),
        ("/v1/achievements/:identity", 2720, 450.0),
    ]
    assert [(row["successRate"], row["errors"]) for row in breakdown["byEndpoint"]] == [
        (98.6, 120),
        (94.8, 220),
        (100.0, 0),
    ]
    assert [row["dataTransferred"] for row in breakdown["byEndpoint"]] == [68_000_000, 42_000_000, 15_000_000]
    assert breakdown["byMethod"] == [
        {"method": "GET", "requests": 14_200, "percentage": 92.1},
        {"method": "POST", "requests": 1220, "percentage": 7.9},
    ]
    assert [row["percentage"] for row in breakdown["byStatusCode"]] == [97.8, 1.3, 0.9]
    assert [row["percentage"] for row in breakdown["byKey"]] == [77.8, 22.2]
    errors = answer["errors"]
    assert (errors["totalErrors"], errors["errorRate"]) == (340, 2.2)
    assert errors["byType"] == [
        {"type": "rate_limit_exceeded", "count": 200, "percentage": 58.8, "description": "Rate limit exceeded"},
        {"type": "server_error", "count": 140, "percentage": 41.2, "description": "Internal server error"},
    ]
    assert errors["byEndpoint"] == [
        {"endpoint": "/v1/identity/:identity", "errors": 220, "percentage": 64.7},
        {"endpoint": "/v1/scores/:identity", "errors": 120, "percentage": 35.3},
    ]
    assert [(row["statusCode"], row["count"], row["percentage"]) for row in errors["byStatusCode"]] == [
        (429, 200, 58.8),
        (500, 140, 41.2),
    ]
    rates = {"requestsPerMinute": 10.7, "requestsPerHour": 642.5, "requestsPerDay": 15_420}
    assert answer["rateLimits"] == {
        "current": {"requestsPerMinute": 100, "requestsPerHour": 1000, "requestsPerDay": 10_000},
        "usage": rates,
        "utilization": {"requestsPerMinute": 10.7, "requestsPerHour": 64.25, "requestsPerDay": 154.2},
    }
    assert answer["alerts"] == [
        {
            "type": "rate_limit_approaching",
            "message": "Daily rate limit is 154.2% utilized",
            "priority": "high",
            "recommendation": "Consider upgrading your plan or optimizing requests",
        },
        {
            "type": "error_rate_high",
            "message": "Error rate is 2.2%, above recommended 1%",
            "priority": "medium",
            "recommendation": "Review error patterns and implement retry logic",
        },
    ]
    # A quarter to four on the day before until a quarter to four: 25 clock hours, two of them in part.
    assert answer["pagination"] == {"total": 25, "limit": 100, "offset": 0, "hasMore": False}
    assert answer["timestamp"] == "2024-01-20T15:45:00Z"


def test_every_documented_field_is_there_with_its_type(embedded_store):
    insert_events(embedded_store, sample_events())
    shapes = shape(usage(embedded_store, application=SHOP))
    assert {path: shapes.get(path) for path in shape(SEED)} == shape(SEED)
    assert set(shapes) - set(shape(SEED)) == {
        ".granularity",
        *(f".breakdown.byEndpoint[].{name}" for name in ("errors", "p50", "p95", "p99")),
    }


def test_without_events_every_field_is_there(embedded_store):
    insert_events(embedded_store, [at(START, application="other")])
    for parameters in [(), (("timeframe", "1y"), ("granularity", "month")), (("timeframe", "all"),)]:
        answer = usage(embedded_store, *parameters)
        assert set(shape(SEED)) <= set(shape(answer)) | {p for p in shape(SEED) if "[]" in p}
        zeros = dict.fromkeys(answer["usage"], 0)
        assert answer["usage"] == {**zeros, "successRate": 100.0}
        assert answer["breakdown"] == {"byEndpoint": [], "byMethod": [], "byStatusCode": [], "byKey": []}
        assert answer["errors"] == {
            "totalErrors": 0,
            "errorRate": 0,
            "byType": [],
            "byEndpoint": [],
            "byStatusCode": [],
        }
        assert set(answer["rateLimits"]["current"].values()) == {None}
        assert set(answer["rateLimits"]["utilization"].values()) == {None}
        assert answer["alerts"] == []
        assert all(point["requests"] == 0 for point in answer["timeSeries"])
    assert answer["timeSeries"] == []
    assert answer["pagination"] == {"total": 0, "limit": 100, "offset": 0, "hasMore": False}


def test_the_window_rolls_to_the_second_and_its_first_bucket_is_clipped(embedded_store):
    at_edges = [START - 1, START, NOW - 1, NOW]
    insert_events(embedded_store, [at(second) for second in at_edges])
    answer = usage(embedded_store)
    assert answer["usage"]["totalRequests"] == 2
    points = answer["timeSeries"]
    assert [points[0]["timestamp"], points[-1]["timestamp"]] == ["2024-01-19T15:00:00Z", "2024-01-20T15:00:00Z"]
    assert [point["requests"] for point in points] == [1, *[0] * 23, 1]


@pytest.mark.parametrize(
    ("timeframe", "days", "granularity", "count"),
    [("7d", 6.9, "hour", 169), ("90d", 80, "hour", 2161), ("1y", 364, "hour", 8761), ("all", 700, "day", 701)],
)
def test_a_chart_is_never_cut(embedded_store, timeframe, days, granularity, count):
    insert_events(embedded_store, [at(NOW - round(days * DAY)), at(NOW - 5, sample_weight=3)])
    answer = usage(embedded_store, ("timeframe", timeframe))
    points = answer["timeSeries"]
    assert (answer["granularity"], len(points)) == (granularity, count)
    assert answer["pagination"] == {"total": count, "limit": count, "offset": 0, "hasMore": False}
    assert sum(point["requests"] for point in points) == answer["usage"]["totalRequests"] == 4
    assert points[-1]["requests"] == 3


def test_all_is_from_the_second_of_the_first_event_until_now(embedded_store):
    insert_events(embedded_store, [at(NOW - 400 * DAY), at(NOW - 5, method="POST"), at(NOW + 60)])
    answer = usage(embedded_store, ("timeframe", "all"), ("granularity", "month"))
    assert answer["usage"]["totalRequests"] == 2
    assert answer["usage"]["requestsPerDay"] == 0.0
    assert answer["pagination"]["total"] == len(answer["timeSeries"]) == 14
    assert answer["timeSeries"][0]["timestamp"] == "2022-12-01T00:00:00Z"
    # A filter does not move the window: figures of two consumers are over the same time.
    answer = usage(embedded_store, ("timeframe", "all"), ("granularity", "month"), ("method", "POST"))
    assert (answer["usage"]["totalRequests"], answer["pagination"]["total"]) == (1, 14)


def test_pages_make_up_the_whole_series(embedded_store):
    insert_events(embedded_store, random_events(3, 60, START, NOW))
    for sort, order in itertools.product([None, "timestamp", "requests", "errors", "latency"], ["asc", "desc"]):
        parameters = [("order", order), *([("sortBy", sort)] if sort else [])]
        whole = usage(embedded_store, *parameters)["timeSeries"]
        assert len(whole) == 25
        pages = []
        for offset in (0, 13):
            answer = usage(embedded_store, *parameters, ("limit", "13"), ("offset", str(offset)))
            assert answer["pagination"] == {"total": 25, "limit": 13, "offset": offset, "hasMore": offset == 0}
            assert answer["usage"]["totalRequests"] == sum(point["requests"] for point in whole)
            pages += answer["timeSeries"]
        assert pages == whole
        assert usage(embedded_store, *parameters, ("offset", "9999999999"))["timeSeries"] == []
        name = {"requests": "requests", "errors": "failedRequests", "latency": "averageLatency"}.get(
            sort, "timestamp"
        )
        values = [point[name] for point in whole]
        assert values == sorted(values, reverse=sort is not None and order == "desc")


def test_lists_have_a_hundred_rows_and_errors_by_type_still_add_up(embedded_store):
    statuses = [at(START + i, status_code=400 + i, route=f"/{i:03}", method=f"M{i}") for i in range(150)]
    insert_events(embedded_store, statuses + [at(START, consumer_id=str(i)) for i in range(120)])
    answer = usage(embedded_store)
    lists = {**answer["breakdown"], **{f"errors.{n}": answer["errors"][n] for n in ("byEndpoint", "byStatusCode")}}
    assert {name: len(rows) for name, rows in lists.items()} == dict.fromkeys(lists, 100)
    assert sum(row["count"] for row in answer["errors"]["byType"]) == answer["errors"]["totalErrors"] == 150


def test_a_million_minutes_come_in_pages_and_more_are_not_sorted(embedded_store):
    insert_events(embedded_store, [at(NOW - 700 * DAY), at(NOW - 1)])
    parameters = [("timeframe", "all"), ("granularity", "minute"), ("limit", "2")]
    answer = usage(embedded_store, *parameters)
    total = answer["pagination"]["total"]
    assert total == 700 * 24 * 60
    assert [point["requests"] for point in answer["timeSeries"]] == [1, 0]
    last = usage(embedded_store, *parameters, ("offset", str(total - 1)))["timeSeries"]
    assert [(point["timestamp"], point["requests"]) for point in last] == [(iso(NOW - 60), 1)]
    with pytest.raises(BadRequest, match=f"{total} buckets; at most {MAX_SORTED_BUCKETS}"):
        usage(embedded_store, *parameters, ("sortBy", "requests"))
    year = usage(embedded_store, ("timeframe", "1y"), ("granularity", "minute"), ("sortBy", "requests"))
    assert year["timeSeries"][0]["requests"] == 1


async def test_the_service_answers_about_the_time_until_its_clock(embedded_store):
    insert_events(embedded_store, [at(NOW - 1, sample_weight=3), at(NOW - DAY - 1)])
    async with running_query_service(embedded_store, clock=lambda: NOW - 0.25) as service:
        for path in ("/v1/developer/usage", "/v1/developer/usage?timeframe=&consumer_id=&sortBy="):
            answer = await service.answer(path)
            assert answer["usage"]["totalRequests"] == 3
            assert answer["timestamp"] == iso(NOW)
        response = await service.get("/v1/developer/usage")
        assert response.headers["Cache-Control"] == "no-store"
        answer = await service.answer("/v1/developer/usage?application=shop", "admin")
        assert answer["usage"]["totalRequests"] == 3


async def test_a_refusal_says_that_there_was_no_success(embedded_service):
    path = "/v1/developer/usage"
    for query, part in [("?timeframe=2h", "timeframe is '2h'"), ("?foo=1", "'foo'"), ("?limit=x", "limit is 'x'")]:
        await assert_error(await embedded_service.get(path + query), 400, part, success=False)
    await assert_error(await embedded_service.get(path, None), 401, success=False)
    await assert_error(await embedded_service.get(path, "write"), 403, success=False)
    await assert_error(await embedded_service.get(path, "admin"), 400, "application", success=False)
    await assert_error(await embedded_service.request("POST", path), 405, success=False)
    await assert_error(await embedded_service.get("/v1/developer/nothing"), 404, success=False)


async def test_a_store_that_is_away_is_no_success(server_store, clickhouse_server):
    async with running_query_service(server_store) as service:
        clickhouse_server.fault("refuse", count=1000, statement="SELECT")
        await assert_error(await service.get("/v1/developer/usage"), 503, success=False)


async def test_configured_limits_are_shown_and_used(embedded_store):
    insert_events(embedded_store, [at(NOW - 1, sample_weight=1700)])
    async with running_query_service(embedded_store, clock=lambda: NOW) as service:
        body = {"limits": {"requestsPerHour": 80, "requestsPerDay": 2000}}
        assert (await service.request("PATCH", "/api/applications/shop", json=body)).status == 200
        answer = await service.answer("/v1/developer/usage")
    assert answer["rateLimits"] == {
        "current": {"requestsPerMinute": None, "requestsPerHour": 80, "requestsPerDay": 2000},
        "usage": {"requestsPerMinute": 1.2, "requestsPerHour": 70.8, "requestsPerDay": 1700.0},
        "utilization": {"requestsPerMinute": None, "requestsPerHour": 88.5, "requestsPerDay": 85.0},
    }
    assert [alert["message"] for alert in answer["alerts"]] == [
        "Hourly rate limit is 88.5% utilized",
        "Daily rate limit is 85% utilized",
    ]
