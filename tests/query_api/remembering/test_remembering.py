"""Remembered rows: the answers are always those from the events, and what is remembered stays within its bounds."""

from __future__ import annotations

import random

import pytest

from apimetry.query_api.planning.period import ranges_of
from apimetry.query_api.question_size import question_bytes
from apimetry.query_api.remembering import DAY_S, SKEW_S, STATEMENT_BYTES, About, Memory, Outcome
from apimetry.query_api.usage.answer import answer_usage
from apimetry.query_api.usage.params import UsageQuery, Window
from apimetry.store.statement import Statement
from tests.support.oracles.query_events import Event, expected_answer, insert_events
from tests.support.oracles.remembered import (
    BY_DAY,
    DAYS,
    EVENTS,
    NOW,
    SHOP,
    SPAN_S,
    START,
    TOTAL,
    WHOLE,
    Counted,
    change,
    count,
    held_bytes,
    memory_of,
    outcomes,
    random_question,
)


def test_from_the_third_time_on_a_question_runs_no_statement_of_its_own(filled):
    memory, ask = memory_of(filled), Counted(filled)
    answers = [count(memory, ask) for _ in range(5)]
    assert answers == [answers[0]] * 5
    assert ask.number == 2
    assert outcomes(memory) == {"used": 3, "read": 1, "unfit": 1}


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


def test_outcomes_are_a_closed_set(embedded):
    assert set(outcomes(Memory(1))) == {outcome.value for outcome in Outcome}
