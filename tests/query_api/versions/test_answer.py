"""Versions over a real engine, both ways."""

from __future__ import annotations

import random
import zlib
from collections import defaultdict
from dataclasses import replace

import pytest

from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.query_api.timeseries.reading import Limits
from apimetry.query_api.versions.answer import answer_versions
from apimetry.query_api.versions.params import parse_versions
from tests.support.oracles.query_breakdown import iso
from tests.support.oracles.query_events import Event, insert_events

HOUR, DAY = 3600, 86_400
START = 1_413_295_200 // DAY * DAY
"""A midnight."""


@pytest.fixture
def application(request):
    """The id of an application of the test's own."""
    return f"a{zlib.crc32(request.node.nodeid.encode())}"


@pytest.fixture
def ask(shared_store, application):
    """Stores events and answers: `ask(events, start, end, …)`, hours after START."""

    def answered(events, start, end, *parameters):
        if events:
            insert_events(shared_store, [replace(e, application=application) for e in events], token=application)
        times = [("start", str(int(START + start * HOUR))), ("end", str(int(START + end * HOUR)))]
        query = parse_versions([*times, *parameters], 0)
        return answer_versions(query, application, ask=shared_store.ask)["versions"]

    return answered


def at(version, *hours, **fields):
    return [Event(timestamp=round((START + hour * HOUR) * 1_000_000), version=version, **fields) for hour in hours]


def hour(number):
    return iso(round((START + number * HOUR) * 1_000_000))


def test_each_version_begins_with_its_first_request(ask):
    events = [
        *at("1.0", 0.25, 1.5, 2.5, 3.25, source="web-1"),
        *at("1.1", 3.5, 4.5, 5.75, source="web-2"),
        *at("1.1", 4.25, source="web-1", status_code=500),
        *at("", 1.5, 4.5),
    ]
    assert ask(events, 0, 6) == [
        {
            "version": "1.1",
            "firstSeen": hour(3.5),
            "lastSeen": hour(5),
            "requests": 4,
            "errorRate": 25.0,
            "sources": ["web-1", "web-2"],
            "isReturn": False,
        },
        {
            "version": "1.0",
            "firstSeen": hour(0.25),
            "lastSeen": hour(3),
            "requests": 4,
            "errorRate": 0.0,
            "sources": ["web-1"],
            "isReturn": False,
        },
    ]


def test_a_rollback_is_a_return(ask):
    events = [*at("1.0", 0.5, 1.5, 2.5, 6.25, 7.5), *at("1.1", 3.5, 4.5, 5.5)]
    entries = [(e["version"], e["firstSeen"], e["requests"], e["isReturn"]) for e in ask(events, 0, 8)]
    assert entries == [
        ("1.0", hour(6.25), 2, True),
        ("1.1", hour(3.5), 3, False),
        ("1.0", hour(0.5), 3, False),
    ]
    assert [e["firstSeen"] for e in ask([], 0, 8, ("limit", "1"))] == [hour(6.25)]


def test_a_version_that_served_when_the_range_began_has_its_own_beginning_and_the_requests_of_the_range(ask):
    events = [*at("1.0", *(n + 0.75 for n in range(-50, 10))), *at("1.1", 5.5)]
    newest, older = ask(events, 2, 10)
    assert (newest["version"], newest["firstSeen"]) == ("1.1", hour(5.5))
    assert (older["version"], older["firstSeen"], older["requests"]) == ("1.0", hour(-49.25), 8)
    assert not older["isReturn"]


def test_a_version_of_more_than_a_week_ago_returns_if_others_served_meanwhile(ask):
    events = [*at("1.0", -20 * 24, 5.5), *at("1.1", *(n + 0.5 for n in range(-100, 5))), *at("0.9", -20 * 24)]
    assert [(e["version"], e["isReturn"]) for e in ask(events, 0, 10)] == [("1.0", True), ("1.1", False)]


def test_a_version_of_more_than_a_week_ago_does_not_return_if_nothing_served_meanwhile(ask):
    events = at("1.0", -20 * 24, 5.5)
    assert [(e["version"], e["isReturn"]) for e in ask(events, 0, 10)] == [("1.0", False)]


def test_versions_that_ended_before_the_range_or_begin_after_it_are_left_out(ask):
    events = [*at("old", -5.5), *at("now", 1.5), *at("next", 12.5)]
    assert [e["version"] for e in ask(events, 0, 10)] == ["now"]


def test_a_range_may_begin_and_end_within_an_hour(ask):
    events = [*at("1.0", 0.1, 0.9), *at("1.1", 2.2, 2.8)]
    (newest, older) = ask(events, 0.5, 2.5)
    assert (newest["requests"], newest["firstSeen"], newest["lastSeen"]) == (1, hour(2.2), hour(2.2))
    assert (older["requests"], older["firstSeen"]) == (1, hour(0.1))
    (newest, older) = ask([], 0.5, 3.5)
    assert (newest["requests"], newest["firstSeen"], newest["lastSeen"]) == (2, hour(2.2), hour(2.8))


def test_filters_narrow_what_a_version_is_seen_by(ask):
    events = [*at("1.0", 0.5, 3.5, source="web"), *at("1.0", 1.5, source="worker"), *at("2.0", 2.5, source="worker")]
    assert [e["version"] for e in ask(events, 0, 8, ("include", "source:worker"))] == ["2.0", "1.0"]
    assert [e["firstSeen"] for e in ask([], 0, 8, ("include", "source:worker"))] == [hour(2.5), hour(1.5)]
    assert [e["requests"] for e in ask([], 0, 8, ("exclude", "consumer_id:nobody"))] == [1, 1, 2]


def test_the_requests_of_a_version_are_the_counts_of_the_timeseries(ask, shared_store, application):
    rng = random.Random(5)
    events = [
        replace(
            at(rng.choice(["", "1", "2", "3"]), rng.uniform(-100, 60))[0],
            sample_weight=rng.choice([1, 10]),
            status_code=rng.choice([200, 500]),
            route=rng.choice(["/a", "/b"]),
        )
        for _ in range(800)
    ]
    for start, end, filters in ((0, 48, []), (-50.3, 20.7, [("include", "route:/a")]), (3, 4.5, [])):
        entries = ask(events, start, end, *filters)
        events = []
        query = parse_versions([("start", "0"), ("end", "1"), *filters], 0)
        question = TimeseriesQuery(
            int(START + start * HOUR), int(START + end * HOUR), groups=("version",), filters=query.filters
        )
        limits = Limits(max_points=10_000, max_groups=1000)
        groups = answer_timeseries(question, application, ask=shared_store.ask, limits=limits)["groups"]
        counts = defaultdict(int)
        for entry in entries:
            counts[entry["version"]] += entry["requests"]
        assert counts == {version: points[0][1] for version, points in groups.items() if version}
