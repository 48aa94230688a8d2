"""Usage is what counting by hand gives, whatever was sent and whatever is asked, and its parts agree."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apimetry.query_api.insights import sql as insights_sql
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
from apimetry.query_api.usage.reading import totals
from apimetry.store.errors import QueryLimitExceeded
from tests.query_api.timeseries.test_answer import HOSTILE
from tests.query_api.usage.asking import DAY, NOW, START, UNLIMITED, at, usage, within_bounds
from tests.support.oracles.query_events import Event, insert_events, random_events
from tests.support.oracles.query_usage import (
    chosen_events,
    expected_breakdown,
    expected_errors,
    expected_series,
    expected_totals,
)

LIMITS = Limits(100_000, 1000)


class RefusesGroups:
    """Asks a store, and refuses statements that bound their groups, as the engine does for too many."""

    def __init__(self, store):
        self._store = store
        self.refused = []

    def __call__(self, statement):
        if "max_rows_to_group_by" in statement.settings:
            self.refused.append(statement)
            raise QueryLimitExceeded("too many groups", code=158)
        return self._store.ask(statement)


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
    ask = RefusesGroups(embedded_store)
    scope = usage_sql.Scope("shop", START, NOW, filters)
    lists = read_lists(scope, order, embedded_store.ask)
    assert lists.routes.rows
    assert lists.failed_routes.rows
    assert read_lists(scope, order, ask) == lists
    assert len(ask.refused) == 1


@pytest.mark.parametrize("sort", ["requests", "errors", "latency", "timestamp"])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("end", [NOW, NOW // 3600 * 3600])
def test_figures_that_python_adds_up_are_those_of_the_engine(embedded_store, sort, order, end):
    insert_events(embedded_store, random_events(23, 900, NOW - 5 * DAY, NOW))
    ask = RefusesGroups(embedded_store)
    for days in (1, 4, 30):
        parameters = [("start", str(end - days * DAY)), ("end", str(end)), ("sortBy", sort), ("order", order)]
        query = parse_usage([*parameters, ("compare", "previous")], NOW)
        added_up = answer_usage(query, UNLIMITED, ask=embedded_store.ask, now=NOW)
        ask.refused.clear()
        assert added_up == answer_usage(query, UNLIMITED, ask=ask, now=NOW)
        assert any("GROUPING SETS ((minute)" in statement.sql for statement in ask.refused) == (end % 3600 > 0)


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
            usage_sql.every_consumer(scope, most),
            lists_sql.every_group(scope),
            lists_sql.lists(scope, most, limit=9),
            lists_sql.percentiles(scope, values),
            insights_sql.halves(scope, NOW),
            insights_sql.chatty_consumers(scope, values, least_per_minute=3, limit=9),
        ]

    hostile, harmless = all_of(application, values), all_of("app", ("x",))
    assert [statement.sql for statement in hostile] == [statement.sql for statement in harmless]


@pytest.mark.parametrize("since_days", [2, 99])
def test_days_before_the_recorded_one_are_read_by_the_hour(embedded_store, since_days):
    start = (NOW // DAY - 5) * DAY
    events = [replace(event, application="shop") for event in random_events(10, 300, start, NOW)]
    insert_events(embedded_store, events)
    since = start + since_days * DAY
    # What an upgrade leaves: earlier days have no rows, or not all.
    for table in ("daily_totals", "daily_consumers"):
        embedded_store.command(f"ALTER TABLE {table} DELETE WHERE time < {since} SETTINGS mutations_sync = 1")
    embedded_store.command(f"INSERT INTO whole_days VALUES ({since})")
    answer = usage(embedded_store, ("start", str(start)), ("end", str(NOW)))
    assert answer["usage"] == expected_totals(events, NOW - start)
    assert answer["breakdown"] == within_bounds(expected_breakdown(events, "requests", True))


@pytest.mark.parametrize("later_s", [None, 0, 59, 899, 900, 8000, DAY - NOW % DAY - 1, DAY - NOW % DAY])
@pytest.mark.parametrize("days", [1, 5])
def test_the_hour_and_the_day_under_way_count_up_to_the_end_of_the_range(embedded_store, later_s, days):
    start = NOW - days * DAY
    events = [replace(event, application="shop") for event in random_events(9, 150, start, NOW)]
    later = [] if later_s is None else [at(NOW + later_s, response_us=10**9, route="/later", status_code=500)]
    insert_events(embedded_store, events + later)
    assert NOW % 3600 == 2700
    answer = usage(embedded_store, ("granularity", "hour"), ("start", str(start)), ("end", str(NOW)))
    assert answer["usage"] == expected_totals(events, days * DAY)
    assert answer["timeSeries"] == expected_series(events, "hour", start, NOW)
    assert answer["breakdown"] == within_bounds(expected_breakdown(events, "requests", True))
