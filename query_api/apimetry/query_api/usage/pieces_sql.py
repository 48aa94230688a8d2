"""The figures of a usage response without filters as SQL, in pieces that each read one table. Pure.

`usage.sql` has the invariants. The engine analyses a statement over one table in 3 to 5 ms, a UNION of three in 15.
The rows of all pieces are few, so Python adds them up (`usage.pieces`). Pieces about hours that are over are apart
(`Statement.parts`). They all belong to one range, whose version is read once. For the day under way, rows per day
answer where the pieces are read as a whole, and rows per hour where the past is apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from string import Template
from typing import Final

from apimetry.query_api.planning.planner import Plan
from apimetry.query_api.planning.rows_sql import (
    OF_ROLLUP,
    edges,
    most_in_a_minute,
    range_of_days,
    range_outside_days,
    range_parameters,
)
from apimetry.query_api.usage.sql import RAW_MEASURES, SUMS_OF_ROLLUP, Scope, over, with_days_over
from apimetry.store.rollups import BUCKETS_PER_DOUBLING, LAST_BUCKET, SINGLE_DIMENSIONS
from apimetry.store.statement import Parts, Statement

MOST_GROUPS = 2000
"""Methods, statuses, routes and hours up to which a piece is read: a row of a route has its buckets."""

# The pieces run side by side. One thread reads few rows in the least processor time.
_OF_ROLLUP: Final[Mapping[str, int]] = {**OF_ROLLUP, "max_threads": 1}
_OF_GROUPS: Final[Mapping[str, int]] = {**_OF_ROLLUP, "max_rows_to_group_by": MOST_GROUPS}

MINUTE = "minute"
"""The list of minutes, which are numbers since the epoch."""

_HOURS = Template("""SELECT intDiv(toUnixTimestamp(time), 3600) AS hour, $sums, $most
FROM $table
WHERE application = {application:String} AND dimension = 'all'
  AND $within
GROUP BY hour""")
_GROUPS = Template("""SELECT dimension, 0, method, status_code, route, $sums,
  sumMapIf(response_us_buckets, dimension = 'route'), 0
FROM $table
WHERE application = {application:String} AND dimension != 'all'
  AND $within
GROUP BY dimension, method, status_code, route""")
_GROUPS_AND_HOURS = Template("""SELECT dimension,
  if(dimension = 'all', intDiv(toUnixTimestamp(time), 3600), 0) AS hour, method, status_code, route, $sums,
  sumMapIf(response_us_buckets, dimension = 'route'), arrayMax(mapValues(sumMapIf(minutes, dimension = 'all')))
FROM $table
WHERE application = {application:String}
  AND $within
GROUP BY dimension, hour, method, status_code, route""")
_WITHIN = "time >= toDateTime({hours_start_s:UInt32}, 'UTC') AND time < toDateTime({hours_end_s:UInt32}, 'UTC')"
# The array of buckets takes one addition an event. In the key, buckets would make as many groups as events.
_GROUPS_OF_EVENTS = Template("""SELECT $list,
  intDiv(toUnixTimestamp64Micro(timestamp), 60000000) AS minute, method, status_code, route, $measures,
  if(grouping(route) = 0, sumResample(0, $last + 1, 1)(
    if(isNull(response_us), 0, toUInt64(sample_weight)),
    toUInt16(least($per_doubling * log2(ifNull(response_us, 0) + 1.0), $last))
  ), []),
  0
FROM events
WHERE application = {application:String}
  AND $range
GROUP BY GROUPING SETS ((minute), (method), (status_code), (route))""")
_LIST = (
    f"multiIf(grouping(minute) = 0, '{MINUTE}', grouping(method) = 0, 'method',"
    " grouping(status_code) = 0, 'status_code', 'route')"
)


def plan_of(scope: Scope) -> Plan | None:
    """Return what the pieces read; None for a scope with filters, or one that events alone answer."""
    if scope.conditions:
        return None
    source = scope.plan(rollups=(SINGLE_DIMENSIONS,))
    return source if source.rollup is not None and source.middle[0] < source.middle[1] else None


def hours(scope: Scope, source: Plan) -> Statement | None:
    """Select rows of (hour since the epoch, the measures, the most requests in a clock minute).

    None where days answer for no group: the rows of `groups_and_times` have the hours then.
    """
    past = over(scope, source)
    if source.days is None or past is None:
        return None
    return _in_parts(_HOURS, scope, source, past)


def groups_and_times(scope: Scope, source: Plan) -> list[Statement]:
    """Return the statements whose rows are the groups outside of days, and the times that `hours` does not have.

    A row is (list, time, method, status code, route, the measures, requests by latency bucket, the most requests in
    a clock minute). In the list `all`, every hour is a group; in the list MINUTE, every minute. Buckets are those of
    routes alone: a mapping, or a number for each bucket. The engine stops at more than MOST_GROUPS.
    """
    statements = [_of_events(scope, source), _of_hours(scope, source)]
    return [statement for statement in statements if statement is not None]


def groups_of_days(scope: Scope, source: Plan) -> Statement | None:
    """Select such rows of the groups in days, without times; None where days answer for no group."""
    past = over(scope, source)
    if source.days is None or past is None:
        return None
    sql = _GROUPS.substitute(sums=SUMS_OF_ROLLUP, table=SINGLE_DIMENSIONS.days, within=range_of_days())
    whole = Statement(sql, _parameters(scope, source, source.middle), _OF_GROUPS)
    of_past = Statement(sql, _parameters(scope, with_days_over(scope, source), past), _OF_GROUPS)
    return replace(whole, parts=Parts(past, of_past, None))


def _of_hours(scope: Scope, source: Plan) -> Statement:
    """Return the groups of the hours that are not in days, of which the hour under way is a part of its own."""
    past = over(scope, source)
    if past is None:
        return _within(_GROUPS_AND_HOURS, scope, source, source.middle)
    return _in_parts(_GROUPS if source.days else _GROUPS_AND_HOURS, scope, source, past)


def _in_parts(template: Template, scope: Scope, source: Plan, past: tuple[int, int]) -> Statement:
    """Return the rows of the middle. Of its parts, the groups and the hour under way are one statement."""
    whole, in_past = _within(template, scope, source, source.middle), with_days_over(scope, source)
    has_others = template is not _HOURS and past[1] < source.middle[1]
    others = _within(_GROUPS_AND_HOURS, scope, in_past, (past[1], source.middle[1])) if has_others else None
    return replace(whole, parts=Parts(past, _within(template, scope, in_past, past), others))


def _within(template: Template, scope: Scope, source: Plan, times: tuple[int, int]) -> Statement:
    within = f"{_WITHIN}\n  AND {range_outside_days()}" if template is _GROUPS else _WITHIN
    sql = template.substitute(
        sums=SUMS_OF_ROLLUP, most=most_in_a_minute(), table=SINGLE_DIMENSIONS.table, within=within
    )
    parameters = {**_parameters(scope, source, times), "hours_start_s": times[0], "hours_end_s": times[1]}
    return Statement(sql, parameters, _OF_ROLLUP if template is _HOURS else _OF_GROUPS)


def _of_events(scope: Scope, source: Plan) -> Statement | None:
    if not source.reads_events:
        return None
    parameters = {**scope.parameters, **range_parameters(source)}
    sql = _GROUPS_OF_EVENTS.substitute(
        list=_LIST, measures=RAW_MEASURES, last=LAST_BUCKET, per_doubling=BUCKETS_PER_DOUBLING, range=edges()
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
