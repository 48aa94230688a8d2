"""Answers from rollups are those from events, both ways to the engine: exact, and percentiles within their bound."""

from __future__ import annotations

import math
import random
import time
from dataclasses import replace

import pytest

from apimetry.query_api.planning.calendar import Calendar
from apimetry.query_api.planning.filters import DIMENSIONS, Filter
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.planning.planner import Plan, plan
from apimetry.query_api.planning.rows_sql import middle_of_bucket
from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import CONSUMERS, SIMPLE_AGGREGATIONS, VALUES, TimeseriesQuery
from apimetry.query_api.timeseries.reading import Limits
from apimetry.query_api.timeseries.sql import statements, timeseries_needs
from apimetry.store.rollups import BUCKETS_PER_DOUBLING, ROLLUPS
from tests.support.oracles.query_events import Event, expected_answer, insert_events, percentile, random_events

START = 1_413_295_200
DAY = 86400
LIMITS = Limits(max_points=1_000_000, max_groups=10_000)
GRANULARITIES = (
    None,
    Granularity(3600),
    Granularity(5400),
    Granularity(60),
    Granularity(DAY),
    Granularity(604800, -259200),
)
FILTERS = (
    Filter("method", ("GET", "POST")),
    Filter("method", ("DELETE",), excludes=True),
    Filter("status_code", (200, 404)),
    Filter("status_code", (500,), excludes=True),
    Filter("route", ("/", "")),
    Filter("consumer_id", ("alice", "")),
    Filter("source", ("api",), excludes=True),
    Filter("version", ("1.1",)),
    Filter("error_type", ("ValueError",)),
    Filter("function", ("nothing",)),
)


GROUPS = (
    None,
    None,
    "method",
    "status_code",
    "status_code",
    "route",
    "source",
    "consumer_id",
    "consumer_id",
    *DIMENSIONS,
)


def random_aggregations(rng):
    known = [*SIMPLE_AGGREGATIONS, *(f"percentile_{n}" for n in (1, 50, 90, 99, 99.9))]
    return tuple(rng.sample(known, rng.choice([1, 1, 1, 2, 5])))


def random_groups(rng):
    groups = [group for group in (rng.choice(GROUPS), rng.choice([*[None] * 60, *GROUPS])) if group]
    return tuple(dict.fromkeys(groups))


def random_question(rng, begin=START):
    start = begin + rng.randrange(-7200, 2 * DAY)
    start -= rng.choice([0, start % 60, start % 3600])
    return TimeseriesQuery(
        start=start,
        end=start + rng.choice([rng.randrange(1, 5 * DAY), 3600, 7201, 3 * 3600, DAY]),
        aggregations=random_aggregations(rng),
        value=rng.choice(VALUES),
        granularity=rng.choice(GRANULARITIES),
        groups=random_groups(rng),
        filters=tuple(
            {
                chosen_filter.field: chosen_filter for chosen_filter in rng.sample(FILTERS, rng.choice([0, 0, 1, 2]))
            }.values()
        ),
        limit=rng.choice([None, None, 1, 3]),
    )


def points(rows, query):
    keys = len(query.groups)
    return {
        (*row[: keys + 2], aggregation): value
        for row in rows
        for aggregation, value in zip(query.aggregations, row[keys + 2 : -1], strict=True)
    }


def from_both(store, query, now=None):
    """The points and sizes of the planned tables, and of events alone."""
    readings = []
    for chosen_plan in (plan(timeseries_needs(query, now)), Plan(query.start, query.end)):
        query_statements = statements(query, chosen_plan, application="shop", row_limit=LIMITS.max_points)
        rows = store.ask(query_statements.points)
        readings.append((points(rows, query), {row[-1] for row in rows}, store.ask(query_statements.size)))
    return readings


def assert_alike(planned, raw, query):
    (planned_points, groups, size), (raw_points, raw_groups, raw_size) = planned, raw
    assert (groups, size) == (raw_groups, raw_size), query
    assert planned_points.keys() == raw_points.keys(), query
    for key, value in planned_points.items():
        rel = 1e-12 if key[-1] == "mean" else 0.02 if key[-1].startswith("percentile") else 0
        expected = raw_points[key] if rel == 0 or raw_points[key] is None else pytest.approx(raw_points[key], rel=rel)
        assert value == expected, (query, key)


def test_rollups_agree_with_events_on_any_question(store):
    events = random_events(11, 4_000, START - 3600, START + 4 * DAY)
    for number in range(4):
        insert_events(store, events[number::4], token=str(number))
    rng = random.Random(13)
    queries = [random_question(rng) for _ in range(110)]
    # Whatever chance has drawn, every rollup answers one, by the hour and by the day.
    queries += [
        TimeseriesQuery(START, START + days * DAY, groups=groups)
        for groups in [(), ("consumer_id",), ("route", "status_class"), ("source", "version")]
        for days in (2, 4)
    ]
    for query in queries:
        # As if asked at its end, though there are events after it.
        assert_alike(*from_both(store, query, rng.choice([None, query.end])), query)
    planned = [plan(timeseries_needs(query)) for query in queries]
    assert {chosen.rollup.table for chosen in planned if chosen.rollup} == {rollup.table for rollup in ROLLUPS}
    assert {chosen.rollup.days for chosen in planned if chosen.days} == {*DAYS}
    assert None in {chosen.rollup for chosen in planned}


DAYS = ("daily_totals", "daily_routes", "daily_consumers")
MIXED = (
    TimeseriesQuery(START, START + 4 * DAY, ("count", "mean", "max", "percentile_90")),
    TimeseriesQuery(START + 1, START + 4 * DAY, granularity=Granularity(DAY), groups=("consumer_id",)),
    TimeseriesQuery(START + 5400, START + 4 * DAY + 9, ("count", "min"), granularity=Granularity(DAY)),
    TimeseriesQuery(START - DAY, START + 3 * DAY, ("sum",), "ttfb_us", groups=("route", "method")),
    TimeseriesQuery(START, START + 4 * DAY, ("count",), granularity=Calendar("month")),
    TimeseriesQuery(START, START + 4 * DAY, ("count",), granularity=Calendar("day", "Europe/Berlin")),
)


NARROW = (
    TimeseriesQuery(0, 7200, ("percentile_95",), granularity=Granularity(60)),
    TimeseriesQuery(0, 3600, ("percentile_95",), granularity=Granularity(60), groups=("route",)),
    TimeseriesQuery(11, 3600 + 30, ("count", "percentile_50"), granularity=Granularity(300)),
    TimeseriesQuery(1800, DAY + 3601, ("percentile_99", "max"), groups=("status_code",)),
    TimeseriesQuery(1800, 2 * DAY + 1740, ("mean",), granularity=Granularity(3600), filters=FILTERS[:1]),
    TimeseriesQuery(1799, 2 * DAY + 61, ("min",), granularity=Granularity(DAY)),
    TimeseriesQuery(40, DAY + 1000, ("count", "sum")),
    TimeseriesQuery(-2 * DAY + 1801, 2 * DAY + 1700, ("percentile_90", "count")),
)


@pytest.mark.parametrize("lacks", ["nothing", "rows"])
def test_minutes_agree_with_events_on_any_question(store, lacks):
    now = int(time.time())
    begin = now // 3600 * 3600 - 2 * DAY - 3600
    events = random_events(23, 4_000, begin - 3 * DAY, now)
    for number in range(4):
        insert_events(store, events[number::4], token=str(number))
    if lacks == "rows":
        # What an upgrade leaves: events answer.
        store.command("TRUNCATE TABLE minute_totals")
        store.command(f"INSERT INTO whole_minutes VALUES ({now + 60})")
    rng = random.Random(29)
    queries = [random_question(rng, begin) for _ in range(40)]
    queries += [replace(query, start=begin + query.start, end=begin + query.end) for query in NARROW]
    for query in queries:
        assert_alike(*from_both(store, query, rng.choice([now, max(query.end, now)])), query)
    planned = [plan(timeseries_needs(query, now)) for query in queries]
    assert all(chosen.minutes for chosen in planned[-len(NARROW) :])
    assert any(chosen.minutes and chosen.days for chosen in planned)


def test_days_before_the_recorded_one_are_read_by_the_hour(embedded_store):
    store, since = embedded_store, (START // DAY + 2) * DAY
    events = random_events(17, 1_000, START - 3600, START + 4 * DAY)
    insert_events(store, [event for event in events if event.timestamp < since * 1_000_000], token="before")
    # What an upgrade leaves: the days of what was there before are not there, and later ones have late events alone.
    for table in DAYS:
        store.command(f"TRUNCATE TABLE {table}")
    store.command(f"INSERT INTO whole_days VALUES ({since})")
    insert_events(store, [event for event in events if event.timestamp >= since * 1_000_000], token="after")
    insert_events(store, random_events(18, 300, START, START + 4 * DAY), token="late")
    for query in MIXED:
        assert_alike(*from_both(store, query), query)
    assert [plan(timeseries_needs(query)).days is None for query in MIXED] == [False] * 5 + [True]


def test_a_part_of_the_days_apart_leaves_the_rest(embedded_store):
    events = random_events(19, 1_000, START - 3600, START + 9 * DAY)
    insert_events(embedded_store, events)
    for granularity in (Granularity(DAY), Granularity(2 * DAY, START), Granularity(3600)):
        query = TimeseriesQuery(START + 7, START + 8 * DAY + 5000, granularity=granularity)
        source = plan(timeseries_needs(query))
        parts = source.apart((START + 2 * DAY, START + 6 * DAY))
        rows = [
            embedded_store.ask(statements(query, part, application="shop", row_limit=1000).points) for part in parts
        ]
        whole = embedded_store.ask(statements(query, source, application="shop", row_limit=1000).points)
        assert sorted([*rows[0], *rows[1]]) == sorted(whole)
        assert all(rows)


def test_every_source_and_aggregation_agrees_with_counting(store):
    events = random_events(12, 2_000, START, START + 3 * DAY)
    insert_events(store, events)
    for group in (None, "method", "status_code", "route", "source", "consumer_id", "url"):
        for aggregation in (*SIMPLE_AGGREGATIONS, CONSUMERS, "percentile_95"):
            for start, end in ((START, START + 3 * DAY), (START + 1801, START + 2 * DAY + 59)):
                query = TimeseriesQuery(
                    start,
                    end,
                    (aggregation,),
                    "response_us",
                    Granularity(3600),
                    (group,) if group else (),
                    FILTERS[:1] if group else (),
                )
                groups = answer_timeseries(query, "shop", ask=store.ask, limits=LIMITS)["groups"]
                expected = expected_answer(events, query)["groups"]
                flat = {(key, time): value for key, series in groups.items() for time, value in series}
                known = {(key, time): value for key, series in expected.items() for time, value in series}
                rel = 0.02 if query.percentiles else 1e-12
                assert flat == pytest.approx(known, rel=rel), query


@pytest.mark.parametrize("value", VALUES)
def test_percentiles_stay_within_two_percent_and_never_pass_the_maximum(embedded_store, value):
    rng = random.Random(value)
    kinds = (lambda: rng.randrange(60), lambda: int(rng.lognormvariate(9, 2)), lambda: 10 ** rng.randrange(12))
    for number, kind in enumerate(kinds):
        drawn = [(kind(), rng.choice([1, 1, 5, 1000])) for _ in range(300)]
        application = f"app{number}"
        insert_events(
            embedded_store,
            [
                replace(
                    Event(application=application, timestamp=(START + n % 10 * 3600) * 1_000_000, sample_weight=w),
                    **{value: v},
                )
                for n, (v, w) in enumerate(drawn)
            ],
            token=application,
        )
        for p in (1, 5, 25, 50, 75, 90, 95, 99):
            query = TimeseriesQuery(START, START + DAY, (f"percentile_{p}",), value)
            assert plan(timeseries_needs(query)).rollup
            answer = answer_timeseries(query, application, ask=embedded_store.ask, limits=LIMITS)
            ((_, estimate),) = answer["groups"][application]
            assert estimate == pytest.approx(percentile(drawn, p), rel=0.02), (value, p)
            assert estimate <= max(v for v, _ in drawn)


def test_the_middle_of_a_bucket_is_within_two_percent_of_all_that_is_in_it(embedded_store):
    last = math.floor(BUCKETS_PER_DOUBLING * 64) - 1
    middles = embedded_store.query(f"SELECT number, {middle_of_bucket('number')} FROM numbers({last + 1})")
    for bucket, middle in middles:
        lowest = math.ceil(2 ** (bucket / BUCKETS_PER_DOUBLING)) - 1
        highest = math.ceil(2 ** ((bucket + 1) / BUCKETS_PER_DOUBLING)) - 2
        if lowest <= highest:
            assert middle == pytest.approx(lowest, rel=0.02), bucket
            assert middle == pytest.approx(highest, rel=0.02), bucket


def test_the_engine_puts_the_edges_of_a_bucket_into_it(embedded_store):
    edges = [
        (bucket, edge)
        for bucket in range(BUCKETS_PER_DOUBLING * 45)
        for edge in (
            math.ceil(2 ** (bucket / BUCKETS_PER_DOUBLING)) - 1,
            math.ceil(2 ** ((bucket + 1) / BUCKETS_PER_DOUBLING)) - 2,
        )
        if math.ceil(2 ** (bucket / BUCKETS_PER_DOUBLING)) < math.ceil(2 ** ((bucket + 1) / BUCKETS_PER_DOUBLING))
    ]
    ((buckets,),) = embedded_store.query(
        "SELECT arrayMap(x -> toUInt16(18 * log2(x + 1.0)), {values:Array(UInt64)})",
        {"values": [edge for _, edge in edges]},
    )
    assert buckets == [bucket for bucket, _ in edges]
