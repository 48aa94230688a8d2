"""Read the events of an application that were not read before; in a thread of the store.

Events have no column for the time of their insert. So a poll reads the times and hashes of the newest events, which
are small, and compares them with those that it read before. It reads all fields of the new events only.

Where there are more events than a poll may read, the newest are read. Older ones are skipped for good: the `floor`
rises to the oldest one that was read. So all events above the floor that a reader does not know are new, and their
number is known from one count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from apimetry.query_api.events.params import FIELDS, EventsQuery
from apimetry.query_api.events.positions import Position
from apimetry.query_api.events.search import Row
from apimetry.query_api.events.sql import count_of, next_events
from apimetry.query_api.settings import LiveLimits
from apimetry.store.errors import QueryLimitExceeded
from apimetry.store.statement import Ask, Rows

KNOWN_BYTES: Final = 250
"""What a known event takes in memory. A feed knows three times the events of a poll at most."""

COLUMNS = (*FIELDS, "user_agent_family")
"""What is read of each event: what may be shown, and what filters need."""

Known = Mapping[tuple[int, int], int]
"""How many events with a time in microseconds and a hash are known."""


@dataclass(frozen=True)
class Memory:
    """What one poll leaves for the next."""

    known: Known = field(default_factory=dict)
    floor_us: int = -1
    """Events up to this time are known or were skipped."""


@dataclass(frozen=True)
class News:
    """The events that one poll found."""

    events: list[tuple[Position, Row]]
    """The place behind each new event, and its COLUMNS except the time; the oldest first."""

    total: int
    """The number of new events, also of those that were skipped."""

    memory: Memory


def read_news(ask: Ask, application: str, span_us: tuple[int, int], memory: Memory, *, limits: LiveLimits) -> News:
    """Return the new events of a span `[low, high)` of microseconds. Blocks while `ask` does."""
    low_us, high_us = max(span_us[0], memory.floor_us + 1), span_us[1]
    if low_us >= high_us:
        return News([], 0, memory)
    query = EventsQuery(0, 0, fields=())
    known = Counter(_keys(ask(next_events(query, application, (low_us, high_us), limit=limits.rows))))
    floor_us = memory.floor_us if known.total() < limits.rows else min(key[0] for key in known)
    times = [key[0] for key, count in known.items() if count > memory.known.get(key, 0)]
    rows: Rows = []
    if times:
        rows, is_whole = _read_rows(ask, application, (min(times), max(times) + 1), limits)
        floor_us = floor_us if is_whole else rows[-1][0]
    events = _new_events(rows, memory.known)
    total = len(events)
    if floor_us > memory.floor_us:
        before = sum(count for key, count in memory.known.items() if low_us <= key[0] < high_us)
        ((stored,),) = ask(count_of(application, (low_us, high_us)))
        total = max(total, stored - before)
    # A replica may lack an event that another one had. And events may have come between the two statements.
    known |= Counter({key: count for key, count in memory.known.items() if key[0] >= low_us})
    return News(events, total, Memory(known | Counter(_keys(rows)), floor_us))


def _read_rows(ask: Ask, application: str, span_us: tuple[int, int], limits: LiveLimits) -> tuple[Rows, bool]:
    """Return the newest events of a span, and whether those are all: as many as `result_bytes` allows."""
    query, limit = EventsQuery(0, 0, fields=COLUMNS), limits.rows
    while True:
        statement = next_events(query, application, span_us, limit=limit)
        try:
            rows = ask(replace(statement, settings={"max_result_bytes": limits.result_bytes}))
        except QueryLimitExceeded:
            if limit == 1:
                raise
            limit = max(1, limit // 4)
        else:
            return rows, len(rows) < limit


def _keys(rows: Rows) -> list[tuple[int, int]]:
    return [(timestamp_us, hash_) for timestamp_us, hash_, *_ in rows]


def _new_events(rows: Rows, known: Known) -> list[tuple[Position, Row]]:
    counts: Counter[tuple[int, int]] = Counter()
    events = []
    for timestamp_us, hash_, *fields in reversed(rows):
        key = (timestamp_us, hash_)
        counts[key] += 1
        if counts[key] > known.get(key, 0):
            events.append((Position(timestamp_us, hash_, counts[key]), tuple(fields)))
    return events
