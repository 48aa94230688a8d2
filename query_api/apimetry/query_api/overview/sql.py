"""Figures of a whole organization as SQL. Pure; values are bound by the server.

`counters` has what was ever sent, also of applications that were deleted since. Neither retention nor deletion lowers
it. What is stored now comes from the rollup that counts an application's hours; at the edges of the last day it comes
from events. The planner chooses these rows as it chooses those of a timeseries count, so the two numbers agree at any
moment. An hour that reaches its retention leaves the rollup when the engine next merges it, after its last event
expired. Until then both numbers have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from string import Template

from apimetry.query_api.planning.planner import Needs, plan
from apimetry.query_api.planning.rows_sql import added_up, edges, range_parameters, weight
from apimetry.store.rollups import LAST_HOUR_S, Rollup
from apimetry.store.statement import Statement

# Every version of an application's record has the same organization: no FINAL. Deleted ones are among them.
_EVER_SENT = """SELECT sumIf(requests, month = {month:Date}),
  uniqExactIf((application, source), has({applications:Array(String)}, application)),
  toUnixTimestamp64Micro(maxOrNull(last_seen))
FROM counters
WHERE application IN (SELECT id FROM applications WHERE organization_id = {organization:String})"""
_STORED = Template("""SELECT sum(requests), $counted
FROM (
  SELECT $requests AS requests,
    if(time >= toDateTime({middle_start_s:UInt32}, 'UTC') AND time < toDateTime({middle_end_s:UInt32}, 'UTC'),
      $requests, 0) AS recent
  FROM $table
  WHERE application IN {applications:Array(String)}$condition
  UNION ALL
  SELECT 0 AS requests, $recent AS recent
  FROM events
  WHERE application IN {applications:Array(String)}
    AND $edges
)""")
_STORED_BY_APPLICATION = Template("""SELECT application, sum($requests)
FROM $table
WHERE application IN {applications:Array(String)}$condition
GROUP BY application""")
_SENT_BY_APPLICATION = """SELECT application, uniqExact(source), toUnixTimestamp64Micro(max(last_seen))
FROM counters WHERE application IN {applications:Array(String)} GROUP BY application"""
_REQUESTS = frozenset({"requests"})


def ever_sent(organization: str, applications: Sequence[str], month: date) -> Statement:
    """Return what answers one row: requests in `month`, sources of `applications`, the last event's µs or None."""
    return Statement(_EVER_SENT, {"organization": organization, "applications": list(applications), "month": month})


def stored(applications: Sequence[str], since: int, until: int) -> Statement:
    """Return what answers one row: requests of `applications` stored now, and those in `[since, until)` seconds.

    The range is of two hours or more: of less than that, the planner knows no hours in its middle.
    """
    chosen = plan(Needs(frozenset(), _REQUESTS, since, until, subtracts=True, now=until))
    parts = {"recent": weight(chosen).of_events, "counted": added_up(chosen, "recent"), "edges": edges()}
    sql = _of_hours(_STORED, chosen.rollup, **parts)
    return Statement(sql, {**range_parameters(chosen), "applications": list(applications)})


def stored_by_application(applications: Sequence[str]) -> Statement:
    """Return what answers rows of (application, requests stored now)."""
    source = plan(Needs(frozenset(), _REQUESTS, 0, LAST_HOUR_S)).rollup
    return Statement(_of_hours(_STORED_BY_APPLICATION, source), {"applications": list(applications)})


def _of_hours(statement: Template, source: Rollup | None, **parts: str) -> str:
    if source is None:
        raise LookupError("no rollup counts the requests of an application")
    condition = f" AND {source.condition}" if source.condition else ""
    return statement.substitute(table=source.table, requests=source.column("requests"), condition=condition, **parts)


def sent_by_application(applications: Sequence[str]) -> Statement:
    """Return what answers rows of (application, data sources ever seen, the last event's µs)."""
    return Statement(_SENT_BY_APPLICATION, {"applications": list(applications)})
