"""The figures of a usage response without filters as SQL, in pieces that each read one table. Pure.

`usage.sql` has the invariants. The engine analyses a statement over one table in 3 to 5 ms, a UNION of three in 15.
The rows of all pieces are few, so Python adds them up (`usage.pieces`). Pieces about hours that are over are apart
(`Statement.parts`). They all belong to one range, whose version is read once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from string import Template

from apimetry.query_api.planning.planner import Plan
from apimetry.query_api.planning.rows_sql import (
    edges,
    range_of_days,
    range_outside_days,
    range_parameters,
    settings_of,
)
from apimetry.query_api.usage.sql import RAW_MEASURES, SUMS_OF_ROLLUP, Scope, over, with_days_over
from apimetry.store.rollups import BUCKETS_PER_DOUBLING, SINGLE_DIMENSIONS
from apimetry.store.statement import Parts, Statement

MOST_GROUPS = 2000
"""Methods, statuses, routes and hours up to which a piece is read: a row of a route has its buckets."""

_BUCKETS = 64 * BUCKETS_PER_DOUBLING + 1
"""Buckets of a UInt64."""

_HOURS_OF_DAYS = Template("""SELECT intDiv(toUnixTimestamp(time), 3600) AS hour, $sums,
  arrayMax(mapValues(sumMap(minutes)))
FROM $table
WHERE application = {application:String} AND dimension = 'all'
  AND $days
GROUP BY hour""")
_GROUPS_OF_DAYS = Template("""SELECT dimension, 0, method, status_code, route, $sums,
  sumMapIf(response_us_buckets, dimension = 'route'), 0
FROM $table
WHERE application = {application:String} AND dimension != 'all'
  AND $days
GROUP BY dimension, method, status_code, route""")
_GROUPS_OF_HOURS = Template("""SELECT dimension,
  if(dimension = 'all', intDiv(toUnixTimestamp(time), 3600), 0) AS hour, method, status_code, route, $sums,
  sumMapIf(response_us_buckets, dimension = 'route'), arrayMax(mapValues(sumMapIf(minutes, dimension = 'all')))
FROM $table
WHERE application = {application:String}
  AND time >= toDateTime({hours_start_s:UInt32}, 'UTC') AND time < toDateTime({hours_end_s:UInt32}, 'UTC')$outside
GROUP BY dimension, hour, method, status_code, route""")
# The array of buckets takes one addition an event. In the key, buckets would make as many groups as events.
_GROUPS_OF_EVENTS = Template("""SELECT $list,
  intDiv(toUnixTimestamp64Micro(timestamp), 3600000000) AS hour, method, status_code, route, $measures,
  sumResample(0, $buckets, 1)(
    if(isNull(response_us), 0, toUInt64(sample_weight)),
    toUInt16($per_doubling * log2(ifNull(response_us, 0) + 1.0))
  ),
  arrayMax(sumResample(0, 60, 1)(toUInt64(sample_weight), toMinute(timestamp)))
FROM events
WHERE application = {application:String}
  AND $range
GROUP BY GROUPING SETS ((hour), (method), (status_code), (route))""")
_LIST = (
    "multiIf(grouping(hour) = 0, 'all', grouping(method) = 0, 'method',"
    " grouping(status_code) = 0, 'status_code', 'route')"
)


def plan_of(scope: Scope) -> Plan | None:
    """Return what the pieces read; None for a scope with filters, or one that events alone answer."""
    if scope.conditions:
        return None
    source = with_days_over(scope, scope.plan(rollups=(SINGLE_DIMENSIONS,)))
    return source if source.rollup is not None and source.middle[0] < source.middle[1] else None


def hours_of_days(scope: Scope, source: Plan) -> Statement | None:
    """Select rows of (hour since the epoch, the measures, the most requests in a clock minute), of whole days."""
    return _of_days(_HOURS_OF_DAYS, SINGLE_DIMENSIONS.table, scope, source, settings_of(source))


def groups(scope: Scope, source: Plan) -> list[Statement]:
    """Return the statements whose rows together are all groups, and the hours outside of whole days.

    A row is (list, hour, method, status code, route, the measures, requests by latency bucket, the most requests in
    a clock minute). In the list `all`, every hour is a group. Buckets are those of routes alone: a mapping, or a
    number for each bucket. The engine stops at more than MOST_GROUPS.
    """
    statements = [
        _of_days(_GROUPS_OF_DAYS, SINGLE_DIMENSIONS.days, scope, source, _settings(source)),
        _of_hours(scope, source),
        _of_events(scope, source),
    ]
    return [statement for statement in statements if statement is not None]


def _of_days(
    template: Template, table: str, scope: Scope, source: Plan, settings: Mapping[str, int]
) -> Statement | None:
    past = over(scope, source)
    if source.days is None or past is None:
        return None
    sql = template.substitute(sums=SUMS_OF_ROLLUP, table=table, days=range_of_days())
    statement = Statement(sql, _parameters(scope, source, past), settings)
    return replace(statement, parts=Parts(past, statement, None))


def _of_hours(scope: Scope, source: Plan) -> Statement:
    """Return the groups of the hours that are not in whole days, of which the hour under way is a part of its own."""
    outside = f"\n  AND {range_outside_days()}" if source.days else ""
    sql = _GROUPS_OF_HOURS.substitute(sums=SUMS_OF_ROLLUP, table=SINGLE_DIMENSIONS.table, outside=outside)

    def within(start: int, end: int) -> Statement:
        parameters = {**_parameters(scope, source, (start, end)), "hours_start_s": start, "hours_end_s": end}
        return Statement(sql, parameters, _settings(source))

    start, end = source.middle
    past = over(scope, source)
    if past is None:
        return within(start, end)
    others = within(past[1], end) if past[1] < end else None
    return replace(within(start, end), parts=Parts(past, within(*past), others))


def _of_events(scope: Scope, source: Plan) -> Statement | None:
    if not source.reads_events:
        return None
    parameters = {**scope.parameters, **range_parameters(source)}
    sql = _GROUPS_OF_EVENTS.substitute(
        list=_LIST, measures=RAW_MEASURES, buckets=_BUCKETS, per_doubling=BUCKETS_PER_DOUBLING, range=edges()
    )
    return Statement(sql, parameters, {"max_rows_to_group_by": MOST_GROUPS})


def _parameters(scope: Scope, source: Plan, times: tuple[int, int]) -> dict[str, object]:
    """Return the application, the days, and the times of all events that the rows depend on."""
    start, end = times
    parameters: dict[str, object] = {"application": scope.application}
    parameters["start_us"], parameters["end_us"] = start * 1_000_000, end * 1_000_000
    if source.days is not None:
        parameters["days_start_s"], parameters["days_end_s"] = source.days
    return parameters


def _settings(source: Plan) -> dict[str, int]:
    return {**settings_of(source), "max_rows_to_group_by": MOST_GROUPS}
