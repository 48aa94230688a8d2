"""Usage over a real engine, both ways: a sample, counting by hand, and what must agree."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace
from datetime import datetime, timezone
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apimetry.query_api.overview import sql as overview_sql
from apimetry.query_api.planning.filters import Filter
from apimetry.query_api.planning.time_buckets import Buckets
from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.query_api.timeseries.reading import Limits
from apimetry.query_api.usage import lists_sql
from apimetry.query_api.usage import sql as usage_sql
from apimetry.query_api.usage.answer import answer_usage
from apimetry.query_api.usage.lists import read_lists
from apimetry.query_api.usage.params import Order, parse_usage
from apimetry.query_api.usage.reading import MAX_SORTED_BUCKETS, totals
from apimetry.serving.errors import BadRequest
from apimetry.store.accounts.records import Application, RequestLimits
from apimetry.store.errors import QueryLimitExceeded
from tests.query_api.timeseries.test_answer import HOSTILE
from tests.support.oracles.query_events import Event, insert_events, random_events
from tests.support.oracles.query_usage import (
    chosen_events,
    expected_breakdown,
    expected_errors,
    expected_series,
    expected_totals,
    iso,
)
from tests.support.services.query_service import assert_error, running_query_service

NOW = 1_705_765_500
DAY = 86_400
START = NOW - DAY
SHOP = Application("shop", "o" * 24, "Shop", 90, RequestLimits(100, 1000, 10_000), datetime.now(timezone.utc))
UNLIMITED = replace(SHOP, limits=RequestLimits())
LIMITS = Limits(100_000, 1000)
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


def at(second, **fields):
    return Event(timestamp=second * 1_000_000, **fields)


def usage(store, *parameters, application=UNLIMITED, now=NOW):
    return answer_usage(parse_usage(parameters, now), application, ask=store.ask, now=now)


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


def test_the_series_has_the_days_weeks_and_months_of_a_zone(embedded_store):
    # Berlin's clocks went back on 2023-10-29.
    start, end = NOW - 90 * DAY + 1801, NOW
    events = random_events(9, 800, start, end)
    insert_events(embedded_store, events)
    own = chosen_events(events, "shop", start, end)
    earlier = [replace(e, timestamp=e.timestamp + 7 * DAY * 10**6) for e in events if e.application == "shop"]
    inside = chosen_events(earlier, "shop", start, end)
    for name, granularity in product(["Europe/Berlin", "Asia/Kathmandu"], ["hour", "day", "week", "month"]):
        parameters = [("start", str(start)), ("end", str(end)), ("granularity", granularity), ("tz", name)]
        zone = ZoneInfo(name)
        expected = expected_series(own, granularity, start, end, zone)
        assert usage(embedded_store, *parameters)["timeSeries"] == expected
        page = usage(embedded_store, *parameters, ("offset", "1"), ("limit", "2"), ("compare", str(start - 7 * DAY)))
        assert page["timeSeries"] == expected[1:3]
        assert page["previous"]["timeSeries"] == expected_series(inside, granularity, start, end, zone)[1:3]


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


def shape(value, path=""):
    """Every path of keys with the kind of value at its end; a list is what its first row is."""
    if isinstance(value, dict):
        shapes = {path: "object"}
        for name, member in value.items():
            shapes |= shape(member, f"{path}.{name}")
        return shapes
    if isinstance(value, list):
        return {path: "array"} | (shape(value[0], f"{path}[]") if value else {})
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}
    return {path: kinds[type(value)]}


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


QUESTIONS = [
    {},
    {"sortBy": "errors"},
    {"sortBy": "latency", "order": "asc"},
    {"sortBy": "requests", "order": "asc", "method": ["GET", "DELETE"]},
    {"sortBy": "timestamp", "route": [""], "status_code": [404, 500]},
    {"sortBy": "errors", "order": "asc", "consumer_id": ["alice"], "granularity": "day"},
    {"granularity": "week"},
    {"granularity": "month", "sortBy": "latency"},
    {"granularity": "minute", "start": START + 3600, "end": START + 3 * 3600},
]


def within_bounds(breakdown):
    """The breakdown with percentiles as a rollup gives them: within 2 %, both rounded to tenths of a millisecond."""
    endpoints = [
        {
            name: pytest.approx(value, abs=0.02 * value + 0.101) if name in ("p50", "p95", "p99") and value else value
            for name, value in row.items()
        }
        for row in breakdown["byEndpoint"]
    ]
    return {**breakdown, "byEndpoint": endpoints}


@pytest.mark.parametrize("seed", [1, 2])
def test_any_question_is_answered_as_counting_answers_it(store, seed):
    events = random_events(seed, 1500, NOW - 45 * DAY, NOW) + random_events(seed + 100, 300, START, NOW)
    insert_events(store, events)
    for question in QUESTIONS:
        start, end = question.get("start", NOW - 45 * DAY), question.get("end", NOW)
        parameters = {"start": start, "end": end, "limit": 1000, "granularity": "day", **question}
        pairs = [
            (name, str(member))
            for name, value in parameters.items()
            for member in (value if isinstance(value, list) else [value])
            if member != ""
        ]
        only = {name: value for name, value in parameters.items() if isinstance(value, list) and value != [""]}
        chosen = chosen_events(events, "shop", start, end, **only)
        answer = usage(store, *pairs)
        assert answer["usage"] == expected_totals(chosen, end - start)
        descending = parameters.get("order") != "asc"
        sort = parameters.get("sortBy", "requests")
        lists = ("requests", True) if sort == "timestamp" else (sort, descending)
        assert answer["breakdown"] == within_bounds(expected_breakdown(chosen, *lists))
        for row in answer["errors"]["byType"]:
            assert row.pop("description")
        assert answer["errors"] == expected_errors(chosen, *lists)
        series = expected_series(chosen, parameters["granularity"], start, end)
        assert sorted(answer["timeSeries"], key=lambda point: point["timestamp"]) == series
        if "sortBy" not in parameters:
            assert answer["timeSeries"] == series


def test_what_must_agree_agrees(store):
    events = random_events(7, 3000, NOW - 30 * DAY, NOW)
    insert_events(store, events)
    rng = random.Random(7)
    for _ in range(12):
        start = rng.randrange(NOW - 31 * DAY, NOW - 60)
        end = rng.randrange(start + 1, NOW)
        granularity = rng.choice(["hour", "day", "week", "month"])
        answer = usage(
            store, ("start", str(start)), ("end", str(end)), ("granularity", granularity), ("limit", "1000")
        )
        count, mean, most = (
            answer_timeseries(TimeseriesQuery(start, end, (aggregation,)), "shop", ask=store.ask, limits=LIMITS)[
                "groups"
            ]["shop"][0][1]
            for aggregation in ("count", "mean", "max")
        )
        figures, breakdown, errors = answer["usage"], answer["breakdown"], answer["errors"]
        assert figures["totalRequests"] == count
        for rows in (answer["timeSeries"], *breakdown.values()):
            assert sum(row["requests"] for row in rows) == count
        failures = figures["failedRequests"]
        assert errors["totalErrors"] == failures == sum(row["errors"] for row in breakdown["byEndpoint"])
        assert sum(point["failedRequests"] for point in answer["timeSeries"]) == failures
        assert sum(row["errors"] for row in errors["byEndpoint"]) == failures
        for name in ("byType", "byStatusCode"):
            assert sum(row["count"] for row in errors[name]) == failures
        assert figures["averageLatency"] == pytest.approx((mean or 0) / 1000, abs=0.0501)
        assert figures["peakLatency"] == pytest.approx((most or 0) / 1000, abs=0.0501)
        assert sum(point["dataTransferred"] for point in answer["timeSeries"]) == figures["dataTransferred"]


@pytest.mark.parametrize("order", [Order("requests", descending=True), Order("errors", descending=False)])
@pytest.mark.parametrize("filters", [(), (Filter("method", ("GET", "POST")),)])
def test_lists_with_too_many_groups_to_read_are_the_same(embedded_store, order, filters):
    insert_events(embedded_store, random_events(11, 600, START, NOW))
    refused = []

    def ask(statement):
        if "max_rows_to_group_by" in statement.settings:
            refused.append(statement)
            raise QueryLimitExceeded("too many groups", code=158)
        return embedded_store.ask(statement)

    scope = usage_sql.Scope("shop", START, NOW, filters)
    lists = read_lists(scope, order, embedded_store.ask)
    assert lists.routes.rows
    assert lists.failed_routes.rows
    assert read_lists(scope, order, ask) == lists
    assert len(refused) == 1


_events = st.builds(
    Event,
    timestamp=st.integers((NOW - 40 * DAY) * 1_000_000, NOW * 1_000_000 - 1),
    method=st.sampled_from(["GET", "POST", "", "'"]),
    route=st.sampled_from(["/", "", "/items/{id}", "/é"]),
    status_code=st.sampled_from([0, 200, 399, 400, 404, 408, 418, 429, 499, 500, 504, 599, 65_535]),
    response_us=st.integers(0, 10**8),
    request_bytes=st.none() | st.integers(0, 10**8),
    response_bytes=st.none() | st.integers(0, 10**8),
    consumer_id=st.sampled_from(["", "alice", "bob"]),
    sample_weight=st.integers(1, 2**10) | st.just(2**32 - 1),
)


def test_whatever_was_sent_counting_agrees(store):
    examples = itertools.count()

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(_events, min_size=1, max_size=12), st.sampled_from(["day", "week", "month"]))
    def agree(events, granularity):
        # Each example is an application of its own in the one store.
        name = f"app-{next(examples)}"
        events = [replace(event, application=name) for event in events]
        insert_events(store, events, token=name)
        parameters = [("start", str(NOW - 40 * DAY)), ("end", str(NOW)), ("granularity", granularity)]
        answer = usage(store, *parameters, application=replace(UNLIMITED, id=name))
        figures = answer["usage"]
        assert figures == expected_totals(events, 40 * DAY)
        for aggregation, shown in (("count", "totalRequests"), ("mean", "averageLatency"), ("max", "peakLatency")):
            query = TimeseriesQuery(NOW - 40 * DAY, NOW, (aggregation,))
            ((_, timeseries_value),) = answer_timeseries(query, name, ask=store.ask, limits=LIMITS)["groups"][name]
            # Milliseconds with one decimal, against microseconds.
            bounds = (timeseries_value, 0) if aggregation == "count" else (timeseries_value / 1000, 0.0501)
            assert figures[shown] == pytest.approx(bounds[0], rel=0, abs=bounds[1])
        overview = overview_sql.stored_by_application([name])
        assert store.ask(overview) == [(name, figures["totalRequests"])]
        assert answer["timeSeries"] == expected_series(events, granularity, NOW - 40 * DAY, NOW)
        assert answer["breakdown"] == within_bounds(expected_breakdown(events, "requests", True))
        for row in answer["errors"]["byType"]:
            row.pop("description")
        assert answer["errors"] == expected_errors(events, "requests", True)

    agree()


@pytest.mark.parametrize("field", ["consumer_id", "route", "method"])
def test_hostile_values_are_values(embedded_store, field):
    hostile = [value for value in HOSTILE if value]
    insert_events(embedded_store, [at(NOW - 9, **{field: value}) for value in hostile])
    for value in hostile:
        scope = usage_sql.Scope("shop", START, NOW, (Filter(field, (value,)),))
        assert totals(scope, embedded_store.ask)[0].requests == 1, value
    assert usage(embedded_store, *((field, value) for value in hostile))["usage"]["totalRequests"] == len(hostile)
    rows = {"consumer_id": "byKey", "route": "byEndpoint", "method": "byMethod"}[field]
    assert len(usage(embedded_store)["breakdown"][rows]) == len(hostile)


@given(st.lists(st.text(), min_size=1).map(tuple), st.text(), st.sampled_from(["consumer_id", "route", "method"]))
def test_no_value_is_ever_in_a_statement(values, application, field):
    def all_of(application, values):
        scope = usage_sql.Scope(application, START, NOW, (Filter(field, values),))
        most = Order("requests", descending=True)
        return [
            usage_sql.first_event(application),
            usage_sql.totals(scope),
            usage_sql.series(scope, Buckets("hour", START, NOW), range(25), most, range(9)),
            usage_sql.counterparts(scope.within(START - DAY, START), Buckets("month", START, NOW), [0]),
            usage_sql.groups(replace(scope, failed=True), "route", most, limit=9),
            usage_sql.counted_groups(scope, "consumer_id", most, limit=9),
            lists_sql.every_group(scope),
            lists_sql.lists(scope, most, limit=9),
            lists_sql.percentiles(scope, values),
            usage_sql.halves(scope, NOW),
            usage_sql.chatty_consumers(scope, values, least_per_minute=3, limit=9),
        ]

    hostile, harmless = all_of(application, values), all_of("app", ("x",))
    assert [statement.sql for statement in hostile] == [statement.sql for statement in harmless]


@pytest.mark.parametrize("later_s", [None, 0, 59, 899, 900])
def test_the_hour_under_way_counts_up_to_the_end_of_the_range(embedded_store, later_s):
    events = [replace(event, application="shop") for event in random_events(9, 150, START, NOW)]
    later = [] if later_s is None else [at(NOW + later_s, response_us=10**9, route="/later", status_code=500)]
    insert_events(embedded_store, events + later)
    assert NOW % 3600 == 2700
    answer = usage(embedded_store, ("granularity", "hour"))
    assert answer["usage"] == expected_totals(events, DAY)
    assert answer["timeSeries"] == expected_series(events, "hour", START, NOW)
    assert answer["breakdown"] == within_bounds(expected_breakdown(events, "requests", True))


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
