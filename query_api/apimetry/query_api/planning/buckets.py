"""Time buckets on the clock, by index: the calendar of usage. Pure; all times are UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from apimetry.query_api.planning.granularity import NAMED_GRANULARITIES, Granularity, named_granularity

MONTH = "month"
GRANULARITIES = (*(name for name in NAMED_GRANULARITIES if name != "second"), MONTH)


@dataclass(frozen=True)
class Buckets:
    """The buckets of one of GRANULARITIES that overlap `[start, end)` seconds.

    The first bucket has index 0. The first and the last bucket may begin before the range or end after it. Only
    events in the range count.
    """

    granularity: str
    start: int
    end: int

    @property
    def count(self) -> int:
        """The number of buckets; 0 for an empty range."""
        return self._index(self.end - 1) + 1 if self.start < self.end else 0

    @property
    def first_month(self) -> int:
        """Months from the year 0 to the first bucket. The index of a later month counts from it."""
        return _month_of(self.start)

    @property
    def size_s(self) -> int | None:
        """Seconds of each bucket; None for months, whose lengths differ."""
        return None if self.granularity == MONTH else self._fixed.seconds

    def starts_at(self, index: int) -> int:
        """Return the first second of a bucket, also of one after the last."""
        if self.granularity != MONTH:
            return self._fixed.floor(self.start) + index * self._fixed.seconds
        year, month = divmod(self.first_month + index, 12)
        return int(datetime(year, month + 1, 1, tzinfo=timezone.utc).timestamp())

    def clip(self, indexes: range) -> tuple[int, int]:
        """Return the part of `[start, end)` that lies in the buckets `indexes`, which follow each other."""
        return max(self.start, self.starts_at(indexes.start)), min(self.end, self.starts_at(indexes.stop))

    def _index(self, time_s: int) -> int:
        if self.granularity == MONTH:
            return _month_of(time_s) - self.first_month
        return (time_s - self.starts_at(0)) // self._fixed.seconds

    @property
    def _fixed(self) -> Granularity:
        return named_granularity(self.granularity)


def _month_of(time_s: int) -> int:
    time = datetime.fromtimestamp(time_s, timezone.utc)
    return time.year * 12 + time.month - 1
