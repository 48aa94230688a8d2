"""A summary without filters as SQL, in pieces that each read one table. Pure.

The engine reads a piece in a few milliseconds, and what lies in the whole hours of the range is apart
(`Statement.parts`): it stays the same until the next hour is over. `summary.pieces` adds the rows up.

An hour that lies only partly in the range is an edge. Of an edge, either events answer for the part in the range, or
the rollup's row does, and the events beyond the range are subtracted (`planner.Needs.subtracts`). Sums, latency
buckets, minutes and consumers can be subtracted. The longest response time cannot: `peak` reads it where it matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from string import Template
from typing import Final

from apimetry.query_api.planning.planner import Needs, Plan, plan
from apimetry.query_api.planning.rows_sql import (
    OF_ROLLUP,
    Column,
    Conditions,
    added_up,
    group_key,
    inside,
    most_in_a_minute,
    partial_rows,
    range_parameters,
    settings_of,
    signed,
    weight,
)
from apimetry.query_api.planning.rows_sql import edges as edges_of_events
from apimetry.query_api.summary.sql import Scope
from apimetry.store.rollups import BUCKETS_PER_DOUBLING, DAY_S, HOUR_S, LAST_BUCKET
from apimetry.store.statement import Parts, Statement

MOST_CONSUMERS = 10_000
"""Consumers up to which their names are read."""

SUMS: Final = ("requests", "errors", "latency_us", "request_bytes", "response_bytes")

# Few rows: one thread reads them in the least processor time.
_OF_HOURS: Final[Mapping[str, int]] = {**OF_ROLLUP, "max_threads": 1}
_WHOLE = """application = {application:String}
  AND time >= toDateTime({whole_start_s:UInt32}, 'UTC') AND time < toDateTime({whole_end_s:UInt32}, 'UTC')"""
_TOTALS = Template("""SELECT sum(requests), sum(errors), sum(response_us_sum), sum(request_bytes_sum),
  sum(response_bytes_sum), max(response_us_max), sumMap(response_us_buckets)
FROM hourly_totals
WHERE dimension = 'all' AND $whole""")
# A rollup has several rows of an hour until the engine merges them.
_BUSIEST_MINUTE = Template("""SELECT max(most)
FROM (
  SELECT $most AS most
  FROM hourly_totals
  WHERE dimension = 'all' AND $whole
  GROUP BY time
)""")
_SERVER_ERRORS = Template("""SELECT sum(requests)
FROM hourly_totals
WHERE dimension = 'status_code' AND status_code >= 500 AND $whole""")
_EDGES = """SELECT intDiv(toUnixTimestamp(time), 3600) AS edge,
  sumIf(requests, dimension = 'all'), sumIf(errors, dimension = 'all'), sumIf(response_us_sum, dimension = 'all'),
  sumIf(request_bytes_sum, dimension = 'all'), sumIf(response_bytes_sum, dimension = 'all'),
  maxIf(response_us_max, dimension = 'all'), sumMapIf(response_us_buckets, dimension = 'all'),
  sumIf(requests, dimension = 'status_code'), sumMapIf(minutes, dimension = 'all')
FROM hourly_totals
WHERE application = {application:String}
  AND (dimension = 'all' OR (dimension = 'status_code' AND status_code >= 500))
  AND ((time >= toDateTime({middle_start_s:UInt32}, 'UTC') AND time < toDateTime({whole_start_s:UInt32}, 'UTC'))
    OR (time >= toDateTime({whole_end_s:UInt32}, 'UTC') AND time < toDateTime({middle_end_s:UInt32}, 'UTC')))
GROUP BY edge"""
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


def hours_of(scope: Scope) -> Hours | None:
    """Return the hours that pieces read; None for a scope with filters, and for one that events alone answer."""
    if scope.filters:
        return None
    measures = frozenset({"requests", "response_us_buckets", "minutes"})
    source = plan(Needs(frozenset(), measures, scope.start, scope.end, subtracts=True, now=scope.now))
    hours = Hours(source, _whole(source))
    return hours if source.rollup is not None and hours.whole[0] < hours.whole[1] else None


def totals(scope: Scope, hours: Hours) -> Statement:
    """Select one row: SUMS, the longest response time, and requests by latency bucket, of the whole hours."""
    return _of_whole(_TOTALS, scope, hours)


def busiest_minute(scope: Scope, hours: Hours) -> Statement:
    """Select one row: the most requests in a clock minute of the whole hours."""
    return _of_whole(_BUSIEST_MINUTE, scope, hours)


def server_errors(scope: Scope, hours: Hours) -> Statement:
    """Select one row: the requests of the whole hours with a status from 500 on."""
    return _of_whole(_SERVER_ERRORS, scope, hours)


def edges(scope: Scope, hours: Hours) -> Statement | None:
    """Select rows of (hour, SUMS, the longest response time, buckets, server errors, minutes) of the edges' hours.

    An hour is a number since the epoch. Buckets and minutes are mappings to requests. None: there are no such rows.
    """
    (start, end), (whole_start, whole_end) = hours.source.middle, hours.whole
    if hours.source.middle == hours.whole:
        return None
    times = {"middle_start_s": start, "middle_end_s": end, "whole_start_s": whole_start, "whole_end_s": whole_end}
    return Statement(_EDGES, {**_depends_on(scope, hours.source.middle), **times}, _OF_HOURS)


def events(scope: Scope, hours: Hours) -> Statement | None:
    """Select the same of the events at the edges, with a number for each bucket, and for each minute.

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
    days = -(-past[0] // DAY_S) * DAY_S, past[1] // DAY_S * DAY_S

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


def _of_whole(template: Template, scope: Scope, hours: Hours) -> Statement:
    start, end = hours.whole
    parameters = {**_depends_on(scope, hours.whole), "whole_start_s": start, "whole_end_s": end}
    statement = Statement(template.substitute(whole=_WHOLE, most=most_in_a_minute()), parameters, _OF_HOURS)
    return replace(statement, parts=Parts(hours.whole, statement, None))


def _whole(source: Plan) -> tuple[int, int]:
    """Return the hours of the middle that lie wholly in the range."""
    start, end = -(-source.start // HOUR_S) * HOUR_S, source.end // HOUR_S * HOUR_S
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
