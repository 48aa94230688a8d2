"""Remembered rows: the answers are always those from the events, and what is remembered stays within its bounds."""

from __future__ import annotations

import itertools
import random
from datetime import datetime, timezone

import pytest

from apimetry.query_api.breakdown.answer import answer_breakdown
from apimetry.query_api.breakdown.params import parse_breakdown
from apimetry.query_api.latency.answer import answer_latency
from apimetry.query_api.latency.params import parse_latency
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.planning.period import ranges_of
from apimetry.query_api.question_size import question_bytes
from apimetry.query_api.remembering import DAY_S, SKEW_S, STATEMENT_BYTES, About, Memory, Outcome
from apimetry.query_api.summary.answer import answer_summary
from apimetry.query_api.summary.params import parse_summary
from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.query_api.timeseries.reading import Limits
from apimetry.query_api.usage import sql as usage_sql
from apimetry.query_api.usage.answer import answer_usage
from apimetry.query_api.usage.params import UsageQuery, Window
from apimetry.store.accounts.records import Application, RequestLimits
from apimetry.store.changes import mark_changed
from apimetry.store.erasure import carry_out
from apimetry.store.jobs import Job, JobKind
from apimetry.store.statement import Statement
from tests.support.oracles.query_events import Event, expected_answer, insert_events, random_events

START = 1_413_295_200 // DAY_S * DAY_S
SPAN_S = 2 * DAY_S
NOW = START + 30 * DAY_S
DAYS = 20_000
LIMITS = Limits(max_points=100_000, max_groups=1_000)
WHOLE = About("shop", ((START, START + SPAN_S),), DAYS)
COUNT = TimeseriesQuery(START, START + SPAN_S, ("count",))
SHOP = Application("shop", "o", "shop", DAYS, RequestLimits(), datetime(2014, 1, 1, tzinfo=timezone.utc))
BY_DAY = Statement("SELECT toDate(timestamp), count() FROM events GROUP BY 1")
TOTAL = Statement("SELECT count() FROM events WHERE application = {application:String}", {"application": "shop"})


EVENTS = random_events(1, 300, START, START + SPAN_S)


@pytest.fixture
def filled(store):
    """A store with EVENTS, whose process has inserted before; embedded and over HTTP."""
    insert_events(store, EVENTS)
    return store


@pytest.fixture
def embedded(embedded_store):
    """An embedded store with EVENTS, where the kind of store makes no difference."""
    insert_events(embedded_store, EVENTS)
    return embedded_store


class Counted:
    """Asks a store, and counts the statements that read the events or their rollups."""

    def __init__(self, store):
        self._store = store
        self.number = 0

    def __call__(self, statement):
        self.number += "FROM changes" not in statement.sql and "system.processes" not in statement.sql
        return self._store.ask(statement)


def memory_of(store):
    """The memory of a service over this kind of store."""
    return Memory(10**6, store.inserts.moment if store.embedded else None)


def outcomes(memory):
    _, statements = memory.collect()
    return {sample.labels["outcome"]: sample.value for sample in statements.samples}


def held_bytes(memory):
    held, _ = memory.collect()
    return held.samples[0].value


def count(memory, ask, query=COUNT, about=WHOLE):
    recalling = memory.recall(query, about, ask, NOW)
    return answer_timeseries(query, "shop", ask=recalling, limits=LIMITS, now=NOW)


def test_from_the_third_time_on_a_question_runs_no_statement_of_its_own(filled):
    memory, ask = memory_of(filled), Counted(filled)
    answers = [count(memory, ask) for _ in range(5)]
    assert answers == [answers[0]] * 5
    assert ask.number == 2
    assert outcomes(memory) == {"used": 3, "read": 1, "unfit": 1}


def random_question(rng):
    start = START + rng.randrange(0, SPAN_S - 3 * 3600, 900)
    granularity = rng.choice([None, Granularity(900), Granularity(3600), Granularity(DAY_S)])
    return TimeseriesQuery(
        start,
        min(start + rng.choice([3 * 3600, 12 * 3600, DAY_S]), START + SPAN_S),
        (rng.choice(["count", "count", "mean", "max"]),),
        granularity=granularity,
        groups=rng.choice([(), ("method",), ("status_code",), ("consumer_id",), ("route",)]),
    )


def change(rng, store, events, number):
    """Change the stored events in a random way, and return those that are stored then."""
    kind = rng.choice(["late", "late", "import", "range", "consumer", "other"])
    if kind in ("late", "import", "other"):
        added = random_events(rng.random(), 1 if kind == "late" else 20, START, START + SPAN_S)
        insert_events(store, added, token=f"change-{number}")
        return events + added
    created_at = datetime(2014, 11, 1, tzinfo=timezone.utc)
    if kind == "consumer":
        consumer = rng.choice(["alice", "3f2a"])
        job = Job(f"j{number}", "o", "shop", JobKind.delete_consumer, created_at, consumer_id=consumer)
        remaining = [event for event in events if (event.application, event.consumer_id) != ("shop", consumer)]
    else:
        first = (START + rng.randrange(SPAN_S)) * 1_000_000
        last = first + rng.randrange(7_200) * 1_000_000
        job = Job(f"j{number}", "o", "shop", JobKind.delete_range, created_at, start_us=first, end_us=last)
        remaining = [event for event in events if event.application != "shop" or not first <= event.timestamp < last]
    carry_out(store, job, lambda _: None)
    return remaining


def test_answers_are_those_from_the_events_whatever_changes_between_them(filled):
    rng, events = random.Random(filled.embedded), EVENTS
    services = [memory_of(filled), Memory(10**6)]
    questions = [random_question(rng) for _ in range(4)]
    for number in range(8):
        for _ in range(2):
            for query in rng.sample(questions, 3):
                memory = rng.choice(services)
                answer = count(memory, filled.ask, query, About("shop", ((query.start, query.end),), DAYS))
                expected = expected_answer(events, query)["groups"]
                assert {key: [list(point) for point in points] for key, points in answer["groups"].items()} == {
                    key: [[time, pytest.approx(value)] for time, value in points] for key, points in expected.items()
                }
        events = change(rng, filled, events, number)
    assert all(outcomes(memory)["used"] for memory in services)


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
    memory, statements = memory_of(embedded), []

    def ask(statement):
        statements.append(statement)
        return embedded.ask(statement)

    def requests(end):
        query = moving_question(("count", "consumer_id", DAY_S), end)
        statements.clear()
        recalling = memory.recall(query, About("shop", ((query.start, query.end),), DAYS), ask, NOW)
        groups = answer_timeseries(query, "shop", ask=recalling, limits=LIMITS, now=end)["groups"]
        about_consumers = [statement.sql for statement in statements if "hourly_consumers" in statement.sql]
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
    memory, statements = memory_of(embedded), []

    def ask(statement):
        statements.append(statement)
        return embedded.ask(statement)

    def requests(end):
        statements.clear()
        about = About("shop", ((end - 70 * DAY_S, end),), DAYS)
        query = UsageQuery(Window(end - 70 * DAY_S, end))
        answer = answer_usage(query, SHOP, ask=memory.recall(end, about, ask, NOW), now=end)
        of_hours = [statement.sql for statement in statements if "sumMap(part.minutes)" in statement.sql]
        return answer["usage"]["totalRequests"], ["without_start_s" in sql for sql in of_hours]

    noon = START + DAY_S + DAY_S // 2
    counts = [requests(noon + moved_s) for moved_s in (1, 10, 20, 30)]
    assert [leaves_out for _, leaves_out in counts] == [[False], [False, True], [True], [True]]
    insert_events(embedded, [Event(timestamp=(START + 5) * 1_000_000)], token="late")
    assert requests(noon + 31) == (counts[-1][0] + 1, [False, True])


def test_whether_events_are_later_than_a_question_is_never_remembered():
    scope = usage_sql.Scope("shop", START, START + DAY_S + 60)
    assert not About("shop", ((START, START + DAY_S + 60),), DAYS).covers(usage_sql.later(scope))


def test_usage_is_remembered_in_all_its_parts_and_changes_with_a_late_event(filled):
    memory, ask, now = memory_of(filled), Counted(filled), NOW
    query = UsageQuery(Window(START, START + SPAN_S), compare="previous", completeness=True)
    about = About("shop", ranges_of(START, START + SPAN_S, "previous"), DAYS)

    def usage():
        return answer_usage(query, SHOP, ask=memory.recall(query, about, ask, now), now=now)

    first = usage()
    usage()
    before = ask.number
    assert usage() == first
    # What senders reported is read anew.
    assert ask.number == before + 1
    insert_events(filled, [Event(timestamp=(START + 5) * 1_000_000)], token="late")
    requests = first["usage"]["totalRequests"]
    assert usage()["usage"]["totalRequests"] == requests + 1
    insert_events(filled, [Event(timestamp=(START - 5) * 1_000_000)], token="late, of the period before")
    before = usage()["previous"]["usage"]["totalRequests"]
    assert before == first["previous"]["usage"]["totalRequests"] + 1


def test_a_statement_that_is_asked_again_in_one_answer_is_run(embedded):
    memory, ask = Memory(10**6), Counted(embedded)
    for _ in range(2):
        memory.recall("q", WHOLE, ask, NOW)(TOTAL)
    recalling = memory.recall("q", WHOLE, ask, NOW)
    recalling(TOTAL)
    assert ask.number == 2
    recalling(TOTAL)
    assert ask.number == 3


def test_nothing_is_remembered_while_an_insert_runs(embedded):
    memory = Memory(10**6)

    def ask(statement):
        return [(1,)] if "system.processes" in statement.sql else embedded.ask(statement)

    for _ in range(4):
        count(memory, ask)
    assert outcomes(memory) == {"used": 0, "read": 0, "unfit": 4}


def test_in_an_embedded_store_nothing_is_remembered_that_an_insert_came_between(embedded):
    memory, numbers = memory_of(embedded), itertools.count()

    def ask(statement):
        rows = embedded.ask(statement)
        insert_events(embedded, [Event(application="other")], token=f"between {next(numbers)}")
        return rows

    for _ in range(4):
        count(memory, ask)
    assert outcomes(memory) == {"used": 0, "read": 0, "unfit": 4}


def test_as_long_as_an_embedded_store_has_not_changed_no_statement_runs_at_all(embedded):
    memory, asked = memory_of(embedded), []

    def ask(statement):
        asked.append(statement.sql)
        return embedded.ask(statement)

    for _ in range(2):
        count(memory, ask)
    asked.clear()
    assert count(memory, ask) == count(memory, embedded.ask)
    assert asked == []
    insert_events(embedded, [Event(application="other")], token="of another")
    assert count(memory, ask) == count(memory, embedded.ask)
    assert ["FROM changes" in sql for sql in asked] == [True]


def test_nothing_is_remembered_of_a_range_that_begins_before_the_retention(embedded):
    memory, ask = memory_of(embedded), Counted(embedded)
    short = About("shop", WHOLE.ranges, (NOW - START) // DAY_S - 1)
    for _ in range(4):
        count(memory, ask, about=short)
    assert ask.number == 4


def test_nothing_is_remembered_with_events_that_may_have_expired(embedded):
    memory, ask = memory_of(embedded), Counted(embedded)
    expires_s = START + 7 + 15_000 * DAY_S
    insert_events(embedded, [Event(timestamp=(START + 7) * 1_000_000, retention_days=15_000)], token="expires")
    for now, expected in ((expires_s - SKEW_S - 1, 1), (expires_s - SKEW_S, 2), (expires_s, 3)):
        about = About("shop", WHOLE.ranges, DAYS)
        for _ in range(2 if expected == 1 else 1):
            memory.recall("q", about, ask, now)(TOTAL)
        assert ask.number == expected + 1


def test_a_question_about_a_range_is_not_forgotten_for_events_beside_it(embedded):
    memory, ask = memory_of(embedded), Counted(embedded)
    for _ in range(2):
        count(memory, ask)
    insert_events(embedded, [Event(timestamp=(START + SPAN_S) * 1_000_000)], token="beside")
    insert_events(embedded, [Event(application="other", timestamp=START * 1_000_000)], token="of another")
    count(memory, ask)
    assert ask.number == 2


def test_a_statement_about_times_beyond_the_ranges_is_not_remembered(embedded):
    memory, ask = Memory(10**6), Counted(embedded)
    about = About("shop", ((START, START + DAY_S),), DAYS)
    for _ in range(3):
        count(memory, ask, about=about)
    assert ask.number == 3


def test_rows_of_values_without_bytes_and_large_ones_are_not_remembered(embedded):
    memory, ask = Memory(10_000), Counted(embedded)
    large = Statement("SELECT number FROM numbers(10000)")
    for _ in range(3):
        recalling = memory.recall("q", WHOLE, ask, NOW)
        recalling(BY_DAY)
        recalling(large)
    assert ask.number == 6
    assert held_bytes(memory) == question_bytes("q")


def test_the_oldest_use_is_forgotten_first_and_the_bound_holds(embedded):
    most = 2 * question_bytes("a") + 4 * STATEMENT_BYTES
    memory, ask = Memory(most), Counted(embedded)

    def ask_of(question):
        memory.recall(question, WHOLE, ask, NOW)(TOTAL)
        assert held_bytes(memory) <= most

    for question in ("a", "a", "b", "b"):
        ask_of(question)
    ask_of("a")
    assert ask.number == 4
    for question in range(10):
        ask_of(question)
        ask_of("a")
    assert ask.number == 14
    ask_of("b")
    assert ask.number == 15


def test_a_mark_in_the_log_forgets_what_was_remembered(embedded):
    memory, ask = memory_of(embedded), Counted(embedded)
    for _ in range(2):
        count(memory, ask)
    mark_changed(embedded, "shop")
    count(memory, ask)
    assert ask.number == 3


def test_outcomes_are_a_closed_set(embedded):
    assert set(outcomes(Memory(1))) == {outcome.value for outcome in Outcome}
