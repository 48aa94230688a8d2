"""A summary without filters as SQL, in pieces that each read one table. Pure.

The engine reads a piece in a few milliseconds, and what lies in the whole hours of the range is apart
(`Statement.parts`): it stays the same until the next hour is over. Of the whole hours, rows per day answer for whole
days. `summary.pieces` adds the rows up.

An hour that lies only partly in the range is an edge. Of an edge, either events answer for the part in the range, or
the rollup's row does, and the events beyond the range are subtracted (`planner.Needs.subtracts`). Sums, latency
buckets, minutes and consumers can be subtracted. The longest response time cannot: `peak` reads it where it matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from string import Template
from typing import Final

from apimetry.query_api.planning.planner import LEAST_DAYS_S, Needs, Plan, plan, whole_units
from apimetry.query_api.planning.rows_sql import (
    OF_ROLLUP,
    Column,
    Conditions,
    added_up,
    group_key,
    inside,
    most_in_a_minute,
    partial_rows,
    range_of_days,
    range_outside_days,
    range_parameters,
    settings_of,
    signed,
    weight,
)
from apimetry.query_api.planning.rows_sql import edges as edges_of_events
from apimetry.query_api.summary.sql import Scope
from apimetry.store.rollups import BUCKETS_PER_DOUBLING, DAY_S, HOUR_S, LAST_BUCKET, ROLLUPS
from apimetry.store.statement import Parts, Statement

MOST_CONSUMERS = 10_000
"""Consumers up to which their names are read."""

_TOTAL: Final = ROLLUPS[0]

SUMS: Final = ("requests", "errors", "latency_us", "request_bytes", "response_bytes")

# Few rows: one thread reads them in the least processor time.
_OF_HOURS: Final[Mapping[str, int]] = {**OF_ROLLUP, "max_threads": 1}
_WHOLE = "time >= toDateTime({whole_start_s:UInt32}, 'UTC') AND time < toDateTime({whole_end_s:UInt32}, 'UTC')"
_MIDDLE = "time >= toDateTime({middle_start_s:UInt32}, 'UTC') AND time < toDateTime({middle_end_s:UInt32}, 'UTC')"
_OUTSIDE_WHOLE = (
    "(time < toDateTime({whole_start_s:UInt32}, 'UTC') OR time >= toDateTime({whole_end_s:UInt32}, 'UTC'))"
)
_FIGURES = """sumIf(requests, dimension = 'all'), sumIf(errors, dimension = 'all'),
  sumIf(response_us_sum, dimension = 'all'), sumIf(request_bytes_sum, dimension = 'all'),
  sumIf(response_bytes_sum, dimension = 'all'), maxIf(response_us_max, dimension = 'all'),
  sumMapIf(response_us_buckets, dimension = 'all'), sumIf(requests, dimension = 'status_code')"""
_ROWS = """application = {application:String}
  AND (dimension = 'all' OR (dimension = 'status_code' AND status_code >= 500))"""
_TOTALS = Template("""SELECT $figures
FROM $table
WHERE $rows
  AND $within""")
_HOURS = Template("""SELECT intDiv(toUnixTimestamp(time), 3600) AS hour, $figures,
  sumMapIf(minutes, dimension = 'all')
FROM $table
WHERE $rows
  AND $within
GROUP BY hour""")
# A rollup has several rows of an hour until the engine merges them.
_BUSIEST_MINUTE = Template("""SELECT max(most)
FROM (
  SELECT $most AS most
  FROM $table
  WHERE application = {application:String} AND dimension = 'all'
    AND $within
  GROUP BY time
)""")
# The weight has a name of its own: the engine analyses every use of its expression.
_EVENTS = Template("""SELECT intDiv(toUnixTimestamp64Micro(timestamp), 3600000000) AS edge,
  sum(weight), sumIf(weight, status_code >= 400), sum(ifNull(response_us, 0) * weight),
  sum(ifNull(request_bytes, 0) * weight), sum(ifNull(response_bytes, 0) * weight),
  max(if($inside, ifNull(response_us, 0), 0)),
  sumResampleIf(0, $last + 1, 1)(
    weight, toUInt16(least($per_doubling * log2(ifNull(response_us, 0) + 1.0), $last)), isNotNull(response_us)
  ),
  sumIf(weight, status_code >= 500), sumResample(0, 60, 1)(weight, toMinute(timestamp))
FROM (
  SELECT timestamp, status_code, response_us, request_bytes, response_bytes, $weight AS weight
  FROM events
  WHERE application = {application:String}
    AND $edges
)
GROUP BY edge""")
_CONSUMERS = Template("""SELECT part.consumer AS consumer FROM ($rows) AS part GROUP BY consumer$having""")
_PEAK = Template("SELECT max(part.peak_us) FROM ($rows) AS part")


@dataclass(frozen=True)
class Hours:
    """The hours of a scope: `source` answers for its `middle`; `whole` are the hours that lie in the range."""

    source: Plan
    whole: tuple[int, int]
    days: tuple[int, int] | None
    """The days among the whole hours, for which rows per day answer; None: they are too few."""


def hours_of(scope: Scope) -> Hours | None:
    """Return the hours that pieces read; None for a scope with filters, and for one that events alone answer."""
    if scope.filters:
        return None
    measures = frozenset({"requests", "response_us_buckets", "minutes"})
    source = plan(Needs(frozenset(), measures, scope.start, scope.end, subtracts=True, now=scope.now))
    whole = _whole(source)
    if source.rollup is None or whole[0] >= whole[1]:
        return None
    days = whole_units(*whole, DAY_S)
    return Hours(source, whole, days if days[1] - days[0] >= LEAST_DAYS_S else None)


def totals(scope: Scope, hours: Hours) -> Statement:
    """Select one row: SUMS, the longest response time, requests by latency bucket, and server errors.

    It is about the days, or without them about the whole hours.
    """
    table, within = (_TOTAL.days, range_of_days()) if hours.days else (_TOTAL.table, _WHOLE)
    sql = _TOTALS.substitute(figures=_FIGURES, table=table, rows=_ROWS, within=within)
    return _of_whole(Statement(sql, _times(scope, hours, hours.whole), _OF_HOURS), hours)


def busiest_minute(scope: Scope, hours: Hours) -> Statement:
    """Select one row: the most requests in a clock minute of the whole hours."""
    sql = _BUSIEST_MINUTE.substitute(most=most_in_a_minute(), table=_TOTAL.table, within=_WHOLE)
    return _of_whole(Statement(sql, _times(scope, hours, hours.whole), _OF_HOURS), hours)


def other_hours(scope: Scope, hours: Hours) -> Statement | None:
    """Select rows of the hours that `totals` is not about: a number since the epoch, its figures, and minutes.

    Minutes are a mapping to requests. None: there are no such hours.
    """

    def of(within: str, times: tuple[int, int]) -> Statement:
        sql = _HOURS.substitute(figures=_FIGURES, table=_TOTAL.table, rows=_ROWS, within=within)
        return Statement(sql, _times(scope, hours, times), _OF_HOURS)

    has_edges = hours.source.middle != hours.whole
    edges = of(f"{_MIDDLE}\n  AND {_OUTSIDE_WHOLE}", hours.source.middle) if has_edges else None
    if hours.days is None:
        return edges
    # Also where all hours lie in days: hours answer for days before those that are whole (`rollups.SINCE_SQL`).
    past = of(f"{_WHOLE}\n  AND {range_outside_days()}", hours.whole)
    whole = of(f"{_MIDDLE}\n  AND {range_outside_days()}", hours.source.middle)
    return replace(whole, parts=Parts(hours.whole, past, edges))


def events(scope: Scope, hours: Hours) -> Statement | None:
    """Select the same rows of the hours at the edges from events, with a number for each bucket and minute.

    Events beyond the range count negatively, modulo 2^64, except in the longest response time. None: there are none.
    """
    source = hours.source
    if not source.reads_events:
        return None
    sql = _EVENTS.substitute(
        weight=signed(source, "toUInt64(sample_weight)"),
        inside=inside(),
        last=LAST_BUCKET,
        per_doubling=BUCKETS_PER_DOUBLING,
        edges=edges_of_events(),
    )
    return Statement(sql, {**_depends_on(scope, source.middle), **range_parameters(source)})


def consumers(scope: Scope) -> Statement:
    """Select rows of a consumer; one may be in two. The engine stops at more than MOST_CONSUMERS."""
    needs = Needs(
        frozenset({"consumer_id"}), frozenset({"requests"}), scope.start, scope.end, subtracts=True, now=scope.now
    )
    source = plan(needs)
    past = _whole(source)
    days = whole_units(*past, DAY_S)

    def of(part: Plan) -> Statement:
        columns = [group_key(part, "consumer_id", "consumer"), weight(part)]
        having = f" HAVING {added_up(part)} > 0" if part.subtracts else ""
        sql = _CONSUMERS.substitute(rows=partial_rows(part, columns, Conditions()), having=having)
        parameters = {"application": scope.application, **range_parameters(part)}
        return Statement(sql, parameters, {**settings_of(part), "max_rows_to_group_by": MOST_CONSUMERS})

    if source.rollup is None or past[0] >= past[1]:
        return of(source)
    in_past = replace(source, days=days if source.days is not None and days[0] < days[1] else None)
    of_past, others = in_past.apart(past)
    has_others = source.reads_events or source.middle != past
    return replace(of(source), parts=Parts(past, of(of_past), of(others) if has_others else None))


def peak(scope: Scope, start: int, end: int) -> Statement:
    """Select one row: the longest response time in `[start, end)` seconds, a part of an hour; 0 without any."""
    measures = frozenset({"response_us_max"})
    source = plan(Needs(frozenset(), measures, start, end, now=scope.now, takes_minutes=True))
    rows = partial_rows(source, [Column("peak_us", "ifNull(response_us, 0)", "response_us_max")], Conditions())
    parameters = {"application": scope.application, **range_parameters(source)}
    return Statement(_PEAK.substitute(rows=rows), parameters, settings_of(source))


def _of_whole(statement: Statement, hours: Hours) -> Statement:
    return replace(statement, parts=Parts(hours.whole, statement, None))


def _times(scope: Scope, hours: Hours, depends_on: tuple[int, int]) -> dict[str, object]:
    """Return the application, all times of `hours`, and the times of all events that rows depend on."""
    times = {"middle": hours.source.middle, "whole": hours.whole, **({"days": hours.days} if hours.days else {})}
    bounds = {f"{name}_start_s": start for name, (start, _) in times.items()}
    bounds |= {f"{name}_end_s": end for name, (_, end) in times.items()}
    return {**_depends_on(scope, depends_on), **bounds}


def _whole(source: Plan) -> tuple[int, int]:
    """Return the hours of the middle that lie wholly in the range."""
    start, end = whole_units(source.start, source.end, HOUR_S)
    return max(start, source.middle[0]), min(end, source.middle[1])


def _depends_on(scope: Scope, times: tuple[int, int]) -> dict[str, object]:
    """Return the application, and the times of all events that rows depend on, in microseconds.

    `remembering` knows the times by their names: rows that depend on events beyond the range are not remembered.
    """
    start, end = times
    return {
        "application": scope.application,
        "start_us_of_hours": start * 1_000_000,
        "end_us_of_hours": end * 1_000_000,
    }
