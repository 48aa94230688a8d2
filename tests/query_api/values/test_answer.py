"""Values over a real engine, both ways, against counting by hand."""

from __future__ import annotations

import random
import zlib
from collections import defaultdict
from dataclasses import replace

import pytest

from apimetry.query_api.planning.filters import DIMENSIONS, EVENT_FIELDS, column_of
from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.query_api.timeseries.reading import Limits
from apimetry.query_api.values.answer import answer_values
from apimetry.query_api.values.params import parse_values
from apimetry.store.rollups import ROLLUPS
from tests.support.oracles.query_breakdown import iso, passes
from tests.support.oracles.query_events import Event, insert_events, random_events

START = 1_413_295_200
DAY = 86_400
END = START + 4 * DAY


@pytest.fixture
def application(request):
    """The id of an application of the test's own."""
    return f"a{zlib.crc32(request.node.nodeid.encode())}"


def insert(store, application, events):
    insert_events(store, [replace(e, application=application) for e in events], token=application)


def answered(store, application, field, *parameters, start=START, end=END):
    query = parse_values([("field", field), ("start", str(start)), ("end", str(end)), *parameters], END)
    return answer_values(query, application, ask=store.ask, now=END)


def names(answer):
    return [value["value"] for value in answer["values"]]


def random_question(rng):
    more = [("limit", rng.choice(["1", "3", "50"]))]
    if rng.random() < 0.6:
        more.append(("search", rng.choice(["e", "TEM", "0", "/ITEMS/1?Q=Ü", "200", "alice", "xx", "'"])))
    filters = [("include", "method:GET"), ("exclude", "status_class:5xx"), ("include", "consumer_id:alice")]
    more += rng.sample(filters, rng.choice([0, 0, 1]))
    start = START + rng.choice([0, 1, 1799, 90_000])
    return rng.choice(DIMENSIONS), more, start, start + rng.choice([3600, 7201, DAY, 200_000])


class _Asked:
    """What `passes` looks at."""

    def __init__(self, query):
        self.by, self.search, self.filters = (query.field,), query.search, query.filters


def expected_values(events, query):
    weights, last_us = defaultdict(int), defaultdict(int)
    for event in events:
        if query.start * 10**6 <= event.timestamp < query.end * 10**6 and passes(event, _Asked(query)):
            value = str(getattr(event, query.field))
            weights[value] += event.sample_weight
            last_us[value] = max(last_us[value], event.timestamp)
    sought = query.search and query.search.lower()
    ranked = sorted(weights, key=lambda v: (v != query.search, v.lower() != sought, -weights[v], v))
    return ranked, weights, last_us


def test_values_agree_with_counting(shared_store, application):
    events = random_events(31, 2500, START, END)
    insert(shared_store, application, events)
    rng = random.Random(32)
    for _ in range(60):
        field, more, start, end = random_question(rng)
        parameters = [("field", field), ("start", str(start)), ("end", str(end)), *more]
        query = parse_values(parameters, END)
        answer = answer_values(query, application, ask=shared_store.ask, now=END)
        ranked, weights, last_us = expected_values(events, query)
        if field in EVENT_FIELDS:  # equally frequent ones are in the order of their hashes
            assert [weights[name] for name in names(answer)] == [weights[name] for name in ranked[: query.limit]]
        else:
            assert names(answer) == ranked[: query.limit], query
        assert answer["more"] == (len(ranked) > query.limit), query
        for value in answer["values"]:
            last = last_us[value["value"]]
            assert value["requests"] == weights[value["value"]], query
            assert value["lastSeen"] in (iso(last // 10**6 * 10**6), iso(last - last % 3_600_000_000)), query


def test_the_requests_of_values_are_the_counts_of_the_timeseries(shared_store, application):
    insert(shared_store, application, random_events(33, 1500, START, END))
    limits = Limits(max_points=10_000, max_groups=1000)
    for field in DIMENSIONS:
        answer = answered(shared_store, application, field, ("limit", "50"), start=START + 777)
        query = TimeseriesQuery(START + 777, END, groups=(field,))
        groups = answer_timeseries(query, application, ask=shared_store.ask, limits=limits)["groups"]
        counts = {value["value"]: value["requests"] for value in answer["values"]}
        assert counts == {key: points[0][1] for key, points in groups.items()}, field


@pytest.mark.parametrize("field", ["route", "url", "consumer_id"])
def test_the_value_that_equals_the_search_comes_first(shared_store, application, field):
    values = {"/a": 1, "/A": 2, "/ab": 9, "/b/a": 5, "/c": 99}
    events = [
        Event(timestamp=START * 10**6, sample_weight=weight, **{field: value}) for value, weight in values.items()
    ]
    insert(shared_store, application, events)
    answer = answered(shared_store, application, field, ("search", "/a"))
    assert names(answer) == ["/a", "/A", "/ab", "/b/a"]
    assert names(answered(shared_store, application, field, ("search", "/A"), ("limit", "1"))) == ["/A"]
    assert names(answered(shared_store, application, field)) == ["/c", "/ab", "/b/a", "/A", "/a"]


@pytest.mark.parametrize("text", ["'", "\\", "') OR ('1'='1", "%", "_", "{search:String}", "\0", "Ä"])
def test_a_search_finds_the_text_itself(shared_store, application, text):
    routes = [f"/x{text}", "/"]
    insert(shared_store, application, [Event(timestamp=START * 10**6, route=route) for route in routes])
    assert names(answered(shared_store, application, "route", ("search", text.lower()))) == [f"/x{text}"]


def test_the_fields_that_no_rollup_has_are_those_that_are_read_from_events():
    of_rollups = frozenset().union(*(rollup.dimensions for rollup in ROLLUPS))
    assert frozenset(map(column_of, DIMENSIONS)) - of_rollups == frozenset(map(column_of, EVENT_FIELDS))


@pytest.mark.parametrize(
    ("field", "column"), [("url", "url"), ("client_ip", "client_ip"), ("user_agent", "user_agent_family")]
)
def test_values_of_events_are_those_of_the_newest_events(shared_store, application, field, column):
    minutes = [minute for minute in range(300) for _ in range(4)]
    events = [Event(timestamp=(START + 60 * minute) * 10**6, **{column: f"/{minute}"}) for minute in minutes]
    insert(shared_store, application, events)

    def newest(start):
        query = parse_values([("field", field), ("start", str(start)), ("end", str(START + 300 * 60))], END)
        return answer_values(query, application, ask=shared_store.ask, newest_events=10)

    assert newest(START)["searched"] == {"start": START + 297 * 60}
    assert set(names(newest(START))) == {"/297", "/298", "/299"}
    assert newest(START + 298 * 60 + 1)["searched"] == {"start": START + 298 * 60 + 1}
    assert "searched" not in answered(shared_store, application, "route")


def test_without_events_there_are_no_values(shared_store, application):
    for field in ("route", "url"):
        answer = answered(shared_store, application, field)
        assert (answer["values"], answer["more"]) == ([], False)
