"""Summaries that are added up from pieces, over a real engine: parts of hours, and what is read again."""

from __future__ import annotations

import random

import pytest

from apimetry.query_api.remembering import About, Memory
from apimetry.query_api.summary import pieces, pieces_sql
from apimetry.query_api.summary.answer import answer_summary
from apimetry.query_api.summary.params import parse_summary
from tests.query_api.summary.test_answer import DAY, HOUR, SHOP, START, assert_counted, summary
from tests.support.oracles.query_events import Event, insert_events, random_events
from tests.support.oracles.remembered import Counted

BEGIN = START // HOUR * HOUR


@pytest.mark.parametrize("now_s", [0, 5, 900, DAY])
@pytest.mark.parametrize("days", [0, 4])
def test_parts_of_an_hour_at_both_ends_count_what_is_in_the_range(store, now_s, days):
    events = random_events(51, 1_500, BEGIN, BEGIN + days * DAY + 5 * HOUR)
    for number in range(2):
        insert_events(store, events[number::2], token=str(number))
    rng = random.Random(now_s)
    for near_start, near_end in [(0, 0), (1, 1), (60, 3_540), (1_801, 1_799), (3_599, 3_599), (0, 1_850), (2_400, 0)]:
        start = BEGIN + near_start
        end = BEGIN + days * DAY + rng.choice([3, 4]) * HOUR + near_end
        answer = summary(store, start=start, end=end, now=end + now_s)
        assert_counted(answer, events, [])
        assert answer["estimated"]


@pytest.mark.parametrize("slowest_s", [2 * HOUR + 100, 2 * HOUR + 3_000, HOUR])
def test_the_longest_time_is_that_of_a_request_in_the_range(store, slowest_s):
    events = [Event(timestamp=(BEGIN + second) * 1_000_000, response_us=9_000) for second in range(0, 3 * HOUR, 60)]
    insert_events(store, [*events, Event(timestamp=(BEGIN + slowest_s) * 1_000_000, response_us=70_000)])
    end = BEGIN + 2 * HOUR + 2_900
    answer = summary(store, start=BEGIN, end=end, now=end + 60)
    assert answer["maxMs"] == (9.0 if BEGIN + slowest_s >= end else 70.0)


def test_more_consumers_than_are_read_are_counted_by_the_engine(store, monkeypatch):
    events = random_events(52, 400, BEGIN, BEGIN + 4 * HOUR)
    insert_events(store, events)
    read = summary(store, start=BEGIN + 60, end=BEGIN + 4 * HOUR)
    monkeypatch.setattr(pieces_sql, "MOST_CONSUMERS", 1)
    assert summary(store, start=BEGIN + 60, end=BEGIN + 4 * HOUR) == read
    assert read["consumers"] > 1


def test_events_beyond_the_range_that_no_rollup_has_yet_make_no_figure_negative(store):
    """Between an insert's events and its rollups there is a moment, which a reader of a server may see."""
    end = BEGIN + 3 * HOUR + 2_000
    insert_events(store, [Event(timestamp=(BEGIN + 60) * 1_000_000, consumer_id="old", response_us=5)])
    for (view,) in store.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'MaterializedView'"
    ):
        store.command(f"DETACH TABLE {view}")
    beyond = Event(
        timestamp=(end + 1) * 1_000_000, consumer_id="new", status_code=500, response_us=7, sample_weight=9
    )
    insert_events(store, [beyond], token="beyond")
    answer = summary(store, start=BEGIN, end=end, now=end + 2)
    assert answer["requests"] == answer["serverErrors"] == answer["errors"] == 0
    assert (answer["consumers"], answer["peakRequestsPerMinute"], answer["requestBytes"]) == (1, 1, 0)


@pytest.mark.parametrize("hours", [29, 101])
def test_of_a_range_whose_end_moves_the_whole_hours_are_read_once_and_again_after_a_late_event(embedded_store, hours):
    events = random_events(53, 600, BEGIN, BEGIN + (hours + 1) * HOUR)
    insert_events(embedded_store, events)
    memory, ask = Memory(10**6, embedded_store.inserts), Counted(embedded_store)

    def requests(end):
        ask.statements.clear()
        query = parse_summary([("start", str(BEGIN)), ("end", str(end)), ("compare", "previous")], end)
        ranges = ((query.start, query.end), query.compared)
        recalled = memory.recall(query, About("shop", ranges, 20_000), ask, end)
        answer = answer_summary(query, SHOP, ask=recalled, now=end)
        assert answer == answer_summary(query, SHOP, ask=embedded_store.ask, now=end)
        return answer["requests"], ask.having("GROUP BY time")

    end = BEGIN + hours * HOUR + 600
    counts = [requests(end + moved_s) for moved_s in (0, 10, 20, 30)]
    # Each of both periods has a statement of the busiest minute of its whole hours.
    assert [of_minutes for _, of_minutes in counts] == [2, 2, 0, 0]
    insert_events(embedded_store, [Event(timestamp=(BEGIN + 5) * 1_000_000)], token="late")
    count, of_minutes = requests(end + 30)
    assert (count, of_minutes) == (counts[-1][0] + 1, 1)


@pytest.mark.parametrize("since_days", [2, 99])
def test_days_before_the_recorded_one_are_read_by_the_hour(embedded_store, since_days):
    midnight = BEGIN // DAY * DAY
    events = random_events(54, 900, midnight - HOUR, midnight + 5 * DAY)
    insert_events(embedded_store, events)
    since = midnight + since_days * DAY
    # What an upgrade leaves: earlier days have no rows, or not all.
    for table in ("daily_totals", "daily_consumers"):
        embedded_store.command(f"ALTER TABLE {table} DELETE WHERE time < {since} SETTINGS mutations_sync = 1")
    embedded_store.command(f"INSERT INTO whole_days VALUES ({since})")
    for start, end in [(0, 4 * DAY), (0, 4 * DAY + 7), (-7, 4 * DAY), (2 * HOUR, 4 * DAY + 3 * HOUR)]:
        answer = summary(embedded_store, start=midnight + start, end=midnight + end)
        assert_counted(answer, events, [])


def test_what_an_edge_reads_beyond_the_range_is_not_remembered():
    end = BEGIN + 5 * HOUR + 60
    scope = pieces.Scope("shop", BEGIN, end, now=end)
    hours = pieces_sql.hours_of(scope)
    about = About("shop", ((BEGIN, end),), 20_000)
    assert hours.source.subtracts
    assert not about.covers(pieces_sql.other_hours(scope, hours))
    assert not about.covers(pieces_sql.events(scope, hours))
    assert about.covers(pieces_sql.totals(scope, hours))
