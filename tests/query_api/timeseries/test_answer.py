"""Timeseries answers over a real engine, both ways, against counting by hand."""

from __future__ import annotations

import json
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import encode

from apimetry.query_api.planning.filters import DIMENSIONS, GROUPS, Filter
from apimetry.query_api.planning.granularity import NAMED_GRANULARITIES
from apimetry.query_api.planning.planner import Plan, plan
from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import (
    CONSUMERS,
    SIMPLE_AGGREGATIONS,
    VALUES,
    TimeseriesQuery,
    parse_timeseries,
)
from apimetry.query_api.timeseries.reading import Limits
from apimetry.query_api.timeseries.sql import statements, timeseries_needs
from apimetry.serving.errors import BadRequest
from tests.support.oracles.query_events import Event, expected_answer, insert_events, percentile, random_events

START = 1_413_295_200
END = START + 3 * 86400
LIMITS = Limits(max_points=100_000, max_groups=1000)
HOSTILE = [
    "'",
    "''",
    '"',
    "`",
    "\\",
    "\\'",
    "' OR 1=1 --",
    "') OR ('1'='1",
    "/* */",
    "--",
    "#",
    ";DROP TABLE events",
    "{x:Int}",
    "{application:String}",
    "%s",
    "%(x)s",
    "{0}",
    "\0",
    "a\0b",
    "\n\t\r",
    "\\N",
    "NULL",
    "ü😀\u202e",
    "a,b",
    "[1]",
    "]",
    "x" * 1000,
    "&include=method:GET",
    "%27",
    "+",
    " ",
    "",
]


def parsed(*parameters, start=START, end=END):
    return parse_timeseries(str(start), str(end), parameters, max_groups=LIMITS.max_groups)


def answered(store, query, application="shop", limits=LIMITS):
    return answer_timeseries(query, application, ask=store.ask, limits=limits)


def as_json(answer):
    return json.loads(encode(answer))


def within_tolerance(query, aggregation, value):
    """The value, which the answer may miss by what floating point or the width of a rollup's buckets is off."""
    if aggregation == "mean" and value is not None:
        return pytest.approx(value, rel=1e-12)
    estimates = aggregation.startswith("percentile") and plan(timeseries_needs(query)).estimates
    return pytest.approx(value, rel=0.02) if estimates and value is not None else value


def assert_same(answered, expected, query):
    def near(points):
        pairs = [(t, zip(query.aggregations, values, strict=True)) for t, *values in points]
        return [[t, *(within_tolerance(query, *pair) for pair in pairs_at)] for t, pairs_at in pairs]

    expected = {**expected, "groups": {key: near(points) for key, points in expected["groups"].items()}}
    assert as_json(answered) == expected, query


def random_question(rng):
    known = [*SIMPLE_AGGREGATIONS, *(f"percentile_{n}" for n in (1, 28, 50, 56, 95, 99, 99.9, 0.5))]
    several = [("aggregation", name) for name in rng.sample(known, rng.choice([1, 1, 2, 5]))]
    several = rng.choice([several, several, several, [("aggregation", CONSUMERS)]])
    several += [("group", name) for name in rng.sample(GROUPS, rng.choice([0, 1, 1, 2]))]
    parameters = {
        "value": rng.choice(VALUES),
        "granularity": rng.choice(["", "", "hour", "day", "week", "month", "5400", "86401", "minute"]),
        "tz": rng.choice(["", "", "Europe/Berlin", "Asia/Kathmandu"]),
        "limit": rng.choice(["", "", "1", "3", "500"]),
        "fill": rng.choice(["", "", "zero", "null"]),
    }
    filters = [("include", "method:GET"), ("include", "method:POST"), ("exclude", "status_code:404")]
    filters += [("include", "status_code:200"), ("exclude", "consumer_id:"), ("include", "url:/items/3?q=ü")]
    filters += [("include", "error_type:nothing"), ("exclude", "version:1.0"), ("include", "source:api")]
    start = START + rng.choice([0, 0, 1, 1799, 90_000])
    end = start + rng.choice([1, 3600, 7201, 86_400, 200_000])
    return parsed(*several, *parameters.items(), *rng.sample(filters, rng.choice([0, 0, 1, 2])), start=start, end=end)


def test_every_aggregation_granularity_group_and_filter_agrees_with_counting(store):
    events = random_events(1, 3000, START, END)
    insert_events(store, events)
    rng = random.Random(2)
    questions = [random_question(rng) for _ in range(150)]
    # Each choice alone too, so that nothing is left to chance.
    questions += [parsed(("group", group), ("granularity", "day")) for group in GROUPS]
    questions += [
        parsed(("aggregation", aggregation), ("value", value), ("granularity", "hour"), ("group", "method"))
        for aggregation in (*SIMPLE_AGGREGATIONS, CONSUMERS, "percentile_50")
        for value in VALUES
    ]
    questions += [parsed(("granularity", name)) for name in (*NAMED_GRANULARITIES, "7", "90000")]
    for query in questions:
        assert_same(answered(store, query), expected_answer(events, query), query)


def test_every_percentile_is_exact_also_where_floating_point_is_not(embedded_store):
    weighted = [(value, weight) for value in range(1, 101) for weight in (1, 3)]
    insert_events(
        embedded_store, [Event(timestamp=START * 1_000_000, response_us=v, sample_weight=w) for v, w in weighted]
    )
    numbers = [Fraction(tenths, 10) for tenths in range(1, 1000)]
    for first in range(0, len(numbers), 5):
        percentiles = numbers[first : first + 5]
        aggregations = [("aggregation", f"percentile_{float(number):g}") for number in percentiles]
        answer = answered(embedded_store, parsed(*aggregations, end=START + 60))
        assert answer["groups"] == {"shop": [(START, *(percentile(weighted, number) for number in percentiles))]}, (
            percentiles
        )


def test_start_counts_and_end_does_not_to_the_microsecond(embedded_store):
    first, last = START * 1_000_000, (START + 10) * 1_000_000
    times = [first - 1, first, last - 1, last]
    insert_events(embedded_store, [Event(timestamp=time, response_us=i) for i, time in enumerate(times)])
    for name, value in [("count", 2), ("sum", 3), ("min", 1), ("max", 2)]:
        answer = answered(embedded_store, parsed(("aggregation", name), end=START + 10))
        assert answer["groups"] == {"shop": [(START, value)]}


def test_the_first_bucket_is_floored_and_counts_from_start_only(embedded_store):
    monday = 1_413_158_400
    insert_events(embedded_store, [Event(timestamp=t * 1_000_000) for t in (START - 1, START, START + 60)])
    query = parsed(("granularity", "week"), start=START)
    assert answered(embedded_store, query)["groups"] == {"shop": [(monday, 2)]}
    query = parsed(("granularity", "604800"), start=START)
    assert answered(embedded_store, query)["groups"] == {"shop": [(START // 604800 * 604800, 2)]}


def test_values_and_sums_beyond_32_bits_are_exact(store):
    insert_events(
        store, [Event(timestamp=START * 1_000_000, response_bytes=2**40 + 1, sample_weight=2**20) for _ in range(3)]
    )
    total = 3 * (2**40 + 1) * 2**20
    for name, value in [("sum", total), ("max", 2**40 + 1), ("count", 3 * 2**20), ("mean", 2**40 + 1)]:
        query = parsed(("aggregation", name), ("value", "response_bytes"))
        assert answered(store, query)["groups"] == {"shop": [(START, value)]}


NO_DATA = [
    ((), {"shop": [(START, 0)]}),
    ((("aggregation", "sum"),), {"shop": [(START, 0)]}),
    ((("aggregation", "mean"),), {"shop": [(START, None)]}),
    ((("aggregation", "min"),), {"shop": [(START, None)]}),
    ((("aggregation", "max"),), {"shop": [(START, None)]}),
    ((("aggregation", "percentile_50"),), {"shop": [(START, None)]}),
    ((("fill", "null"),), {"shop": [(START, None)]}),
    ((("aggregation", "mean"), ("fill", "zero")), {"shop": [(START, 0)]}),
    ((("granularity", "hour"),), {"shop": []}),
    ((("granularity", "day"), ("fill", "zero")), {"shop": [(START - 50400 + d * 86400, 0) for d in range(4)]}),
    ((("group", "method"),), {}),
    ((("group", "method"), ("granularity", "hour"), ("fill", "zero")), {}),
]


def test_no_data_has_its_exact_answers(embedded_store):
    # Events of another application, of another time, and without the value are no data either.
    insert_events(
        embedded_store, [Event(application="other", timestamp=START * 1_000_000), Event(timestamp=END * 1_000_000)]
    )
    for parameters, groups in NO_DATA:
        assert answered(embedded_store, parsed(*parameters))["groups"] == groups, parameters
    assert answered(embedded_store, parsed(("group", "method"), ("limit", "5")))["omitted_groups"] == 0
    insert_events(embedded_store, [Event(timestamp=START * 1_000_000, ttfb_us=None)], token="second")
    query = parsed(("aggregation", "sum"), ("value", "ttfb_us"))
    assert answered(embedded_store, query)["groups"] == {"shop": [(START, 0)]}


def test_hostile_strings_are_only_data(store):
    insert_events(store, [Event(timestamp=START * 1_000_000, url=url, consumer_id="c") for url in HOSTILE])
    assert set(answered(store, parsed(("group", "url")))["groups"]) == set(HOSTILE)
    for url in HOSTILE:
        answer = answered(store, parsed(("include", f"url:{url}"), ("group", "url")))
        assert answer["groups"] == {url: [(START, 1)]}
        answer = answered(store, parsed(("exclude", f"url:{url}"), ("include", "consumer_id:c")))
        assert answer["groups"] == {"shop": [(START, len(HOSTILE) - 1)]}
    query = parsed(*(("include", f"url:{url}") for url in HOSTILE))
    assert answered(store, query)["groups"] == {"shop": [(START, len(HOSTILE))]}
    for name in HOSTILE:
        assert answered(store, parsed(), application=name)["groups"] == {name: [(START, 0)]}


def test_an_answer_over_a_limit_is_refused_with_its_size(embedded_store):
    events = [
        Event(timestamp=(START + second) * 1_000_000, consumer_id=str(consumer))
        for second in range(10)
        for consumer in range(5)
    ]
    insert_events(embedded_store, events)
    by_second = (("granularity", "second"), ("group", "consumer_id"))
    few_points, few_groups = Limits(49, 10), Limits(100, 4)
    with pytest.raises(BadRequest, match="50 points in 5 groups; at most 49 points"):
        answered(embedded_store, parsed(*by_second), limits=few_points)
    with pytest.raises(BadRequest, match=r"40 points in 4 groups; at most 39 points"):
        answered(embedded_store, parsed(*by_second, ("limit", "4")), limits=Limits(39, 10))
    with pytest.raises(BadRequest, match=r"5 points in 5 groups; .* 4 groups"):
        answered(embedded_store, parsed(("group", "consumer_id")), limits=few_groups)
    with pytest.raises(BadRequest, match="55 points in 5 groups"):
        answered(embedded_store, parsed(*by_second, ("fill", "zero"), end=START + 11), limits=few_points)
    with pytest.raises(BadRequest, match="259200 points in 1 groups"):
        answered(embedded_store, parsed(("granularity", "second"), ("fill", "zero")))
    assert len(answered(embedded_store, parsed(*by_second), limits=Limits(50, 5))["groups"]) == 5


def test_limit_keeps_the_largest_groups_by_weight_over_the_whole_range(embedded_store):
    weights = {"a": [1, 1, 1, 1], "b": [100], "c": [3], "d": [2, 2]}
    events = [
        Event(timestamp=(START + 3600 * i) * 1_000_000, consumer_id=name, sample_weight=weight)
        for name, hourly_weights in weights.items()
        for i, weight in enumerate(hourly_weights)
    ]
    insert_events(embedded_store, events)
    answer = answered(embedded_store, parsed(("group", "consumer_id"), ("limit", "3"), ("granularity", "hour")))
    assert set(answer["groups"]) == {"a", "b", "d"}
    assert answer["omitted_groups"] == 1
    answer = answered(embedded_store, parsed(("group", "consumer_id"), ("limit", "1"), ("aggregation", "max")))
    assert (set(answer["groups"]), answer["omitted_groups"]) == ({"b"}, 3)


def test_several_aggregations_are_read_in_one_scan(embedded_store):
    insert_events(embedded_store, random_events(5, 200, START, END))
    statements = []

    def ask(statement):
        statements.append(statement)
        return embedded_store.ask(statement)

    names = ["count", "mean", "max", "percentile_50", "percentile_99.9"]
    query = parsed(*(("aggregation", name) for name in names), ("granularity", "hour"))
    answer = answer_timeseries(query, "shop", ask=ask, limits=LIMITS)
    assert len(statements) == 1
    assert answer["aggregations"] == names
    alone = [answered(embedded_store, parsed(("aggregation", name), ("granularity", "hour"))) for name in names]
    for place, answer_alone in enumerate(alone, start=1):
        assert "aggregations" not in answer_alone
        known = {time: value for time, value in answer_alone["groups"]["shop"] if value is not None}
        assert {p[0]: p[place] for p in answer["groups"]["shop"] if p[place] is not None} == known


def test_a_bucket_of_events_without_the_value_counts_and_has_no_mean(embedded_store):
    insert_events(embedded_store, [Event(timestamp=START * 1_000_000, response_us=None, sample_weight=3)])
    names = ("count", "sum", "mean", "min", "percentile_50")
    for end in (START + 60, END):
        answer = answered(embedded_store, parsed(*(("aggregation", name) for name in names), end=end))
        assert answer["groups"] == {"shop": [(START, 3, 0, None, None, None)]}


def test_two_groups_have_json_arrays_as_names(store):
    urls = ["/a", '/"quoted"', "/ü,]", ""]
    insert_events(
        store,
        [Event(timestamp=START * 1_000_000, url=url, status_code=status) for url in urls for status in (200, 503)],
    )
    answer = answered(store, parsed(("group", "url"), ("group", "status_class")))
    names = {
        json.dumps([url, status], ensure_ascii=False, separators=(",", ":"))
        for url in urls
        for status in ("2xx", "5xx")
    }
    assert set(answer["groups"]) == names
    assert all(points == [(START, 1)] for points in answer["groups"].values())


@pytest.mark.parametrize("groups", [("route",), ("consumer_id",), ("status_class", "method"), ("url", "source")])
def test_the_rest_is_what_the_omitted_groups_add_up_to(store, groups):
    events = random_events(6, 1_000, START, END)
    insert_events(store, events)
    for more in [
        [("granularity", "hour")],
        [("granularity", "day"), ("fill", "zero"), ("aggregation", "sum"), ("aggregation", "count")],
        [("aggregation", "sum"), ("value", "ttfb_us")],
        [("limit", "500"), ("granularity", "day"), ("fill", "null")],
    ]:
        named = [("limit", "1")] if more[0][0] != "limit" else []
        query = parsed(*(("group", group) for group in groups), ("rest", "1"), *named, *more)
        assert_same(answered(store, query), expected_answer(events, query), query)


def test_without_a_limit_there_is_no_rest(embedded_store):
    insert_events(embedded_store, [Event(timestamp=START * 1_000_000)])
    for parameters in [(), (("group", "url"),), (("limit", "1"),)]:
        hourly = (("granularity", "hour"), ("compare", "previous"))
        answer = answered(embedded_store, parsed(("rest", "1"), *parameters, *hourly))
        assert (answer["rest"], answer["previous"]["rest"]) == ([], [])
        assert answered(embedded_store, parsed(("rest", "1"), *parameters))["rest"] == [(START, 0)]


def test_the_rest_of_an_earlier_period_is_of_its_other_groups(store):
    events = random_events(8, 1_000, START - 86_400, START + 86_400)
    insert_events(store, events)
    for groups in (("method",), ("route", "status_code")):
        parameters = [*(("group", group) for group in groups), ("limit", "2"), ("rest", "1"), ("granularity", "hour")]
        query = parsed(*parameters, ("compare", "previous"), end=START + 86_400)
        previous = answered(store, query)["previous"]
        shown = answered(store, query)["groups"]
        whole = answered(store, parsed(*parameters[:-3], ("granularity", "hour"), start=START - 86_400, end=START))[
            "groups"
        ]
        rest = {}
        for key, points in whole.items():
            later = [(time + 86_400, value) for time, value in points]
            if key in shown:
                assert previous["groups"][key] == later
            else:
                for time, value in later:
                    rest[time] = rest.get(time, 0) + value
        assert dict(previous["rest"]) == rest


def test_only_rollups_are_read_in_one_step():
    queries = {span_s: TimeseriesQuery(0, span_s, ("count",)) for span_s in (60, 30 * 86_400)}
    settings = {
        span_s: statements(query, plan(timeseries_needs(query)), application="shop", row_limit=1).points.settings
        for span_s, query in queries.items()
    }
    assert settings == {60: {}, 30 * 86_400: {"optimize_move_to_prewhere": 0}}


def question_of(field, values, excludes):
    return TimeseriesQuery(0, 1, ("max",), "ttfb_us", groups=("url",), filters=(Filter(field, values, excludes),))


@given(
    st.sampled_from([d for d in DIMENSIONS if d != "status_code"]),
    st.lists(st.text(), min_size=1).map(tuple),
    st.booleans(),
    st.text(),
)
def test_no_value_is_ever_in_the_statement(field, values, excludes, application):
    raw = Plan(0, 1)
    hostile = statements(question_of(field, values, excludes), raw, application=application, row_limit=1)
    harmless = statements(question_of(field, ("x",), excludes), raw, application="app", row_limit=1)
    assert (hostile.points.sql, hostile.size.sql) == (harmless.points.sql, harmless.size.sql)
    assert list(values) in hostile.points.parameters.values()
