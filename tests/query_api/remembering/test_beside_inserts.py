"""What is remembered while inserts, deletions and marks come: never anything that is no longer true."""

from __future__ import annotations

import itertools

import pytest

from apimetry.query_api.remembering import Memory, Outcome
from apimetry.store.changes import mark_changed
from tests.support.oracles.query_events import Event, insert_events
from tests.support.oracles.remembered import (
    START,
    Counted,
    count,
    memory_of,
    outcomes,
)


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


@pytest.mark.parametrize(("application", "third"), [("other", "used"), ("shop", "read")])
def test_in_an_embedded_store_an_insert_beside_rows_forgets_them_only_if_it_is_of_their_events(
    embedded, application, third
):
    memory, numbers = memory_of(embedded), itertools.count()

    def ask(statement):
        if "FROM changes" not in statement.sql:
            event = Event(application=application, timestamp=(START + 9) * 1_000_000)
            insert_events(embedded, [event], token=f"beside {next(numbers)}")
        return embedded.ask(statement)

    outcomes_before = Outcome.unfit.value, Outcome.read.value
    for outcome in (*outcomes_before, third):
        before = outcomes(memory)[outcome]
        assert count(memory, ask) == count(Memory(1), embedded.ask)
        assert outcomes(memory)[outcome] == before + 1


def test_in_an_embedded_store_nothing_is_remembered_that_a_hold_came_between(embedded):
    memory = memory_of(embedded)

    def ask(statement):
        if "FROM changes" not in statement.sql:
            with embedded.inserts.held():
                pass
        return embedded.ask(statement)

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


def test_a_mark_in_the_log_forgets_what_was_remembered(embedded):
    memory, ask = memory_of(embedded), Counted(embedded)
    for _ in range(2):
        count(memory, ask)
    mark_changed(embedded, "shop")
    count(memory, ask)
    assert ask.number == 3
