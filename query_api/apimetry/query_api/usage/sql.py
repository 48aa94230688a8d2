"""Usage as SQL over rollups and events, as the planner says. Pure.

Invariants: the server binds values; text for `$name` comes from closed sets. Every count is a sum of `sample_weight`,
every mean a weighted sum that Python divides. A request failed if its status is 400 or above. Bytes that were not
measured count as none. A request without a measured time is in no latency.

Each statement returns few rows: one row, one for each group of a list, or one for each bucket of a page. Inside,
`part` is a row of a rollup, an event, or the sums over several events, with the same columns. `rows_sql` makes them.
Most of a short statement's time is its analysis. So one statement reads three lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from string import Template
from typing import Literal

from apimetry.query_api.planning.bucket_sql import bucket_of_rows, bucket_parameters
from apimetry.query_api.planning.filter_sql import filter_conditions, filter_parameters
from apimetry.query_api.planning.filters import UNMATCHED_ROUTES, AnyFilter, columns_of
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.planning.planner import Needs, Plan, plan
from apimetry.query_api.planning.rows_sql import (
    BELOW,
    Column,
    Conditions,
    bucket_columns,
    group_key,
    middle_of_bucket,
    partial_rows,
    range_parameters,
    seconds,
    weight,
)
from apimetry.query_api.planning.time_buckets import Buckets
from apimetry.query_api.usage.params import Order, Sort
from apimetry.store.rollups import HOUR_S, ROLLUPS, SINGLE_DIMENSIONS, Rollup
from apimetry.store.statement import Statement

Dimension = Literal["route", "method", "status_code", "consumer_id", "source"]

PERCENTILES = (50, 95, 99)

_LISTED_DIMENSIONS = ("method", "status_code", "route")

_FAILED = "status_code >= 400"
# The fields of `Measures`: the expression of one event, and the columns of a rollup.
_MEASURES = {
    "requests": ("toUInt64(sample_weight)", ("requests",)),
    "errors": (f"if({_FAILED}, toUInt64(sample_weight), 0)", ("errors",)),
    "latency_us": ("ifNull(response_us, 0) * sample_weight", ("response_us_sum",)),
    "peak_us": ("ifNull(response_us, 0)", ("response_us_max",)),
    "bytes": (
        "(ifNull(request_bytes, 0) + ifNull(response_bytes, 0)) * sample_weight",
        ("request_bytes_sum", "response_bytes_sum"),
    ),
    "timed": ("if(isNull(response_us), 0, toUInt64(sample_weight))", ("response_us_weight",)),
}
_NEEDED = frozenset(column for _, columns in _MEASURES.values() for column in columns)
_ADDED = {name: "max" if name == "peak_us" else "sum" for name in _MEASURES}
_SUMS = ", ".join(f"{added}(part.{name}) AS {name}" for name, added in _ADDED.items())
_NOTHING = ", ".join(f"0 AS {name}" for name in _MEASURES)
_OF_SEVERAL_EVENTS = {name: f"{_ADDED[name]}({of_events})" for name, (of_events, _) in _MEASURES.items()}
_RAW_MEASURES = ", ".join(f"{added} AS {name}" for name, added in _OF_SEVERAL_EVENTS.items())

_FIRST = """SELECT toUnixTimestamp64Micro(timestamp)
FROM events WHERE application = {application:String} ORDER BY application, timestamp LIMIT 1"""
_LATER = """SELECT 1
FROM events
WHERE application = {application:String}
  AND timestamp >= fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')
  AND timestamp < fromUnixTimestamp64Micro({hour_end_us:Int64}, 'UTC')
LIMIT 1"""
# Minutes lie in hours, and hours make up the whole.
_TOTALS = Template("""SELECT $sums, max(part.most) AS peak_minute, max(part.requests) AS peak_hour
FROM (
  SELECT part.hour AS hour, $sums, arrayMax(mapValues(sumMap(part.minutes))) AS most
  FROM ($rows) AS part
  GROUP BY hour
) AS part""")
_SERIES = Template("""SELECT part.bucket AS bucket, $sums
FROM (
  $rows
  UNION ALL
  SELECT toInt64(number) + {first_bucket:Int64} AS bucket, $nothing FROM numbers({bucket_count:UInt64})
) AS part
GROUP BY bucket
ORDER BY $order
LIMIT {row_limit:UInt64} OFFSET {row_offset:UInt64}""")
_COUNTERPARTS = Template("""SELECT part.bucket AS bucket, $sums
FROM ($rows) AS part
WHERE bucket IN {buckets:Array(Int64)}
GROUP BY bucket""")
# `all_requests` also counts groups beyond the limit.
_GROUPS = Template("""SELECT part.key AS key, $sums, sum(requests) OVER () AS all_requests
FROM ($rows) AS part
GROUP BY key
ORDER BY $order
LIMIT {row_limit:UInt64}""")
# `place` is by all requests, `failed_place` by failed requests; it is 0 for a group without any.
_LISTS = Template("""SELECT *
FROM (
  SELECT part.list AS list, part.method AS method, part.status_code AS status_code, part.route AS route, $sums,
    row_number() OVER (PARTITION BY list ORDER BY $order) AS place,
    if(errors = 0, 0, row_number() OVER (PARTITION BY list, errors = 0 ORDER BY errors $way, route)) AS failed_place,
    sum(requests) OVER (PARTITION BY list) AS all_requests,
    sum(errors) OVER (PARTITION BY list) AS all_errors
  FROM ($rows) AS part
  GROUP BY list, method, status_code, route
)
WHERE list = 'status_code' OR place <= {row_limit:UInt64} OR failed_place BETWEEN 1 AND {row_limit:UInt64}
ORDER BY list, place""")
_BY_LIST = "GROUPING SETS ((method), (status_code), (route))"
_LIST = "multiIf(grouping(method) = 0, 'method', grouping(status_code) = 0, 'status_code', 'route')"
_LISTED = Template(
    """SELECT $list AS list, part.method AS method, part.status_code AS status_code, part.route AS route,
  $sums
FROM ($rows) AS part
GROUP BY $by_list"""
)
_PERCENTILES = Template("""SELECT part.route AS route, $percentiles
FROM ($rows) AS part
GROUP BY route""")
_HALVES = Template("""SELECT part.half AS half, $sums
FROM ($rows) AS part
GROUP BY half""")
_CHATTY = Template("""SELECT consumer_id, route, $measures,
    uniqExact(intDiv(toUnixTimestamp64Micro(timestamp), 60000000)) AS minutes
  FROM events
  WHERE application = {application:String}
    AND timestamp >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC')
    AND timestamp < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')$conditions
    AND consumer_id IN {consumers:Array(String)} AND route NOT IN {unmatched:Array(String)}
GROUP BY consumer_id, route
HAVING requests >= {least_per_minute:UInt64} * minutes
ORDER BY requests DESC, consumer_id, route
LIMIT {row_limit:UInt64}""")

_HOUR_OF_EVENTS = "intDiv(toUnixTimestamp64Micro(timestamp), 3600000000)"
_MINUTES_OF_EVENTS = (
    "mapFromArrays(range(toUInt8(60)), sumResample(0, 60, 1)(toUInt64(sample_weight), toMinute(timestamp)))"
)
_INDEX_OF_EVENTS = "intDiv(toUnixTimestamp64Micro(timestamp) - {origin_us:Int64}, {bucket_us:Int64})"
_INDEX_OF_ROLLUP = Template("intDiv($seconds - {origin_s:Int64}, {bucket_s:Int64})")
_ORDERS: dict[Sort, Template] = {
    "requests": Template("requests $way, $key"),
    "errors": Template("errors $way, requests $way, $key"),
    "latency": Template("if(timed = 0, 0, latency_us / timed) $way, requests $way, $key"),
    "timestamp": Template("$key $way"),
}
# Measures that an order reads beside requests.
_SORTED_BY: dict[Sort, tuple[str, ...]] = {"errors": ("errors",), "latency": ("latency_us", "timed")}
_LEVELS = ", ".join(f"{{p{p}:Float64}}" for p in PERCENTILES)
_LEVEL_VALUES = {f"p{p}": p / 100 * BELOW for p in PERCENTILES}
_EXACT = f"quantilesExactWeighted({_LEVELS})(part.value, part.weight)"
# Whole microseconds: the response has tenths of a millisecond.
_OF_BUCKETS = f"""arrayMap(
    bucket -> toUInt64(round(least(toFloat64(high), {middle_of_bucket("bucket")}))),
    quantilesExactWeightedArray({_LEVELS})(part.buckets, part.weights)
  ), max(part.high) AS high"""


@dataclass(frozen=True)
class Scope:
    """The events of a query: of `application`, in `[start, end)` seconds, that pass all `filters`.

    If `failed`, failed requests alone. If `is_last`, no event of any kind lies between `end` and the end of its hour.
    """

    application: str
    start: int
    end: int
    filters: tuple[AnyFilter, ...] = ()
    failed: bool = False
    is_last: bool = False

    def within(self, start: int, end: int) -> Scope:
        """Return the same events, in another range."""
        return replace(self, start=start, end=end, is_last=self.is_last and end == self.end)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Return the filters as expressions."""
        return (*filter_conditions(self.filters), *([_FAILED] if self.failed else []))

    def plan(
        self,
        *dimensions: str,
        measures: frozenset[str] = _NEEDED,
        granularity: Granularity | None = None,
        rollups: Sequence[Rollup] = ROLLUPS,
    ) -> Plan:
        """Return the tables of rows with these dimensions and measures."""
        needed = columns_of(self.filters) | {*dimensions, *(["status_code"] if self.failed else [])}
        return plan(Needs(needed, measures, self.start, self.end, granularity, is_last=self.is_last), rollups)

    @property
    def parameters(self) -> dict[str, object]:
        """Return the values that the scope's conditions bind."""
        return {
            "application": self.application,
            "start_us": self.start * 1_000_000,
            "end_us": self.end * 1_000_000,
            **filter_parameters(self.filters),
        }


def first_event(application: str) -> Statement:
    """Select the time of the application's first event, in microseconds: one row, or none."""
    return Statement(_FIRST, {"application": application})


def later(scope: Scope) -> Statement:
    """Select one row if the application has events between `end` and the end of that hour, otherwise none."""
    hour_end = -(-scope.end // HOUR_S) * HOUR_S
    parameters = {"end_us": scope.end * 1_000_000, "hour_end_us": hour_end * 1_000_000}
    return Statement(_LATER, {"application": scope.application, **parameters})


def totals(scope: Scope) -> Statement:
    """Select one row: the measures, the most requests in a clock minute, and in a clock hour."""
    source = scope.plan(measures=_NEEDED | {"minutes"})
    hour = Column("hour", _HOUR_OF_EVENTS, f"intDiv({seconds(source)}, {HOUR_S})")
    minutes = Column("minutes", _MINUTES_OF_EVENTS, "CAST(minutes, 'Map(UInt8, UInt64)')")
    rows = _rows(scope, source, hour, minutes, *_measures(source, of_several_events=True), events_by="hour")
    return Statement(_TOTALS.substitute(sums=_SUMS, rows=rows), {**scope.parameters, **range_parameters(source)})


def series(scope: Scope, buckets: Buckets, indexes: range, order: Order, rows: range) -> Statement:
    """Select `rows` of the buckets `indexes`, also of empty buckets, as (bucket, the measures)."""
    part, parameters = _bucket_rows(scope, buckets, indexes)
    parameters |= {
        "first_bucket": indexes.start,
        "bucket_count": len(indexes),
        "row_limit": len(rows),
        "row_offset": rows.start,
    }
    sql = _SERIES.substitute(sums=_SUMS, rows=part, nothing=_NOTHING, order=_sorted(order, "bucket"))
    return Statement(sql, parameters)


def counterparts(scope: Scope, buckets: Buckets, indexes: Sequence[int]) -> Statement:
    """Select rows of (bucket, the measures) of the buckets `indexes` that are not empty.

    `buckets` belong to a later range than `scope`, and are moved to the range of `scope`.
    """
    between = range(min(indexes), max(indexes) + 1)
    part, parameters = _bucket_rows(scope, buckets, between, buckets.start - scope.start)
    return Statement(_COUNTERPARTS.substitute(sums=_SUMS, rows=part), {**parameters, "buckets": list(indexes)})


def groups(scope: Scope, dimension: Dimension, order: Order, *, limit: int, counted: bool = False) -> Statement:
    """Select rows of (value of `dimension`, the measures, requests of all values).

    If `counted`, only requests and the measures of `order` are read, and the others are 0. That saves time for a
    dimension with many values.
    """
    read = frozenset({"requests", *_SORTED_BY.get(order.sort, ())}) if counted else frozenset(_MEASURES)
    source = scope.plan(dimension)
    rows = _rows(scope, source, group_key(source, dimension), *_measures(source, read=read))
    sql = _GROUPS.substitute(sums=_SUMS, rows=rows, order=_sorted(order, "key"))
    return Statement(sql, {**scope.parameters, **range_parameters(source), "row_limit": limit})


def lists(scope: Scope, order: Order, *, limit: int) -> Statement:
    """Select the rows of three sorted lists: methods, statuses, and routes.

    A row is (list, method, status code, route, the measures, place in the list, place by failed requests or 0,
    requests of the whole list, errors of the whole list). The rows have all statuses, and the first `limit` methods
    and routes by either place. If `order` sorts by latency, the places by failed requests mean nothing.
    """
    keys = [Column(name, name, name) for name in _LISTED_DIMENSIONS]
    if scope.conditions:
        source = scope.plan(*_LISTED_DIMENSIONS)
        rows = _LISTED.substitute(
            list=_LIST, sums=_SUMS, rows=_rows(scope, source, *keys, *_measures(source)), by_list=_BY_LIST
        )
    else:
        source = scope.plan(rollups=(SINGLE_DIMENSIONS,))
        columns = (Column("list", _LIST, "toString(dimension)"), *keys, *_measures(source, of_several_events=True))
        rows = _rows(scope, source, *columns, events_by=_BY_LIST)
    sql = _LISTS.substitute(
        sums=_SUMS, order=_sorted(order, "method, status_code, route"), way=_way(order), rows=rows
    )
    return Statement(sql, {**scope.parameters, **range_parameters(source), "row_limit": limit})


def percentiles(scope: Scope, routes: Sequence[str]) -> Statement:
    """Select rows of (route, [PERCENTILES of the latency in microseconds], …).

    The percentiles are exact, or within 2 % and at most the maximum: see `Plan.estimates`. A route without any
    measured time has no row, or a row without meaning.
    """
    needed = frozenset({"response_us_buckets", "response_us_max"})
    source = scope.plan("route", measures=needed)
    value = Column("value", "assumeNotNull(response_us)", "")
    values = bucket_columns(source, "response_us") or [value, weight(source)]
    conditions = Conditions((*scope.conditions, "route IN {routes:Array(String)}"), ("response_us IS NOT NULL",))
    sql = _PERCENTILES.substitute(
        percentiles=_OF_BUCKETS if source.estimates else _EXACT,
        rows=partial_rows(source, (Column("route", "route", "route"), *values), conditions),
    )
    parameters = {**scope.parameters, **range_parameters(source), **_LEVEL_VALUES}
    return Statement(sql, {**parameters, "routes": list(routes)})


def halves(scope: Scope, middle: int) -> Statement:
    """Select rows of (half, the measures): half 0 ends at `middle`, half 1 begins there. An empty half has no row."""
    parameters, rows = scope.parameters, []
    for half, part in enumerate((scope.within(scope.start, middle), scope.within(middle, scope.end))):
        source = part.plan()
        rows.append(_rows(part, source, Column("half", str(half), str(half)), *_measures(source), tag=f"_{half}"))
        parameters |= range_parameters(source, tag=f"_{half}")
    return Statement(_HALVES.substitute(sums=_SUMS, rows="\n  UNION ALL\n  ".join(rows)), parameters)


def chatty_consumers(scope: Scope, consumers: Sequence[str], *, least_per_minute: int, limit: int) -> Statement:
    """Select rows of (consumer, route, the measures, clock minutes with any request).

    A row is a pair of one of `consumers` and a matched route, with at least `least_per_minute` requests on average in
    its minutes with any request. The `limit` pairs with the most requests are returned. The statement reads events:
    `scope` should be short.
    """
    conditions = "".join(f"\n    AND {condition}" for condition in scope.conditions)
    sql = _CHATTY.substitute(measures=_RAW_MEASURES, conditions=conditions)
    return Statement(
        sql,
        {
            **scope.parameters,
            "consumers": list(consumers),
            "unmatched": list(UNMATCHED_ROUTES),
            "least_per_minute": least_per_minute,
            "row_limit": limit,
        },
    )


def _bucket_rows(scope: Scope, buckets: Buckets, indexes: range, shift_s: int = 0) -> tuple[str, dict[str, object]]:
    """Return the SELECT of rows of (bucket, the measures), and its values; buckets lie `shift_s` later than rows."""
    start, end = buckets.clip(indexes)
    page = scope.within(start - shift_s, end - shift_s)
    if buckets.calendar is None:
        origin_s = buckets.starts_at(0) - shift_s
        source = page.plan(granularity=Granularity(buckets.size_s, origin_s))
        bucket = Column("bucket", _INDEX_OF_EVENTS, _INDEX_OF_ROLLUP.substitute(seconds=seconds(source)))
        parameters: dict[str, object] = {"origin_s": origin_s, "bucket_s": buckets.size_s}
        parameters |= {"origin_us": origin_s * 1_000_000, "bucket_us": buckets.size_s * 1_000_000}
    else:
        moved = buckets.calendar.moved(shift_s)
        source = page.plan(granularity=moved.grain(page.start, page.end))
        index = bucket_of_rows(moved, source)
        from_first = (f"{sql} - {{first_index:Int64}}" for sql in (index.of_events, index.of_rollup))
        bucket = Column("bucket", *from_first)
        parameters = {**bucket_parameters(moved, source.start, source.end), "first_index": buckets.first_index}
    return _rows(page, source, bucket, *_measures(source)), {
        **page.parameters,
        **range_parameters(source),
        **parameters,
    }


def _sorted(order: Order, key: str) -> str:
    """Return the expressions of ORDER BY, for rows with the measures and `key`; `key` decides between equal rows."""
    return _ORDERS[order.sort].substitute(way=_way(order), key=key)


def _way(order: Order) -> str:
    return "DESC" if order.descending else "ASC"


def _rows(scope: Scope, source: Plan, *columns: Column, events_by: str = "", tag: str = "") -> str:
    return partial_rows(source, columns, Conditions(scope.conditions), events_by=events_by, tag=tag)


def _measures(
    source: Plan, *, read: frozenset[str] = frozenset(_MEASURES), of_several_events: bool = False
) -> list[Column]:
    """Return the columns of the measures; a measure that is not in `read` is 0."""
    columns = []
    for name, (of_event, of_rollup) in _MEASURES.items():
        if name not in read:
            columns.append(Column(name, "0", "0"))
            continue
        of_events = _OF_SEVERAL_EVENTS[name] if of_several_events else of_event
        added = " + ".join(source.rollup.column(column) for column in of_rollup) if source.rollup else ""
        columns.append(Column(name, of_events, added))
    return columns
