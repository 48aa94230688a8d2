"""The events of one poll, and which of them a client gets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from apimetry.query_api.events.news import COLUMNS
from apimetry.query_api.events.positions import Position
from apimetry.query_api.events.search import Row
from apimetry.query_api.planning.filter_matching import Test

# An event in Python without the characters of its texts.
_EVENT_BYTES = 2_000
_PAIR_BYTES = 250
# One character may make all characters of its text as wide.
_WIDEST_BYTES = 4

Event = tuple[Position, Row]

PLACES = {name: place for place, name in enumerate(name for name in COLUMNS if name != "timestamp")}
"""The places of the columns in the row of an event."""


@dataclass(frozen=True)
class Batch:
    """The new events of one poll, the oldest first."""

    second: int
    """The time of the poll, in seconds since the epoch."""

    seconds: float
    """The time since the poll before."""

    events: Sequence[Event]
    total: int
    """The number of new events, also of those that were not read."""

    @cached_property
    def size(self) -> int:
        """Return the bytes that the events take at most."""
        return sum(map(_size_of, self.events))


@dataclass(frozen=True)
class Chosen:
    """The events of a batch that one client gets, and the number of those that pass its filters."""

    events: Sequence[Event]
    matching: int


def newest_within(batch: Batch, size: int) -> Batch:
    """Return the newest events of a batch that take at most `size` bytes together."""
    if batch.size <= size:
        return batch
    sizes = accumulate(map(_size_of, reversed(batch.events)))
    return _only(batch, len(batch.events) - sum(total <= size for total in sizes))


def choose(batch: Batch, passes: Test, events_per_s: int) -> Chosen:
    """Return the events of a batch for one client, evenly chosen where there are too many."""
    matching = [event for event in batch.events if passes(event[1])]
    most = max(events_per_s, int(events_per_s * batch.seconds))
    events = matching
    if len(matching) > most:
        events = [matching[number * len(matching) // most] for number in range(most)]
    # Of the events that were not read, the same share passes the filters.
    share = batch.total / len(batch.events) if batch.events else 1.0
    return Chosen(events, max(len(matching), round(len(matching) * share)))


def batches_after(batches: Iterable[Batch], last: Position) -> list[Batch]:
    """Return what came after the event that lies before `last`; if it is not there, the events with a later place."""
    in_order = list(batches)
    for number in range(len(in_order) - 1, -1, -1):
        places = [position for position, _ in in_order[number].events]
        if last in places:
            return [_only(in_order[number], places.index(last) + 1), *in_order[number + 1 :]]
    return [_only(batch, _number_before(batch, last)) for batch in in_order]


def _only(batch: Batch, first: int) -> Batch:
    events = batch.events[first:]
    total = round(batch.total * len(events) / len(batch.events)) if events else 0
    return Batch(batch.second, batch.seconds, events, total)


def _number_before(batch: Batch, last: Position) -> int:
    place = (last.timestamp_us, last.hash, last.copies)
    return sum((at.timestamp_us, at.hash, at.copies) <= place for at, _ in batch.events)


def _size_of(event: Event) -> int:
    _, row = event
    data = row[PLACES["data"]]
    texts = [value for value in row if isinstance(value, str)]
    pairs = _PAIR_BYTES * len(data) + sum(map(_width, data)) + sum(map(_width, data.values()))
    return _EVENT_BYTES + pairs + sum(map(_width, texts))


def _width(text: str) -> int:
    return len(text) if text.isascii() else _WIDEST_BYTES * len(text)
