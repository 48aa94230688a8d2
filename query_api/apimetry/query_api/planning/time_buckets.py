"""Clock-aligned buckets of time, by index: the calendar of usage. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from apimetry.query_api.planning.calendar import CALENDAR_UNITS, MONTH, UTC, Calendar
from apimetry.query_api.planning.granularity import NAMED_GRANULARITIES, Granularity, named_granularity

GRANULARITIES = (*(name for name in NAMED_GRANULARITIES if name != "second"), MONTH)


@dataclass(frozen=True)
class Buckets:
    """The buckets of one of GRANULARITIES that overlap `[start, end)` seconds.

    The first bucket has index 0. The first and the last bucket may begin before the range or end after it. Only
    events in the range count. Days, weeks and months begin in `zone`.
    """

    granularity: str
    start: int
    end: int
    zone: str = UTC

    @property
    def count(self) -> int:
        """Return the number of buckets; 0 for an empty range."""
        if self.start >= self.end:
            return 0
        if self.calendar:
            return len(self.calendar.indexes(self.start, self.end))
        return (self.end - 1 - self.starts_at(0)) // self.size_s + 1

    @cached_property
    def calendar(self) -> Calendar | None:
        """Return the calendar of buckets whose lengths differ."""
        differ = self.granularity == MONTH or (self.granularity in CALENDAR_UNITS and self.zone != UTC)
        return Calendar(self.granularity, self.zone) if differ else None

    @cached_property
    def first_index(self) -> int:
        """Return the calendar's index of the first bucket; 0 without a calendar."""
        return self.calendar.indexes(self.start, max(self.end, self.start + 1)).start if self.calendar else 0

    @property
    def size_s(self) -> int:
        """Return the seconds of each bucket, where there is no calendar."""
        return self._fixed.seconds

    def starts_at(self, index: int) -> int:
        """Return the first second of a bucket, also of one after the last."""
        if self.calendar:
            return self.calendar.starts_at(self.first_index + index)
        return self._first_s + index * self._fixed.seconds

    def clip(self, indexes: range) -> tuple[int, int]:
        """Return the part of `[start, end)` that lies in the buckets `indexes`, which follow each other."""
        return max(self.start, self.starts_at(indexes.start)), min(self.end, self.starts_at(indexes.stop))

    @cached_property
    def _first_s(self) -> int:
        return self._fixed.floor(self.start)

    @cached_property
    def _fixed(self) -> Granularity:
        return named_granularity(self.granularity)
