"""Usage as SQL over rollups and events, as the planner says. Pure.

Invariants: the server binds values; text for `$name` comes from closed sets. Every count is a sum of `sample_weight`,
every mean a weighted sum that Python divides. A request failed if its status is 400 or above. Bytes that were not
measured count as none. A request without a measured time is in no latency.

Each statement returns few rows: one row, one for each group of a list, or one for each bucket of a page. Inside,
`part` is a row of a rollup, an event, or the sums over several events, with the same columns. `rows_sql` makes them.
Most of a short statement's time is its analysis. So one statement reads three lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from string import Template
from types import MappingProxyType
from typing import Literal

from apimetry.query_api.planning.bucket_sql import bucket_of_rows, bucket_parameters
from apimetry.query_api.planning.filter_sql import filter_conditions, filter_parameters
from apimetry.query_api.planning.filters import AnyFilter, columns_of
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.planning.planner import Needs, Plan, plan
from apimetry.query_api.planning.rows_sql import (
    Column,
    Conditions,
    group_key,
    most_in_a_minute,
    partial_rows,
    range_parameters,
    seconds,
    settings_of,
)
from apimetry.query_api.planning.time_buckets import Buckets
from apimetry.query_api.usage.params import Order, Sort
from apimetry.store.rollups import DAY_S, HOUR_S, ROLLUPS, Rollup
from apimetry.store.statement import Parts, Statement

MOST_CONSUMERS = 10_000
"""Consumers up to which all are read, and sorted outside of the engine."""

LEAST_PAST_S = 60 * DAY_S
"""The shortest past whose hours take clearly longer to read than two more statements."""

Dimension = Literal["route", "method", "status_code", "consumer_id", "source"]

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
_SUM_OF = {name: f"{added}(part.{name}) AS {name}" for name, added in _ADDED.items()}
SUMS = ", ".join(_SUM_OF.values())
SUMS_OF_ROLLUP = ", ".join(f"{_ADDED[name]}({' + '.join(columns)})" for name, (_, columns) in _MEASURES.items())
_NOTHING = ", ".join(f"0 AS {name}" for name in _MEASURES)
_OF_SEVERAL_EVENTS = {name: f"{_ADDED[name]}({of_events})" for name, (of_events, _) in _MEASURES.items()}
RAW_MEASURES = ", ".join(f"{added} AS {name}" for name, added in _OF_SEVERAL_EVENTS.items())

_FIRST = """SELECT toUnixTimestamp64Micro(timestamp)
FROM events WHERE application = {application:String} ORDER BY application, timestamp LIMIT 1"""
_NEXT_EVENT = """SELECT toUnixTimestamp(timestamp)
FROM events
WHERE application = {application:String}
  AND timestamp >= fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')
  AND timestamp < fromUnixTimestamp64Micro({end_us_of_day:Int64}, 'UTC')
ORDER BY application, timestamp
LIMIT 1"""
_HOURS = Template("""SELECT part.hour AS hour, $sums, $most AS most
FROM ($rows) AS part
GROUP BY hour""")
# Minutes lie in hours, and hours make up the whole.
_TOTALS = Template("""SELECT $sums, max(part.most) AS peak_minute, max(part.requests) AS peak_hour
FROM ($hours) AS part""")
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
_EVERY_GROUP = Template("""SELECT part.key AS key, $sums
FROM ($rows) AS part
GROUP BY key""")

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


@dataclass(frozen=True)
class Scope:
    """The events of a query: of `application`, in `[start, end)` seconds, that pass all `filters`.

    If `failed`, failed requests alone. No event of any kind lies between `end` and `quiet_until`; 0: not known.
    """

    application: str
    start: int
    end: int
    filters: tuple[AnyFilter, ...] = ()
    failed: bool = False
    quiet_until: int = 0

    def within(self, start: int, end: int) -> Scope:
        """Return the same events, in another range."""
        return replace(self, start=start, end=end, quiet_until=self.quiet_until if end == self.end else 0)

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
        needs = Needs(needed, measures, self.start, self.end, granularity, quiet_until=self.quiet_until)
        return plan(needs, rollups)

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


def next_event(scope: Scope) -> Statement:
    """Select the time in seconds of the application's first event between `end` and the end of that day, if any."""
    # `remembering` knows a time beyond the question's range by its name: the row is not remembered.
    parameters = {"end_us": scope.end * 1_000_000, "end_us_of_day": end_of_day(scope.end) * 1_000_000}
    return Statement(_NEXT_EVENT, {"application": scope.application, **parameters})


def end_of_day(time_s: int) -> int:
    """Return the end of the day in UTC that has the second before `time_s`."""
    return -(-time_s // DAY_S) * DAY_S


def hours(scope: Scope) -> Statement:
    """Select rows of (hour since the epoch, the measures, the most requests in a clock minute); no empty hours.

    The rows of a long past are a part of their own (`Statement.parts`).
    """
    source = scope.plan(measures=_NEEDED | {"minutes"})
    whole = _hours_of(scope, source)
    past = over(scope, source)
    if past is None or past[1] - past[0] < LEAST_PAST_S:
        return whole
    of_past, others = source.apart(past)
    return replace(whole, parts=Parts(past, _hours_of(scope, of_past), _hours_of(scope, others)))


def _hours_of(scope: Scope, source: Plan) -> Statement:
    hour = Column("hour", _HOUR_OF_EVENTS, f"intDiv({seconds(source)}, {HOUR_S})")
    minutes = Column("minutes", _MINUTES_OF_EVENTS, "CAST(minutes, 'Map(UInt8, UInt64)')")
    rows = rows_of(scope, source, hour, minutes, *measures_of(source, of_several_events=True), events_by="hour")
    sql = _HOURS.substitute(sums=SUMS, most=most_in_a_minute("part.minutes"), rows=rows)
    return statement_of(sql, scope, source)


def totals(scope: Scope) -> Statement:
    """Select one row: the measures, the most requests in a clock minute, and in a clock hour."""
    of_hours = hours(scope)
    return replace(of_hours, sql=_TOTALS.substitute(sums=SUMS, hours=of_hours.sql), parts=None)


def series(scope: Scope, buckets: Buckets, indexes: range, order: Order, rows: range) -> Statement:
    """Select `rows` of the buckets `indexes`, also of empty buckets, as (bucket, the measures)."""
    source, part, parameters = _bucket_rows(scope, buckets, indexes)
    parameters |= {
        "first_bucket": indexes.start,
        "bucket_count": len(indexes),
        "row_limit": len(rows),
        "row_offset": rows.start,
    }
    sql = _SERIES.substitute(sums=SUMS, rows=part, nothing=_NOTHING, order=sorted_by(order, "bucket"))
    return Statement(sql, parameters, settings_of(source))


def counterparts(scope: Scope, buckets: Buckets, indexes: Sequence[int]) -> Statement:
    """Select rows of (bucket, the measures) of the buckets `indexes` that are not empty.

    `buckets` belong to a later range than `scope`, and are moved to the range of `scope`.
    """
    between = range(min(indexes), max(indexes) + 1)
    source, part, parameters = _bucket_rows(scope, buckets, between, buckets.start - scope.start)
    parameters["buckets"] = list(indexes)
    return Statement(_COUNTERPARTS.substitute(sums=SUMS, rows=part), parameters, settings_of(source))


def groups(scope: Scope, dimension: Dimension, order: Order, *, limit: int) -> Statement:
    """Select rows of (value of `dimension`, the measures, requests of all values)."""
    return _groups(scope, dimension, order, frozenset(_MEASURES), limit)


def counted_groups(scope: Scope, dimension: Dimension, order: Order, *, limit: int) -> Statement:
    """Select rows of (value of `dimension`, requests, requests of all values, and what `order` reads).

    That takes less time than all measures, above all for a dimension with many values.
    """
    return _groups(scope, dimension, order, frozenset(counted(order)), limit)


def counted(order: Order) -> list[str]:
    """Return the measures that a list of requests in `order` reads."""
    read = {"requests", *_SORTED_BY.get(order.sort, ())}
    return [name for name in _MEASURES if name in read]


def every_consumer(scope: Scope, order: Order) -> Statement:
    """Select rows of (consumer, requests, and what `order` reads); the engine stops at more than MOST_CONSUMERS.

    The rows of hours that are over are a part of their own (`Statement.parts`): a consumer may be in both parts.
    """
    source, read = scope.plan("consumer_id"), counted(order)

    def of(part: Plan) -> Statement:
        columns = group_key(part, "consumer_id"), *measures_of(part, read=frozenset(read))
        sums = ", ".join(_SUM_OF[name] for name in read)
        statement = statement_of(_EVERY_GROUP.substitute(sums=sums, rows=rows_of(scope, part, *columns)), scope, part)
        return replace(statement, settings={**statement.settings, "max_rows_to_group_by": MOST_CONSUMERS})

    past = over(scope, source)
    if past is None:
        return of(source)
    of_past, others = with_days_over(scope, source).apart(past)
    return replace(of(source), parts=Parts(past, of(of_past), of(others)))


def with_days_over(scope: Scope, source: Plan) -> Plan:
    """Return `source` with the days that are over alone: hours answer for the day under way."""
    if source.days is None or source.days[1] <= scope.end:
        return source
    start, end = source.days[0], scope.end // DAY_S * DAY_S
    return replace(source, days=(start, end) if start < end else None)


def over(scope: Scope, source: Plan) -> tuple[int, int] | None:
    """Return the hours of `source`'s middle that are over; None if there are none."""
    # With a rollup's row for an hour under way, the middle ends after the range.
    start, end = source.middle[0], min(source.middle[1], scope.end // HOUR_S * HOUR_S)
    return (start, end) if source.rollup is not None and start < end else None


def _groups(scope: Scope, dimension: Dimension, order: Order, read: frozenset[str], limit: int) -> Statement:
    source = scope.plan(dimension)
    sql = _GROUPS.substitute(
        sums=", ".join(_SUM_OF[name] for name in _MEASURES if name in read),
        rows=rows_of(scope, source, group_key(source, dimension), *measures_of(source, read=read)),
        order=sorted_by(order, "key"),
    )
    return statement_of(sql, scope, source, {"row_limit": limit})


def statement_of(
    sql: str, scope: Scope, source: Plan, values: Mapping[str, object] = MappingProxyType({})
) -> Statement:
    """Return a statement over the rows of `source`, with the values that it binds beside those of the rows."""
    return Statement(sql, {**scope.parameters, **range_parameters(source), **values}, settings_of(source))


def _bucket_rows(
    scope: Scope, buckets: Buckets, indexes: range, shift_s: int = 0
) -> tuple[Plan, str, dict[str, object]]:
    """Return the SELECT of rows of (bucket, the measures), what it reads, and its values.

    Buckets lie `shift_s` later than rows.
    """
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
    parameters = {**page.parameters, **range_parameters(source), **parameters}
    return source, rows_of(page, source, bucket, *measures_of(source)), parameters


def sorted_by(order: Order, key: str) -> str:
    """Return the expressions of ORDER BY, for rows with the measures and `key`; `key` decides between equal rows."""
    return _ORDERS[order.sort].substitute(way=way_of(order), key=key)


def way_of(order: Order) -> str:
    """Return the direction of an order."""
    return "DESC" if order.descending else "ASC"


def rows_of(scope: Scope, source: Plan, *columns: Column, events_by: str = "", tag: str = "") -> str:
    """Return the SELECT of the rows of a scope, for a FROM (`rows_sql.partial_rows`)."""
    return partial_rows(source, columns, Conditions(scope.conditions), events_by=events_by, tag=tag)


def measures_of(
    source: Plan, *, read: frozenset[str] = frozenset(_MEASURES), of_several_events: bool = False
) -> list[Column]:
    """Return the columns of the measures in `read`."""
    columns = []
    for name, (of_event, of_rollup) in _MEASURES.items():
        if name not in read:
            continue
        of_events = _OF_SEVERAL_EVENTS[name] if of_several_events else of_event
        added = " + ".join(source.rollup.column(column) for column in of_rollup) if source.rollup else ""
        columns.append(Column(name, of_events, added))
    return columns
