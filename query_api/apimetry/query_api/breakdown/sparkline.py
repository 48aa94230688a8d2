"""Sparklines: the requests of each row in buckets of a range. Pure.

The buckets are equal parts of the range. Their edges are moved to the next whole unit (a second, a minute, an hour or
a day), so that rollups can answer. Every bucket is exact between its edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template
from typing import Final

from apimetry.query_api.breakdown.scope import Key, Scope
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.planning.planner import Plan
from apimetry.query_api.planning.rows_sql import Column, Conditions, partial_rows, range_parameters, seconds, weight
from apimetry.store.rollups import HOUR_S, MINUTE_S
from apimetry.store.statement import Rows, Statement

MAX_BUCKETS: Final = 60
_UNITS_S: Final = (86_400, HOUR_S, MINUTE_S, 1)
_FINE: Final = 6
"""Units in a bucket from which on its width looks equal to that of the others."""

_SERIES = Template("""SELECT $keys, groupArray(bucket), groupArray(requests)
FROM (
  SELECT $keys, part.bucket AS bucket, sum(part.weight) AS requests
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

    @staticmethod
    def of(scope: Scope, buckets: int) -> Sparkline:
        """Return `buckets` buckets, of the unit that costs least and is fine enough, otherwise of the next coarser.

        If no rollup answers, the unit is a second.
        """
        width_s = (scope.end - scope.start) / buckets
        units = [unit_s for unit_s in _UNITS_S if unit_s <= width_s]
        fine = [unit_s for unit_s in units if unit_s * _FINE <= width_s]
        for unit_s in (*fine, *reversed(units[: len(units) - len(fine)])):
            source = scope.plan(granularity=Granularity(unit_s), subtracts=True)
            if source.rollup is not None:
                return Sparkline(scope, buckets, unit_s, source)
        return Sparkline(scope, buckets, 1, scope.plan(granularity=Granularity(1), subtracts=True))

    @property
    def starts(self) -> list[int]:
        """The first second of each bucket."""
        span_s = self.scope.end - self.scope.start
        edges = (self.scope.start - -number * span_s // self.buckets for number in range(1, self.buckets))
        return [self.scope.start, *(min(-(-edge // self.unit_s) * self.unit_s, self.scope.end) for edge in edges)]

    @property
    def statement(self) -> Statement:
        """Select rows of (the key, filled buckets, their requests)."""
        time_s = seconds(self.source)
        bucket = Column("bucket", _BUCKET.substitute(time_s=_EVENT_S), _BUCKET.substitute(time_s=time_s))
        columns = (*self.scope.columns(self.source), bucket, weight(self.source))
        sql = _SERIES.substitute(
            keys=", ".join(self.scope.names),
            rows=partial_rows(self.source, columns, Conditions(self.scope.conditions)),
        )
        parameters = {
            "unit_s": self.unit_s,
            "series_start_s": self.scope.start,
            "series_buckets": self.buckets,
            "series_span_s": self.scope.end - self.scope.start,
        }
        return Statement(sql, {**self.scope.parameters, **range_parameters(self.source), **parameters})

    def series(self, rows: Rows) -> dict[Key, list[int]]:
        """Return the requests in all buckets, by key, of the rows of `statement`."""
        series = {}
        for *key, buckets, requests in rows:
            filled = dict(zip(buckets, requests, strict=True))
            series[tuple(key)] = [filled.get(bucket, 0) for bucket in range(self.buckets)]
        return series
