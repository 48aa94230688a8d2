"""Usage as SQL over raw events. Pure.

Invariants: values are bound by the server; what is spliced into the text comes from closed sets. Every count is a sum
of `sample_weight`, every mean a weighted sum that Python divides. A request failed when its status is 400 or above;
bytes that were not measured count as none.

Each statement returns few rows: one, one for each listed group, or one for each bucket of a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from apimetry.query_api.buckets import Buckets
from apimetry.query_api.params import NUMERIC_DIMENSIONS, Filter

Dimension = Literal["route", "method", "status_code", "consumer_id", "source"]
Sort = Literal["requests", "errors", "latency", "timestamp"]

PERCENTILES = (50, 95, 99)

_MEASURES = """sum(sample_weight) AS requests,
    sumIf(sample_weight, status_code >= 400) AS errors,
    sum(response_us * sample_weight) AS latency_us,
    max(response_us) AS peak_us,
    sum((ifNull(request_bytes, 0) + ifNull(response_bytes, 0)) * sample_weight) AS bytes"""
# The same measures over the rows of a subquery `part` that has them.
_SUMS = """sum(part.requests) AS requests, sum(part.errors) AS errors, sum(part.latency_us) AS latency_us,
  max(part.peak_us) AS peak_us, sum(part.bytes) AS bytes"""
_NOTHING = "0 AS requests, 0 AS errors, 0 AS latency_us, 0 AS peak_us, 0 AS bytes"

_WHERE = """FROM events
  WHERE application = {application:String}
    AND timestamp >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC')
    AND timestamp < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')"""

_FIRST = """SELECT toUnixTimestamp64Micro(timestamp)
FROM events WHERE application = {application:String} ORDER BY application, timestamp LIMIT 1"""
# Minutes make up hours, hours make up the whole: one pass over the events for the totals and both peaks.
_TOTALS = """SELECT {sums}, max(part.most) AS peak_minute, max(part.requests) AS peak_hour
FROM (
  SELECT intDiv(part.minute, 60) AS hour, {sums}, max(part.requests) AS most
  FROM (
    SELECT intDiv(toUnixTimestamp64Micro(timestamp), 60000000) AS minute, {measures} {where} GROUP BY minute
  ) AS part
  GROUP BY hour
) AS part"""
_SERIES = """SELECT part.bucket AS bucket, {sums}
FROM (
  SELECT {bucket} AS bucket, {measures} {where} GROUP BY bucket
  UNION ALL
  SELECT toInt64(number) + {{first_bucket:Int64}} AS bucket, {nothing} FROM numbers({{bucket_count:UInt64}})
) AS part
GROUP BY bucket
ORDER BY {order}
LIMIT {{row_limit:UInt64}} OFFSET {{row_offset:UInt64}}"""
_GROUPS = """SELECT {key} AS key, {measures}
  {where}
GROUP BY key
ORDER BY {order}
LIMIT {{row_limit:UInt64}}"""
_PERCENTILES = """SELECT route, quantilesExactWeighted({levels})(response_us, sample_weight)
  {where}
    AND route IN {{routes:Array(String)}}
GROUP BY route"""
_HALVES = """SELECT timestamp >= fromUnixTimestamp64Micro({{middle_us:Int64}}, 'UTC') AS half, {measures}
  {where}
GROUP BY half"""
# Minutes are counted of the pairs with the most requests alone: a set of minutes for each pair takes far longer.
_CHATTY = """WITH (
  SELECT groupArray((consumer_id, route))
  FROM (
    SELECT consumer_id, route
    {where}
      AND consumer_id != ''
    GROUP BY consumer_id, route
    ORDER BY sum(sample_weight) DESC, consumer_id, route
    LIMIT {{pair_limit:UInt64}}
  )
) AS largest
SELECT consumer_id, route, {measures},
    uniqExact(intDiv(toUnixTimestamp64Micro(timestamp), 60000000)) AS minutes
  {where}
    AND (consumer_id, route) IN (SELECT pair.1, pair.2 FROM (SELECT arrayJoin(largest) AS pair))
GROUP BY consumer_id, route
HAVING requests >= {{least_per_minute:UInt64}} * minutes
ORDER BY requests DESC, consumer_id, route
LIMIT {{row_limit:UInt64}}"""

_INDEX = "intDiv(toUnixTimestamp64Micro(timestamp) - {origin_us:Int64}, {bucket_us:Int64})"
_MONTH_INDEX = "toInt64(toYear(timestamp)) * 12 + toMonth(timestamp) - 1 - {first_month:Int64}"
_ORDERS: dict[Sort, str] = {
    "requests": "requests {way}, {key}",
    "errors": "errors {way}, requests {way}, {key}",
    "latency": "if(requests = 0, 0, latency_us / requests) {way}, requests {way}, {key}",
    "timestamp": "{key} {way}",
}
# The engine rounds `level * weight` up; see timeseries_sql for why the level is a hair below p / 100.
_LEVELS = ", ".join(f"{{p{p}:Float64}}" for p in PERCENTILES)
_PAIRS = 100
_LEVEL_VALUES = {f"p{p}": p / 100 * (1 - 2**-51) for p in PERCENTILES}


@dataclass(frozen=True)
class Order:
    """How rows are sorted; by `timestamp` is for buckets alone."""

    sort: Sort
    descending: bool

    def clause(self, key: str) -> str:
        """Return what follows ORDER BY, for rows that have the measures and `key`, which breaks ties."""
        return _ORDERS[self.sort].format(way="DESC" if self.descending else "ASC", key=key)


@dataclass(frozen=True)
class Scope:
    """Which events a question is about: of `application`, in `[start, end)` seconds, that pass all `filters`."""

    application: str
    start: int
    end: int
    filters: tuple[Filter, ...] = ()

    def within(self, start: int, end: int) -> Scope:
        """Return the same events, in another range."""
        return replace(self, start=start, end=end)

    @property
    def parameters(self) -> dict[str, object]:
        """What its conditions bind."""
        return {
            "application": self.application,
            "start_us": self.start * 1_000_000,
            "end_us": self.end * 1_000_000,
            **{f"only_{each.field}": list(each.values) for each in self.filters},
        }


@dataclass(frozen=True)
class Statement:
    """One statement and the values that it binds."""

    sql: str
    parameters: dict[str, object]


def first_event(application: str) -> Statement:
    """Return what answers the time of the application's first event, in microseconds: one row, or none."""
    return Statement(_FIRST, {"application": application})


def totals(scope: Scope) -> Statement:
    """Return what answers one row: the five measures, the most requests in a clock minute, and in a clock hour."""
    return Statement(_TOTALS.format(sums=_SUMS, measures=_MEASURES, where=_where(scope)), scope.parameters)


def series(scope: Scope, buckets: Buckets, indexes: range, order: Order, rows: range) -> Statement:
    """Return what answers `rows`, (bucket, five measures), of the buckets `indexes`, among them the empty ones."""
    sql = _SERIES.format(
        sums=_SUMS,
        bucket=_INDEX if buckets.size_s else _MONTH_INDEX,
        measures=_MEASURES,
        where=_where(scope),
        nothing=_NOTHING,
        order=order.clause("bucket"),
    )
    parameters: dict[str, object] = {
        **scope.within(*buckets.clip(indexes)).parameters,
        "first_bucket": indexes.start,
        "bucket_count": len(indexes),
        "row_limit": len(rows),
        "row_offset": rows.start,
    }
    if buckets.size_s:
        parameters["origin_us"] = buckets.starts_at(0) * 1_000_000
        parameters["bucket_us"] = buckets.size_s * 1_000_000
    else:
        parameters["first_month"] = buckets.first_month
    return Statement(sql, parameters)


def groups(scope: Scope, dimension: Dimension, order: Order, *, limit: int, failed: bool = False) -> Statement:
    """Return what answers rows of (value of `dimension`, five measures); of failed requests alone if `failed`."""
    where = _where(scope) + ("\n    AND status_code >= 400" if failed else "")
    sql = _GROUPS.format(key=dimension, measures=_MEASURES, where=where, order=order.clause("key"))
    return Statement(sql, {**scope.parameters, "row_limit": limit})


def percentiles(scope: Scope, routes: Sequence[str]) -> Statement:
    """Return what answers rows of (route, [PERCENTILES of the latency in microseconds]): measured values, exact."""
    sql = _PERCENTILES.format(levels=_LEVELS, where=_where(scope))
    return Statement(sql, {**scope.parameters, **_LEVEL_VALUES, "routes": list(routes)})


def halves(scope: Scope, middle: int) -> Statement:
    """Return what answers rows of (0 before `middle` or 1 from it on, five measures); an empty half has none."""
    sql = _HALVES.format(measures=_MEASURES, where=_where(scope))
    return Statement(sql, {**scope.parameters, "middle_us": middle * 1_000_000})


def chatty_consumers(scope: Scope, *, least_per_minute: int, limit: int) -> Statement:
    """Return what answers rows of (consumer, route, five measures, clock minutes with any request).

    Of the pairs with the most requests, those with `least_per_minute` on average in the minutes in which they came at
    all.
    """
    sql = _CHATTY.format(measures=_MEASURES, where=_where(scope))
    return Statement(
        sql, {**scope.parameters, "least_per_minute": least_per_minute, "row_limit": limit, "pair_limit": _PAIRS}
    )


def _where(scope: Scope) -> str:
    return _WHERE + "".join(f"\n    AND {_condition(each)}" for each in scope.filters)


def _condition(each: Filter) -> str:
    element = "UInt16" if each.field in NUMERIC_DIMENSIONS else "String"
    return f"{each.field} IN {{only_{each.field}:Array({element})}}"
