"""Usage as SQL over rollups and events, whichever the planner says. Pure.

Invariants: values are bound by the server; what is spliced into the text comes from closed sets. Every count is a sum
of `sample_weight`, every mean a weighted sum that Python divides. A request failed when its status is 400 or above;
bytes that were not measured count as none.

Each statement returns few rows: one, one for each listed group, or one for each bucket of a page. Inside, `part` is
a row of a rollup or an event, with the same columns; `partials` makes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from apimetry.query_api.buckets import Buckets
from apimetry.query_api.params import Filter, Granularity
from apimetry.query_api.partials import (
    BELOW,
    Column,
    Conditions,
    bucket_columns,
    filter_condition,
    filter_name,
    group_key,
    middle_of_bucket,
    partial_rows,
    range_parameters,
    seconds,
    weight,
)
from apimetry.query_api.planner import Needs, Plan, plan
from apimetry.store.rollups import HOUR_S, MINUTE_S

Dimension = Literal["route", "method", "status_code", "consumer_id", "source"]
Sort = Literal["requests", "errors", "latency", "timestamp"]

PERCENTILES = (50, 95, 99)

# The five measures of an event, and where a rollup has them.
_MEASURES = {
    "requests": ("toUInt64(sample_weight)", ("requests",)),
    "errors": ("if(status_code >= 400, toUInt64(sample_weight), 0)", ("errors",)),
    "latency_us": ("response_us * sample_weight", ("response_us_sum",)),
    "peak_us": ("response_us", ("response_us_max",)),
    "bytes": (
        "(ifNull(request_bytes, 0) + ifNull(response_bytes, 0)) * sample_weight",
        ("request_bytes_sum", "response_bytes_sum"),
    ),
}
_NEEDED = frozenset(column for _, columns in _MEASURES.values() for column in columns)
_SUMS = """sum(part.requests) AS requests, sum(part.errors) AS errors, sum(part.latency_us) AS latency_us,
  max(part.peak_us) AS peak_us, sum(part.bytes) AS bytes"""
_NOTHING = "0 AS requests, 0 AS errors, 0 AS latency_us, 0 AS peak_us, 0 AS bytes"
_RAW_MEASURES = ", ".join(
    f"{'max' if name == 'peak_us' else 'sum'}({of_events}) AS {name}" for name, (of_events, _) in _MEASURES.items()
)

_FIRST = """SELECT toUnixTimestamp64Micro(timestamp)
FROM events WHERE application = {application:String} ORDER BY application, timestamp LIMIT 1"""
# Minutes make up hours, hours make up the whole: one pass over the rows for the totals and both peaks.
_TOTALS_OF_MINUTES = """SELECT {sums}, max(part.most) AS peak_minute, max(part.requests) AS peak_hour
FROM (
  SELECT intDiv(part.minute, 60) AS hour, {sums}, max(part.requests) AS most
  FROM (SELECT part.minute AS minute, {sums} FROM ({rows}) AS part GROUP BY minute) AS part
  GROUP BY hour
) AS part"""
# A rollup has the minutes of its requests alone.
_TOTALS_OF_HOURS = """SELECT {sums},
  (
    SELECT max(most)
    FROM (SELECT part.minute AS minute, sum(part.weight) AS most FROM ({minutes}) AS part GROUP BY minute)
  ) AS peak_minute,
  max(part.requests) AS peak_hour
FROM (SELECT part.hour AS hour, {sums} FROM ({rows}) AS part GROUP BY hour) AS part"""
_SERIES = """SELECT part.bucket AS bucket, {sums}
FROM (
  {rows}
  UNION ALL
  SELECT toInt64(number) + {{first_bucket:Int64}} AS bucket, {nothing} FROM numbers({{bucket_count:UInt64}})
) AS part
GROUP BY bucket
ORDER BY {order}
LIMIT {{row_limit:UInt64}} OFFSET {{row_offset:UInt64}}"""
_COUNTERPARTS = """SELECT part.bucket AS bucket, {sums}
FROM ({rows}) AS part
WHERE bucket IN {{buckets:Array(Int64)}}
GROUP BY bucket"""
# The sum over all groups is taken before the limit.
_GROUPS = """SELECT part.key AS key, {sums}, sum(requests) OVER () AS all_requests
FROM ({rows}) AS part
GROUP BY key
ORDER BY {order}
LIMIT {{row_limit:UInt64}}"""
_PERCENTILES = """SELECT part.route AS route, {percentiles}
FROM ({rows}) AS part
GROUP BY route"""
_HALVES = """SELECT part.half AS half, {sums}
FROM ({rows}) AS part
GROUP BY half"""
_CHATTY = """SELECT consumer_id, route, {measures},
    uniqExact(intDiv(toUnixTimestamp64Micro(timestamp), 60000000)) AS minutes
  FROM events
  WHERE application = {{application:String}}
    AND timestamp >= fromUnixTimestamp64Micro({{start_us:Int64}}, 'UTC')
    AND timestamp < fromUnixTimestamp64Micro({{end_us:Int64}}, 'UTC'){conditions}
    AND consumer_id IN {{consumers:Array(String)}}
GROUP BY consumer_id, route
HAVING requests >= {{least_per_minute:UInt64}} * minutes
ORDER BY requests DESC, consumer_id, route
LIMIT {{row_limit:UInt64}}"""

_MINUTE_OF_EVENTS = "intDiv(toUnixTimestamp64Micro(timestamp), 60000000)"
_HOUR_OF_EVENTS = "intDiv(toUnixTimestamp64Micro(timestamp), 3600000000)"
_INDEX_OF_EVENTS = "intDiv(toUnixTimestamp64Micro(timestamp) - {origin_us:Int64}, {bucket_us:Int64})"
_INDEX_OF_ROLLUP = "intDiv({seconds} - {{origin_s:Int64}}, {{bucket_s:Int64}})"
_MONTH_INDEX = "toInt64(toYear({time})) * 12 + toMonth({time}) - 1 - {{first_month:Int64}}"
_ORDERS: dict[Sort, str] = {
    "requests": "requests {way}, {key}",
    "errors": "errors {way}, requests {way}, {key}",
    "latency": "if(requests = 0, 0, latency_us / requests) {way}, requests {way}, {key}",
    "timestamp": "{key} {way}",
}
_LEVELS = ", ".join(f"{{p{p}:Float64}}" for p in PERCENTILES)
_LEVEL_VALUES = {f"p{p}": p / 100 * BELOW for p in PERCENTILES}
_EXACT = f"quantilesExactWeighted({_LEVELS})(part.value, part.weight)"
# Whole microseconds, which round to the tenth of a millisecond that is shown.
_OF_BUCKETS = f"""arrayMap(
    bucket -> toUInt64(round(least(toFloat64(high), {middle_of_bucket("bucket")}))),
    quantilesExactWeightedArray({_LEVELS})(part.buckets, part.weights)
  ), max(part.high) AS high"""


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
    def conditions(self) -> tuple[str, ...]:
        """Its filters, as expressions."""
        return tuple(filter_condition(each) for each in self.filters)

    def plan(
        self, *dimensions: str, measures: frozenset[str] = _NEEDED, granularity: Granularity | None = None
    ) -> Plan:
        """Return where rows with these dimensions and measures come from."""
        needed = frozenset({*dimensions, *(each.field for each in self.filters)})
        return plan(Needs(needed, measures, self.start, self.end, granularity))

    @property
    def parameters(self) -> dict[str, object]:
        """What its conditions bind."""
        return {
            "application": self.application,
            "start_us": self.start * 1_000_000,
            "end_us": self.end * 1_000_000,
            **{filter_name(each): list(each.values) for each in self.filters},
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
    hours = scope.plan()
    if hours.rollup is None:
        minute = Column("minute", _MINUTE_OF_EVENTS, "")
        sql = _TOTALS_OF_MINUTES.format(sums=_SUMS, rows=_rows(scope, hours, minute))
        return Statement(sql, scope.parameters)
    minutes = scope.plan(measures=frozenset({"requests"}), granularity=Granularity(MINUTE_S))
    hour = Column("hour", _HOUR_OF_EVENTS, f"intDiv({seconds(hours)}, {HOUR_S})")
    minute = Column("minute", _MINUTE_OF_EVENTS, f"intDiv({seconds(minutes)}, {MINUTE_S})")
    sql = _TOTALS_OF_HOURS.format(
        sums=_SUMS,
        rows=_rows(scope, hours, hour),
        minutes=partial_rows(minutes, (minute, weight(minutes)), Conditions(scope.conditions)),
    )
    return Statement(sql, {**scope.parameters, **range_parameters(minutes), **range_parameters(hours)})


def series(scope: Scope, buckets: Buckets, indexes: range, order: Order, rows: range) -> Statement:
    """Return what answers `rows`, (bucket, five measures), of the buckets `indexes`, among them the empty ones."""
    part, parameters = _bucket_rows(scope, buckets, indexes)
    parameters |= {
        "first_bucket": indexes.start,
        "bucket_count": len(indexes),
        "row_limit": len(rows),
        "row_offset": rows.start,
    }
    sql = _SERIES.format(sums=_SUMS, rows=part, nothing=_NOTHING, order=order.clause("bucket"))
    return Statement(sql, parameters)


def counterparts(scope: Scope, buckets: Buckets, indexes: Sequence[int]) -> Statement:
    """Return what answers rows of (bucket, five measures) of the buckets `indexes` that are not empty.

    `buckets` are those of a later range than that of `scope`, moved to it.
    """
    between = range(min(indexes), max(indexes) + 1)
    part, parameters = _bucket_rows(scope, buckets, between, buckets.start - scope.start)
    return Statement(_COUNTERPARTS.format(sums=_SUMS, rows=part), {**parameters, "buckets": list(indexes)})


def groups(scope: Scope, dimension: Dimension, order: Order, *, limit: int, failed: bool = False) -> Statement:
    """Return what answers rows of (value of `dimension`, five measures, requests of all values).

    Of failed requests alone if `failed`.
    """
    source = scope.plan(dimension, *(["status_code"] if failed else []))
    more = ("status_code >= 400",) if failed else ()
    rows = _rows(scope, source, group_key(source, dimension), more)
    sql = _GROUPS.format(sums=_SUMS, rows=rows, order=order.clause("key"))
    return Statement(sql, {**scope.parameters, **range_parameters(source), "row_limit": limit})


def percentiles(scope: Scope, routes: Sequence[str]) -> Statement:
    """Return what answers rows of (route, [PERCENTILES of the latency in microseconds], …).

    Measured values, exact, or within 2 % of them, and at most the maximum: see `Plan.estimates`.
    """
    needed = frozenset({"response_us_buckets", "response_us_max"})
    source = scope.plan("route", measures=needed)
    values = bucket_columns(source, "response_us") or [Column("value", "response_us", ""), weight(source)]
    conditions = Conditions((*scope.conditions, "route IN {routes:Array(String)}"))
    sql = _PERCENTILES.format(
        percentiles=_OF_BUCKETS if source.estimates else _EXACT,
        rows=partial_rows(source, (Column("route", "route", "route"), *values), conditions),
    )
    parameters = {**scope.parameters, **range_parameters(source), **_LEVEL_VALUES}
    return Statement(sql, {**parameters, "routes": list(routes)})


def halves(scope: Scope, middle: int) -> Statement:
    """Return what answers rows of (0 before `middle` or 1 from it on, five measures); an empty half has none."""
    parameters, rows = scope.parameters, []
    for half, part in enumerate((scope.within(scope.start, middle), scope.within(middle, scope.end))):
        source = part.plan()
        rows.append(_rows(part, source, Column("half", str(half), str(half)), tag=f"_{half}"))
        parameters |= range_parameters(source, tag=f"_{half}")
    return Statement(_HALVES.format(sums=_SUMS, rows="\n  UNION ALL\n  ".join(rows)), parameters)


def chatty_consumers(scope: Scope, consumers: Sequence[str], *, least_per_minute: int, limit: int) -> Statement:
    """Return what answers rows of (consumer, route, five measures, clock minutes with any request).

    Of the pairs of `consumers` and routes with the most requests, those with `least_per_minute` on average in the
    minutes in which they came at all. It reads events, and groups those few consumers: `scope` should be short.
    """
    conditions = "".join(f"\n    AND {each}" for each in scope.conditions)
    sql = _CHATTY.format(measures=_RAW_MEASURES, conditions=conditions)
    return Statement(
        sql,
        {
            **scope.parameters,
            "consumers": list(consumers),
            "least_per_minute": least_per_minute,
            "row_limit": limit,
        },
    )


def _bucket_rows(scope: Scope, buckets: Buckets, indexes: range, shift_s: int = 0) -> tuple[str, dict[str, object]]:
    """Return rows of `bucket` and the five measures, and what they bind; buckets lie `shift_s` later than rows."""
    start, end = buckets.clip(indexes)
    page = scope.within(start - shift_s, end - shift_s)
    if buckets.size_s:
        origin_s = buckets.starts_at(0) - shift_s
        source = page.plan(granularity=Granularity(buckets.size_s, origin_s))
        bucket = Column("bucket", _INDEX_OF_EVENTS, _INDEX_OF_ROLLUP.format(seconds=seconds(source)))
        parameters: dict[str, object] = {"origin_s": origin_s, "bucket_s": buckets.size_s}
        parameters |= {"origin_us": origin_s * 1_000_000, "bucket_us": buckets.size_s * 1_000_000}
    else:
        # An hour of a rollup is moved as a whole, into one month.
        source = page.plan(granularity=Granularity(HOUR_S, -shift_s % HOUR_S))
        bucket = Column(
            "bucket",
            *(_MONTH_INDEX.format(time=f"addSeconds({time}, {{shift_s:Int64}})") for time in ("timestamp", "time")),
        )
        parameters = {"first_month": buckets.first_month, "shift_s": shift_s}
    return _rows(page, source, bucket), {**page.parameters, **range_parameters(source), **parameters}


def _rows(scope: Scope, source: Plan, key: Column, more: tuple[str, ...] = (), *, tag: str = "") -> str:
    """Return the rows of `key` and the five measures."""
    measures = [
        Column(name, of_events, " + ".join(source.rollup.column(each) for each in columns) if source.rollup else "")
        for name, (of_events, columns) in _MEASURES.items()
    ]
    return partial_rows(source, (key, *measures), Conditions((*scope.conditions, *more)), tag=tag)
