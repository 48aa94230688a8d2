"""Days, weeks and months of a time zone as buckets, and months of UTC. Pure.

A bucket has an index: the number of local days, weeks or months since an origin. The engine computes an index from a
time and the zone's offsets, which are bound as values, so it need not know any zone. Only this module makes a time of
an index: with the same offsets, and so the same buckets, for rollups and events alike.

Days have 23 and 25 hours where the clocks change, and a day begins at one o'clock where the clocks skip midnight.
Both need no rule of their own: a time belongs to the local date that it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from apimetry.query_api.http.query_string import MAX_TIME_S, refusal
from apimetry.query_api.planning.granularity import DAY_S, NAMED_GRANULARITIES, Granularity

UTC = "UTC"
MONTH = "month"
CALENDAR_UNITS = ("day", "week", MONTH)
"""Buckets that begin in a zone. Hours and less begin on the epoch's hours in every zone."""

MONTH_S = 30 * DAY_S
"""The length of a month where one number must stand for all."""

_EPOCH = date(1970, 1, 1)
_MONDAY = date(1969, 12, 29)
_CHUNK_S = 400 * DAY_S


def checked_zone(name: str | None) -> str:
    """Return the parameter `tz` after checking that there is such a zone; UTC where it is absent."""
    if name is not None and name not in _zones():
        raise refusal("tz", name, "the name of a time zone such as Europe/Berlin")
    return name or UTC


@dataclass(frozen=True)
class Offsets:
    """The offsets of a zone within a range: from each of `changes` on, local time is UTC plus its offset, in seconds.

    The first of `changes` is the start of the range.
    """

    changes: tuple[int, ...]
    seconds: tuple[int, ...]


@dataclass(frozen=True)
class Calendar:
    """Local days, weeks (from Monday) or months of a zone, `shift_s` seconds earlier than they are.

    Times are in seconds since the epoch.
    """

    unit: str
    zone: str = UTC
    shift_s: int = 0

    @property
    def nominal_s(self) -> int:
        """Return the usual length of a bucket: 24 hours, seven days, or MONTH_S."""
        return NAMED_GRANULARITIES.get(self.unit, MONTH_S)

    def moved(self, shift_s: int) -> Calendar:
        """Return the buckets that begin so much earlier."""
        return replace(self, shift_s=self.shift_s + shift_s)

    def index(self, time_s: int) -> int:
        """Return the index of the bucket that holds a time."""
        day = datetime.fromtimestamp(time_s + self.shift_s, _zone(self.zone)).date()
        if self.unit == MONTH:
            return day.year * 12 + day.month - 1
        return (day - _EPOCH).days if self.unit == "day" else (day - _MONDAY).days // 7

    def starts_at(self, index: int) -> int:
        """Return the first second of a bucket."""
        if self.unit == MONTH:
            day = date(index // 12, index % 12 + 1, 1)
        else:
            day = _EPOCH + timedelta(index) if self.unit == "day" else _MONDAY + timedelta(weeks=index)
        local = datetime(day.year, day.month, day.day, tzinfo=_zone(self.zone))
        return int(local.timestamp()) - self.shift_s

    def floor(self, time_s: int) -> int:
        """Return the start of the bucket that holds a time."""
        return self.starts_at(self.index(time_s))

    def indexes(self, start_s: int, end_s: int) -> range:
        """Return the indexes of all buckets that overlap `[start_s, end_s)`."""
        # Clocks that are set back across midnight return to the day before.
        turns = [change - self.shift_s for change in self.offsets(start_s, end_s).changes]
        first = min(self.index(turn) for turn in turns)
        last = max(self.index(turn - 1) for turn in (*turns[1:], end_s))
        return range(first, last + 1)

    def starts(self, start_s: int, end_s: int) -> Sequence[int]:
        """Return the starts of all buckets that overlap `[start_s, end_s)`."""
        return [self.starts_at(index) for index in self.indexes(start_s, end_s)]

    def local(self, time_s: int) -> int:
        """Return the local time: as many seconds since the epoch as a clock in UTC shows when it shows the same."""
        return time_s + self.shift_s + _offset(self.zone, time_s + self.shift_s)

    def offsets(self, start_s: int, end_s: int) -> Offsets:
        """Return the zone's offsets in the range, by the zone's own times, which are `shift_s` later."""
        return _offsets(self.zone, start_s + self.shift_s, end_s + self.shift_s)

    def grain(self, start_s: int, end_s: int) -> Granularity:
        """Return equal, coarse buckets, of which every bucket that overlaps `[start_s, end_s)` is made.

        They are days, hours, minutes or seconds.
        """
        offsets = self.offsets(start_s, end_s)
        turns = (*offsets.seconds, *offsets.changes[1:])
        sizes = (DAY_S, 3600, 60, 1)
        size = next(size for size in sizes if all(turn % size == 0 for turn in turns))
        return Granularity(size, -self.shift_s % size)


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _offsets(zone: str, start_s: int, end_s: int) -> Offsets:
    changes, seconds = [start_s], [_offset(zone, start_s)]
    for chunk in range(start_s // _CHUNK_S, (end_s - 1) // _CHUNK_S + 1):
        for change in _changes(zone, chunk):
            if start_s < change < end_s:
                changes.append(change)
                seconds.append(_offset(zone, change))
    return Offsets(tuple(changes), tuple(seconds))


@lru_cache(maxsize=1024)
def _changes(zone: str, chunk: int) -> tuple[int, ...]:
    """Return the times in a chunk of _CHUNK_S at which the offset changes. No zone changes twice within a day."""
    changes = []
    for day in range(chunk * _CHUNK_S, (chunk + 1) * _CHUNK_S, DAY_S):
        before, after = day - 1, day + DAY_S - 1
        if _offset(zone, before) == _offset(zone, after):
            continue
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (middle, after) if _offset(zone, middle) == _offset(zone, before) else (before, middle)
        changes.append(after)
    return tuple(changes)


def _offset(zone: str, time_s: int) -> int:
    # Rules of a zone repeat for ever. A time that is too late for a date has the last offset.
    offset = datetime.fromtimestamp(min(time_s, 2 * MAX_TIME_S), _zone(zone)).utcoffset()
    return int(offset.total_seconds()) if offset else 0
