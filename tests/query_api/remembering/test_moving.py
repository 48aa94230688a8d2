"""Questions whose end moves with the time: their past is remembered, and agrees with the events."""

from __future__ import annotations

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from functools import partial

import pytest

from apimetry.query_api.breakdown.answer import answer_breakdown
from apimetry.query_api.breakdown.params import parse_breakdown
from apimetry.query_api.latency.answer import answer_latency
from apimetry.query_api.latency.params import parse_latency
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.remembering import DAY_S, About, Memory
from apimetry.query_api.summary.answer import answer_summary
from apimetry.query_api.summary.params import parse_summary
from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.query_api.usage import sql as usage_sql
from apimetry.query_api.usage.answer import answer_usage
from apimetry.query_api.usage.params import UsageQuery, Window
from apimetry.store.erasure import carry_out
from apimetry.store.jobs import Job, JobKind
from tests.support.oracles.query_events import Event, expected_answer, insert_events
from tests.support.oracles.remembered import (
    DAYS,
    EVENTS,
    LIMITS,
    NOW,
    SHOP,
    START,
    Counted,
    change,
    memory_of,
    outcomes,
    usage_before,
)


def moving_question(kind, end):
    """A question about the sixteen days before `end`, whose past takes long to read."""
    aggregation, groups, seconds = kind
    return TimeseriesQuery(
        end - 16 * DAY_S, end, (aggregation,), granularity=Granularity(seconds), groups=groups and (groups,)
    )


def test_of_a_question_whose_end_moves_the_past_is_remembered_and_agrees_with_the_events_after_any_change(embedded):
    rng, events, memory = random.Random(5), EVENTS, memory_of(embedded)
    kinds = [("count", "consumer_id", 3_600), ("percentile_95", "", 3_600), ("percentile_50", "method", DAY_S)]
    for number in range(6):
        kind = kinds[number % 3]
        for moved_s in sorted(rng.sample(range(3_600), 3)):
            query = moving_question(kind, START + DAY_S + 7_200 * number + moved_s)
            about = About("shop", ((query.start, query.end),), DAYS)
            recalling = memory.recall(query, about, embedded.ask, NOW)
            answers = [
                answer_timeseries(query, "shop", ask=either, limits=LIMITS, now=query.end)["groups"]
                for either in (recalling, embedded.ask)
            ]
            assert answers[0] == answers[1]
            expected = expected_answer(events, query)["groups"]
            assert {group: [list(point) for point in points] for group, points in answers[0].items()} == {
                group: [[time, pytest.approx(value, rel=0.02, abs=1)] for time, value in points]
                for group, points in expected.items()
            }
            assert list(answers[0]) == list(answers[1])
        events = change(rng, embedded, events, number)
    assert outcomes(memory)["used"] >= 6


def test_the_past_of_a_moving_question_is_read_once_and_again_after_a_late_event(embedded):
    memory, ask = memory_of(embedded), Counted(embedded)

    def requests(end):
        query = moving_question(("count", "consumer_id", DAY_S), end)
        ask.statements.clear()
        recalling = memory.recall(query, About("shop", ((query.start, query.end),), DAYS), ask, NOW)
        groups = answer_timeseries(query, "shop", ask=recalling, limits=LIMITS, now=end)["groups"]
        about_consumers = [sql for sql in ask.statements if "hourly_consumers" in sql]
        total = sum(value for points in groups.values() for _, value in points)
        return total, ["without_start_s" in sql for sql in about_consumers]

    noon = START + DAY_S + DAY_S // 2
    counts = [requests(noon + moved_s) for moved_s in (0, 10, 20, 30)]
    assert [leaves_out for _, leaves_out in counts] == [[False], [False, True], [True], [True]]
    insert_events(embedded, [Event(timestamp=(START + 5) * 1_000_000)], token="late")
    late = requests(noon + 30)
    assert late[0] == counts[-1][0] + 1
    assert late[1] == [False, True]
    created_at = datetime(2014, 11, 1, tzinfo=timezone.utc)
    carry_out(embedded, Job("j", "o", "shop", JobKind.change_retention, created_at, retention_days=1), lambda _: None)
    assert requests(noon + 30) == (0, [False, True])


def page_of(end, now):
    """What a page asks about the seventy days before `end`: the call that answers each question, by name."""
    start = end - 70 * DAY_S
    times = [("start", str(start)), ("end", str(end))]
    usage_query = UsageQuery(Window(start, end))
    summary = parse_summary([*times, ("target_ms", "3")], now)
    table = parse_breakdown([*times, ("by", "route"), ("measures", "requests,p95Ms"), ("series", "4")], now)
    heatmap = parse_latency([*times, ("granularity", "43200")], now)
    return {
        "usage": lambda ask: answer_usage(usage_query, SHOP, ask=ask, now=now),
        "summary": lambda ask: answer_summary(summary, SHOP, ask=ask, now=now),
        "breakdown": lambda ask: answer_breakdown(table, "shop", ask=ask, now=now),
        "latency": lambda ask: answer_latency(heatmap, "shop", ask=ask, now=now),
    }


def test_a_page_whose_end_moves_shows_any_change_of_the_events_at_once(filled):
    rng, events = random.Random(11), EVENTS
    services = [memory_of(filled), Memory(10**6)]
    hour = START + DAY_S + 5 * 3_600
    for number in range(4):
        # The hour of the end is under way, and some events of it are later.
        for end in sorted(hour + rng.randrange(60, 3_000) for _ in range(2)):
            for name, question in page_of(end, end + 1).items():
                memory, about = rng.choice(services), About("shop", ((end - 70 * DAY_S, end),), DAYS)
                expected = question(filled.ask)
                for _ in range(2):
                    answer = question(memory.recall((name, end), about, filled.ask, NOW))
                    assert answer == expected
                if name in ("usage", "summary"):
                    requests = answer["usage"]["totalRequests"] if name == "usage" else answer["requests"]
                    stored = [event for event in events if event.application == "shop"]
                    assert requests == sum(
                        event.sample_weight for event in stored if event.timestamp < end * 1_000_000
                    )
        events = change(rng, filled, events, number)
    assert all(outcomes(memory)["used"] for memory in services)


def test_of_usage_whose_end_moves_the_hours_that_are_over_are_read_once_and_again_after_a_late_event(embedded):
    memory, ask = memory_of(embedded), Counted(embedded)

    def requests(end):
        ask.statements.clear()
        return usage_before(end, memory, ask)["usage"]["totalRequests"], ask.having("FROM daily_")

    noon = START + DAY_S + DAY_S // 2
    counts = [requests(noon + moved_s) for moved_s in (1, 10, 20, 30)]
    # One statement reads the days of totals, and one those of consumers.
    assert [of_days for _, of_days in counts] == [2, 2, 0, 0]
    insert_events(embedded, [Event(timestamp=(START + 5) * 1_000_000)], token="late")
    assert requests(noon + 31) == (counts[-1][0] + 1, 2)


@pytest.mark.parametrize("hour", [12, 23])
def test_an_event_of_the_hour_under_way_is_counted_beside_the_remembered_past(embedded, hour):
    memory, ask = memory_of(embedded), Counted(embedded)

    def requests(end):
        ask.statements.clear()
        answer = usage_before(end, memory, ask)
        assert answer == usage_before(end, Memory(1), embedded.ask)
        return answer["usage"]["totalRequests"], ask.having("FROM daily_")

    begin = START + 10 * DAY_S + hour * 3_600
    before = [requests(begin + moved_s) for moved_s in (600, 610, 620)]
    insert_events(embedded, [Event(timestamp=(begin + 615) * 1_000_000)], token="of the hour under way")
    assert requests(begin + 630) == (before[-1][0] + 1, 0)


def test_the_version_of_the_past_is_read_once_for_all_statements_of_an_answer(embedded):
    memory, ask = Memory(10**6), Counted(embedded)

    def versions_read(end):
        ask.statements.clear()
        usage_before(end, memory, ask)
        return ask.having("FROM changes")

    noon = START + DAY_S + DAY_S // 2
    assert [versions_read(noon + moved_s) for moved_s in (1, 10, 20)] == [0, 1, 1]


def test_of_usage_whose_end_moves_the_past_is_remembered_although_an_insert_came_beside_it(embedded):
    memory, counted, numbers = memory_of(embedded), Counted(embedded), itertools.count()
    noon, turn = START + DAY_S + DAY_S // 2, threading.Lock()

    def ask(statement):
        rows = counted(statement)
        if "FROM daily_" in statement.sql:
            with turn:
                insert_events(embedded, [Event(timestamp=noon * 1_000_000)], token=f"beside {next(numbers)}")
        return rows

    of_days = []
    for moved_s in (1, 10, 20, 30):
        counted.statements.clear()
        usage_before(noon + moved_s, memory, ask)
        of_days.append(counted.having("FROM daily_"))
    # An insert between two parts of an answer may make the answer read everything again, up to MOST_READS times.
    assert all(of_days[:2])
    assert of_days[2:] == [0, 0]
    assert usage_before(noon + 40, memory, counted) == usage_before(noon + 40, Memory(1), embedded.ask)


def test_an_answer_that_reads_again_reads_no_past_again_unless_it_changed(embedded):
    memory, counted = memory_of(embedded), Counted(embedded)
    noon, after_rows = START + DAY_S + DAY_S // 2, []

    def ask(statement):
        rows = counted(statement)
        if "GROUPING SETS" in statement.sql and "FROM events" in statement.sql and after_rows:
            insert_events(embedded, [Event(timestamp=after_rows.pop() * 1_000_000)], token=f"{len(after_rows)}")
        return rows

    def days_read(end, *times):
        after_rows.extend(times)
        counted.statements.clear()
        before = usage_before(end, Memory(1), embedded.ask)
        answer = usage_before(end, memory, ask)
        assert answer in (before, usage_before(end, Memory(1), embedded.ask))
        assert not after_rows
        return counted.having("FROM daily_")

    assert [days_read(noon + moved_s) for moved_s in (1, 10, 20)] == [2, 2, 0]
    assert days_read(noon + 30, noon + 25) == 0
    days_read(noon + 40, START + 5)
    assert usage_before(noon + 50, memory, ask) == usage_before(noon + 50, Memory(1), embedded.ask)


def test_answers_beside_threads_that_insert_late_events_leave_nothing_untrue_in_memory(embedded):
    memory, rng = memory_of(embedded), random.Random(3)
    noon = START + DAY_S + DAY_S // 2
    times = [rng.randrange(START, noon) for _ in range(24)]

    def insert(number):
        insert_events(embedded, [Event(timestamp=times[number] * 1_000_000)], token=f"late {number}")

    with ThreadPoolExecutor(1) as inserting:
        for turn in range(4):
            late = [inserting.submit(insert, number) for number in range(6 * turn, 6 * turn + 6)]
            while not all(insertion.done() for insertion in late):
                end = noon + rng.randrange(3_000)
                embedded.inserts.at_one_moment(partial(usage_before, end, memory, embedded.ask))
            end = noon + rng.randrange(3_000)
            assert usage_before(end, memory, embedded.ask) == usage_before(end, Memory(1), embedded.ask)
    assert outcomes(memory)["used"]


def test_whether_events_are_later_than_a_question_is_never_remembered():
    scope = usage_sql.Scope("shop", START, START + DAY_S + 60)
    assert not About("shop", ((START, START + DAY_S + 60),), DAYS).covers(usage_sql.next_event(scope))
