"""Polls find every event once, whatever the order of their arrival."""

from __future__ import annotations

import random
from dataclasses import replace

from apimetry.query_api.events.news import Memory, read_news
from apimetry.query_api.settings import LiveLimits
from tests.support.oracles.query_events import Event, insert_events, random_events

START = 1_413_295_200
SPAN_US = (START * 1_000_000, (START + 60) * 1_000_000)


class Reader:
    """Polls a store, and keeps what it found."""

    def __init__(self, store, **limits):
        self._store = store
        self._limits = LiveLimits(**limits)
        self._memory = Memory()
        self.positions = []
        self.total = 0

    def poll(self, ask=None):
        news = read_news(ask or self._store.ask, "shop", SPAN_US, self._memory, limits=self._limits)
        self._memory = news.memory
        self.positions += [position for position, _ in news.events]
        self.total += news.total
        return news.events


def urls(events):
    return [row[1] for _, row in events]


def test_every_event_is_news_once_also_late_and_equal_ones(store):
    rng = random.Random(5)
    few = random_events(5, 8, START, START + 2)
    events = [replace(event, application="shop") for event in rng.choices(few, k=80)]
    events += [replace(event, application="shop") for event in random_events(6, 200, START, START + 60)]
    rng.shuffle(events)
    reader = Reader(store)
    for part in range(10):
        arriving = events[part::10]
        insert_events(store, [*arriving, Event("other", START * 1_000_000)], f"part {part}")
        news = reader.poll()
        assert [position.timestamp_us for position, _ in news] == sorted(event.timestamp for event in arriving)
        assert reader.poll() == []
    assert len(set(reader.positions)) == len(events) == reader.total


def test_of_too_many_events_the_newest_are_read_and_all_are_counted(embedded_store):
    reader = Reader(embedded_store, rows=10)

    def insert(*numbers):
        events = [Event(timestamp=START * 1_000_000 + number, url=f"/{number}") for number in numbers]
        insert_events(embedded_store, events, str(numbers))

    insert(*range(25))
    assert urls(reader.poll()) == [f"/{number}" for number in range(15, 25)]
    assert reader.total == 25
    # Events that were skipped are never news, and a late one among them neither.
    insert(3, 27)
    assert urls(reader.poll()) == ["/27"]
    insert(*range(30, 60))
    assert urls(reader.poll()) == [f"/{number}" for number in range(50, 60)]
    assert reader.total == 25 + 1 + 30
    assert reader.poll() == []


def test_of_too_large_events_as_many_are_read_as_fit(embedded_store):
    events = [
        Event(timestamp=START * 1_000_000 + number, url=f"/{number}", data={"text": "x" * 50_000})
        for number in range(100)
    ]
    insert_events(embedded_store, events)
    reader = Reader(embedded_store, result_bytes=2_000_000)
    arrived = urls(reader.poll())
    assert arrived == [f"/{number}" for number in range(100 - len(arrived), 100)]
    assert 5 < len(arrived) < 40
    assert reader.total == 100
    assert reader.poll() == []


def test_an_event_that_a_replica_lacks_for_a_moment_is_news_once(embedded_store):
    insert_events(embedded_store, [Event(timestamp=START * 1_000_000 + 1)])
    reader = Reader(embedded_store)
    assert len(reader.poll()) == 1
    assert reader.poll(lambda statement: []) == []
    assert reader.poll() == []


def test_an_event_that_comes_between_the_statements_of_a_poll_is_news_once(embedded_store):
    insert_events(embedded_store, [Event(timestamp=START * 1_000_000 + number) for number in (1, 9)])
    reader, statements = Reader(embedded_store), []

    def ask(statement):
        if len(statements) == 1:
            insert_events(embedded_store, [Event(timestamp=START * 1_000_000 + 5, url="/between")], "between")
        statements.append(statement)
        return embedded_store.ask(statement)

    arrived = urls(reader.poll(ask)) + urls(reader.poll())
    assert sorted(arrived) == ["/", "/", "/between"]
