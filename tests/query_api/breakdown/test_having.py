"""Consumers that are new, silent or failing, both ways to the engine."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace

import pytest

from apimetry.query_api.breakdown.answer import answer_breakdown
from apimetry.query_api.breakdown.params import parse_breakdown
from tests.support.oracles.query_events import Event, insert_events

HOUR, DAY = 3600, 86_400
NOW = 1_413_295_200 + 30 * DAY + 1234


@pytest.fixture
def consumers_having(shared_store, request):
    """Stores consumers' events, and answers about them: `asked(events, having, …)` is (the consumers, the answer)."""

    def ask(events, having, *more, start=NOW - DAY, end=NOW):
        application = f"a{zlib.crc32(repr((request.node.nodeid, events)).encode())}"
        insert_events(shared_store, [replace(e, application=application) for e in events], token=application)
        parameters = [("by", "consumer_id"), ("start", str(start)), ("end", str(end)), ("having", having), *more]
        answer = answer_breakdown(parse_breakdown(parameters, NOW), application, ask=shared_store.ask, now=NOW)
        return {row["key"][0] for row in answer["rows"]}, answer

    return ask


def at(consumer, *times_s, **fields):
    return [Event(timestamp=int(time_s * 1_000_000), consumer_id=consumer, **fields) for time_s in times_s]


def test_new_consumers_have_no_request_before_the_range(consumers_having):
    start = NOW - DAY
    events = [
        *at("long ago", NOW - 29 * DAY, NOW - 5),
        *at("a second before", start - 1, NOW - 5),
        *at("an instant before", start - 0.000_001, NOW - 5),
        *at("at the start", start),
        *at("later", start + 7000, start + 9000),
        *at("gone", NOW - 20 * DAY),
        *at("to come", NOW + 5),
    ]
    consumers, answer = consumers_having(events, "new")
    assert consumers == {"at the start", "later"}
    assert answer["total"] == {"requests": 3, "errors": 0}
    assert answer["pagination"]["total"] == 2


def test_a_consumer_is_not_new_because_the_filters_leave_out_what_it_did_before(consumers_having):
    events = [
        *at("known", NOW - 3 * DAY, method="GET"),
        *at("known", NOW - 9, method="POST"),
        *at("new", NOW - 9, method="POST"),
    ]
    assert consumers_having(events, "new", ("include", "method:POST"))[0] == {"new"}
    assert consumers_having(events, "new", ("include", "method:GET"))[0] == set()


def every(interval_s, *, until, count=60):
    """Times with equal gaps, the last of them `until` seconds before now."""
    return [NOW - until - number * interval_s for number in range(count)]


@pytest.mark.parametrize(
    ("times", "is_silent"),
    [
        (every(600, until=3 * HOUR), True),
        (every(600, until=1800), False),
        (every(600, until=3 * HOUR, count=49), False),
        (every(2 * HOUR, until=5 * HOUR), False),
        (every(2 * HOUR, until=9 * HOUR), True),
        ([NOW - 2 * HOUR - n for n in range(60)], True),
        ([NOW - 8 * DAY - n for n in range(60)], False),
        ([*every(600, until=DAY + 3 * HOUR), NOW - 9 * HOUR], False),
    ],
    ids=[
        *("each ten minutes, then 3 h", "goes on", "too few", "each two hours, 5 h", "each two hours, 9 h"),
        *("one burst", "a week ago", "a gap of 18 h, 9 h"),
    ],
)
def test_silent_consumers_stopped_for_three_times_their_longest_gap_and_an_hour(consumers_having, times, is_silent):
    consumers, answer = consumers_having(at("c", *times), "silent")
    assert consumers == ({"c"} if is_silent else set())
    within = sum(time_s >= NOW - DAY for time_s in times) if is_silent else 0
    assert answer["total"] == {"requests": within, "errors": 0}


def test_a_silent_consumer_is_a_row_without_requests_in_the_range(consumers_having):
    events = at("c", *every(600, until=3 * HOUR), response_us=5000)
    more = [("measures", "requests,errorRate,p95Ms,lastSeen,consumers"), ("compare", "previous"), ("series", "3")]
    consumers, answer = consumers_having(events, "silent", *more, start=NOW - 2 * HOUR)
    assert consumers == {"c"}
    (row,) = answer["rows"]
    before = sum(NOW - 4 * HOUR <= e.timestamp // 10**6 < NOW - 2 * HOUR for e in events)
    assert row["previous"] == {"requests": before, "errorRate": 0.0, "p95Ms": 5.0, "consumers": 1}
    assert row["series"] == [0, 0, 0]
    assert (row["requests"], row["errorRate"], row["p95Ms"], row["consumers"]) == (0, 0.0, None, 0)
    assert row["lastSeen"].startswith("2014-11-13T")


def test_silence_is_judged_at_the_end_of_the_range_and_of_the_consumers_that_pass_filters(consumers_having):
    events = [*at("a", *every(600, until=3 * HOUR)), *at("b", *every(600, until=3 * HOUR)), *at("a", NOW - 5)]
    assert consumers_having(events, "silent", end=NOW - 1000)[0] == {"a", "b"}
    assert consumers_having(events, "silent")[0] == {"b"}
    assert consumers_having(events, "silent", ("exclude", "consumer_id:b"))[0] == set()
    assert consumers_having(events, "silent", ("search", "B"), end=NOW - 1000)[0] == {"b"}


@pytest.mark.parametrize("start", [NOW - HOUR, NOW - DAY])
def test_failing_consumers_fail_more_than_the_others(consumers_having, start):
    def consumer(name, requests, errors):
        statuses = [500] * errors + [200] * (requests - errors)
        return [e for n, status in enumerate(statuses) for e in at(name, NOW - 2 - n, status_code=status)]

    events = [
        *(consumer("fine", 400, 0) + consumer("failing", 21, 3) + consumer("few", 20, 10) + consumer("some", 100, 5)),
        *consumer("average", 100, 6),
    ]
    # All together: 24 of 641, which is 3.7 %.
    consumers, answer = consumers_having(events, "failing", start=start)
    assert consumers == {"failing"}
    assert answer["total"] == {"requests": 21, "errors": 3}
    assert consumers_having(events, "failing", ("search", "fail"), start=start)[0] == {"failing"}
    assert consumers_having(events, "failing", ("include", "status_code:500"), start=start)[0] == set()


def test_restricted_tables_agree_with_counting_on_random_data(consumers_having):
    rng = random.Random(7)
    events = [
        event
        for name in "abcdefgh"
        for event in at(name, *(NOW - rng.expovariate(1 / (2 * DAY)) for _ in range(rng.randrange(30))))
    ]
    for start in (NOW - DAY, NOW - 3 * DAY - 77, NOW - 5000):
        within = {e.consumer_id for e in events if e.timestamp >= start * 10**6}
        known = {e.consumer_id for e in events if e.timestamp < start * 10**6}
        consumers, answer = consumers_having([*events, *at("x", start)], "new", start=start)
        assert consumers == within - known | {"x"}
        assert answer["pagination"]["total"] == len(consumers)
