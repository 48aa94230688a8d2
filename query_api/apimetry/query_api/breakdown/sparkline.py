"""Sparklines: the requests of each row in buckets of a range. Pure.

The buckets are equal parts of the range. Their edges are moved to the next whole unit (a second, a minute, an hour or
a day), so that rollups can answer. Every bucket is exact between its edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template
from typing import Final

from apimetry.query_api.breakdown.scope import Key, Scope
from apimetry.query_api.planning.bucket_sql import bucket_parameters, local_seconds
from apimetry.query_api.planning.calendar import UTC, Calendar
from apimetry.query_api.planning.granularity import DAY_S, Granularity
from apimetry.query_api.planning.planner import Plan
from apimetry.query_api.planning.rows_sql import (
    Column,
    Conditions,
    added_up,
    partial_rows,
    range_parameters,
    seconds,
    settings_of,
    weight,
)
from apimetry.store.rollups import HOUR_S, MINUTE_S
from apimetry.store.statement import Rows, Statement

MAX_BUCKETS: Final = 60
_UNITS_S: Final = (DAY_S, HOUR_S, MINUTE_S, 1)
_FINE: Final = 6
"""Units in a bucket from which on its width looks equal to that of the others."""

_SERIES = Template("""SELECT $keys, groupArray(bucket), groupArray(requests)
FROM (
  SELECT $keys, part.bucket AS bucket, $requests AS requests
  FROM ($rows) AS part
  GROUP BY $keys, bucket
  HAVING requests > 0
)
GROUP BY $keys""")
_BUCKET = Template(
    "toUInt8(greatest(0, intDiv((intDiv($time_s, {unit_s:Int64}) * {unit_s:Int64} - {series_start_s:Int64})"
    " * {series_buckets:Int64}, {series_span_s:Int64})))"
)
_EVENT_S: Final = "intDiv(toUnixTimestamp64Micro(timestamp), 1000000)"


@dataclass(frozen=True)
class Sparkline:
    """The buckets of a scope's range, and what answers for them."""

    scope: Scope
    buckets: int
    unit_s: int
    source: Plan
    days: Calendar | None = None
    """The days of a zone, where the unit is its day."""

    @staticmethod
    def of(scope: Scope, buckets: int, zone: str = UTC) -> Sparkline:
        """Return `buckets` buckets, of the unit that costs least and is fine enough, otherwise of the next coarser.

        Days are those of `zone`. If no rollup answers, the unit is a second.
        """
        width_s = (scope.end - scope.start) / buckets
        units = [unit_s for unit_s in _UNITS_S if unit_s <= width_s]
        fine = [unit_s for unit_s in units if unit_s * _FINE <= width_s]
        for unit_s in (*fine, *reversed(units[: len(units) - len(fine)])):
            days = Calendar("day", zone) if unit_s == DAY_S and zone != UTC else None
            grain = days.grain(scope.start, scope.end) if days else Granularity(unit_s)
            source = scope.plan(granularity=grain, subtracts=True)
            if source.rollup is not None:
                return Sparkline(scope, buckets, unit_s, source, days)
        return Sparkline(scope, buckets, 1, scope.plan(granularity=Granularity(1), subtracts=True))

    @property
    def starts(self) -> list[int]:
        """Return the first second of each bucket."""
        start, end = self._span
        edges = (start - -number * (end - start) // self.buckets for number in range(1, self.buckets))
        units = (-(-edge // self.unit_s) for edge in edges)
        times = (self.days.starts_at(unit) if self.days else unit * self.unit_s for unit in units)
        return [self.scope.start, *(min(time_s, self.scope.end) for time_s in times)]

    @property
    def _span(self) -> tuple[int, int]:
        """Return the range by the clock that shows the unit."""
        start, end = self.scope.start, self.scope.end
        return (self.days.local(start), self.days.local(end - 1) + 1) if self.days else (start, end)

    @property
    def statement(self) -> Statement:
        """Select rows of (the key, filled buckets, their requests)."""
        bucket = Column("bucket", self._bucket(_EVENT_S), self._bucket(seconds(self.source)))
        columns = (*self.scope.columns(self.source), bucket, weight(self.source))
        sql = _SERIES.substitute(
            keys=", ".join(self.scope.names),
            requests=added_up(self.source),
            rows=partial_rows(self.source, columns, Conditions(self.scope.conditions)),
        )
        start, end = self._span
        parameters = {
            "unit_s": self.unit_s,
            "series_start_s": start,
            "series_buckets": self.buckets,
            "series_span_s": end - start,
            **(bucket_parameters(self.days, self.source.start, self.source.end) if self.days else {}),
        }
        values = {**self.scope.parameters, **range_parameters(self.source), **parameters}
        return Statement(sql, values, settings_of(self.source))

    def _bucket(self, time_s: str) -> str:
        shown = local_seconds(self.days, self.source, time_s) if self.days else time_s
        return _BUCKET.substitute(time_s=shown)

    def series(self, rows: Rows) -> dict[Key, list[int]]:
        """Return the requests in all buckets, by key, of the rows of `statement`."""
        series = {}
        for *key, buckets, requests in rows:
            filled = dict(zip(buckets, requests, strict=True))
            series[tuple(key)] = [filled.get(bucket, 0) for bucket in range(self.buckets)]
        return series
