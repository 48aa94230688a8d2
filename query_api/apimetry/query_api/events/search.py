"""Search a time range for the events of a page, span after span, within bounds of time and of rows read.

The first span is a minute: it usually has a page of events if there is no filter. Where it has not, the search counts
the events of the rest of the range, which the engine knows from its index. A small rest is one span. Otherwise the
spans double, up to a day, and each is cut to the rows and the time that are left. The first span has no bound of its
own, so every page gets further than the page before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from apimetry.query_api.events.params import EventsQuery
from apimetry.query_api.events.positions import Position
from apimetry.query_api.events.sql import count_of, events_at, next_events
from apimetry.store.errors import QueryLimitExceeded
from apimetry.store.statement import Ask, Rows

SECOND_US = 1_000_000
FIRST_SPAN_US = 60 * SECOND_US
LARGEST_SPAN_US = 86_400 * SECOND_US
FEW_ROWS = 1_000_000
"""So many rows are searched at once."""

Row = tuple[Any, ...]
Span = tuple[int, int]
"""A range `[low, high)` of microseconds since the epoch."""


@dataclass(frozen=True)
class Bounds:
    """The most rows that the search for one page may read after its first minute, and its longest time."""

    rows: int = 20_000_000
    time_s: float = 2.0


@dataclass(frozen=True)
class Found:
    """The events of one page in the query's order, and how far the search came."""

    events: list[tuple[Position, Row]]
    """The place behind each event, and its fields except the time."""

    next: Position | None
    """Where the next page begins; None if nothing follows in the range."""

    searched: tuple[int, int]
    """The seconds of the range that were searched as a whole: `[start, end)`."""

    complete: bool
    """Whether the page is full, or the whole range was searched."""


class Search:
    """One search. Its mutable state is the rows found, the span that is left, and what was read."""

    def __init__(
        self, query: EventsQuery, application: str, ask: Ask, *, clock: Callable[[], float], bounds: Bounds
    ) -> None:
        self._query = query
        self._application = application
        self._ask = ask
        self._clock = clock
        self._ends_s = clock() + bounds.time_s
        self._rows: list[Row] = []
        self._left = _span_behind(query)
        self._rows_left = bounds.rows
        self._rows_per_s: float | None = None

    def run(self) -> Found:
        """Return the page; blocks."""
        after = self._query.after
        if after is not None and after.copies and self._is_in_range(after):
            statement = events_at(self._query, self._application, after, limit=self._missing)
            self._rows.extend(self._ask(statement))
        if self._goes_on:
            self._read(self._first(FIRST_SPAN_US), max_time_s=None)
        if self._goes_on:
            self._read_rest()
        return self._found()

    def _is_in_range(self, place: Position) -> bool:
        return self._query.start * SECOND_US <= place.timestamp_us < self._query.end * SECOND_US

    @property
    def _missing(self) -> int:
        """Return the number of rows to read: one more than the page has tells whether another page follows."""
        return self._query.limit + 1 - len(self._rows)

    @property
    def _time_left_s(self) -> float:
        return self._ends_s - self._clock()

    @property
    def _goes_on(self) -> bool:
        low_us, high_us = self._left
        return self._missing > 0 and low_us < high_us and self._time_left_s > 0

    def _first(self, size_us: int) -> Span:
        """Return the first part of the span that is left; it ends at a whole second."""
        low_us, high_us = self._left
        if self._query.newest_first:
            return max(low_us, (high_us - size_us) // SECOND_US * SECOND_US), high_us
        return low_us, min(high_us, -(-(low_us + size_us) // SECOND_US) * SECOND_US)

    def _read_rest(self) -> None:
        if not self._query.is_filtered:
            # The engine stops when it has the rows of a page.
            self._read(self._left, max_time_s=self._time_left_s)
            return
        rows = self._count(self._left)
        if rows <= min(FEW_ROWS, self._rows_left):
            self._read(self._left, max_time_s=self._time_left_s)
            return
        size_us = 2 * FIRST_SPAN_US
        while self._goes_on and self._read_within_bounds(size_us):
            size_us = min(2 * size_us, LARGEST_SPAN_US)

    def _read_within_bounds(self, size_us: int) -> bool:
        """Read a span of at most this size; return whether the search may go on."""
        span = self._first(size_us)
        rows, most = self._count(span), self._most_rows()
        if rows > most:
            span = self._first((span[1] - span[0]) * most // rows - SECOND_US)
            rows = most
        if span[0] >= span[1]:
            return False
        began_s = self._clock()
        if not self._read(span, max_time_s=self._time_left_s):
            return False
        took_s = self._clock() - began_s
        if rows > FEW_ROWS // 10 and took_s > 0:
            self._rows_per_s = rows / took_s
        self._rows_left -= rows
        return True

    def _most_rows(self) -> int:
        """Return how many rows may be read now; a search knows its speed from the span before."""
        if self._rows_per_s is None:
            return self._rows_left
        return max(0, min(self._rows_left, int(self._rows_per_s * self._time_left_s)))

    def _count(self, span: Span) -> int:
        ((rows,),) = self._ask(count_of(self._application, span))
        return int(rows)

    def _read(self, span: Span, *, max_time_s: float | None) -> bool:
        """Read a span at the beginning of the rest; return whether it was read in time."""
        if max_time_s is not None and max_time_s <= 0:
            return False
        statement = next_events(self._query, self._application, span, limit=self._missing, max_time_s=max_time_s)
        try:
            self._rows.extend(self._ask(statement))
        except QueryLimitExceeded:
            if max_time_s is None:
                raise
            return False
        low_us, high_us = self._left
        self._left = (low_us, span[0]) if self._query.newest_first else (span[1], high_us)
        return True

    def _found(self) -> Found:
        events = list(_numbered(self._rows, self._query.after))
        page = events[: self._query.limit]
        low_us, high_us = self._left
        if len(events) > len(page):
            last = page[-1][0]
            return Found(page, last, self._searched(last.timestamp_us, last.timestamp_us), complete=True)
        is_whole = low_us >= high_us
        newest_first = self._query.newest_first
        rest = Position(high_us if newest_first else low_us - 1, 0, 0)
        return Found(page, None if is_whole else rest, self._searched(low_us, high_us), complete=is_whole)

    def _searched(self, low_us: int, high_us: int) -> tuple[int, int]:
        """Return the searched seconds where `[low_us, high_us)` is left, or begins with what is left."""
        begin_us, end_us = _span_behind(self._query)
        if self._query.newest_first:
            end = -(-end_us // SECOND_US)
            return min(-(-high_us // SECOND_US), end), end
        begin = begin_us // SECOND_US
        return begin, max(low_us // SECOND_US, begin)


def _numbered(rows: Rows, before: Position | None) -> Iterator[tuple[Position, Row]]:
    """Yield each row with the place behind it. Equal rows follow each other, also those of the page before."""
    for timestamp_us, hash_, *fields in rows:
        is_copy = before is not None and (timestamp_us, hash_) == (before.timestamp_us, before.hash)
        before = Position(timestamp_us, hash_, before.copies + 1 if before is not None and is_copy else 1)
        yield before, tuple(fields)


def _span_behind(query: EventsQuery) -> Span:
    """Return the part of the query's range behind the time where the page begins."""
    low_us, high_us = query.start * SECOND_US, query.end * SECOND_US
    if query.after is None:
        return low_us, high_us
    if query.newest_first:
        return low_us, max(low_us, min(high_us, query.after.timestamp_us))
    return min(high_us, max(low_us, query.after.timestamp_us + 1)), high_us
