"""Versions as SQL over rollups and events, as the planner says. Pure.

Invariants: the server binds values; text for `$name` comes from closed sets. Counts are sums of `sample_weight`.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import Template
from typing import Final

from apimetry.query_api.planning.filter_sql import filter_conditions, filter_parameters
from apimetry.query_api.planning.filters import columns_of
from apimetry.query_api.planning.granularity import named_granularity
from apimetry.query_api.planning.group_limit import GROUP_LIMIT
from apimetry.query_api.planning.planner import Needs, Plan, plan
from apimetry.query_api.planning.rows_sql import Column, Conditions, partial_rows, range_parameters, seconds
from apimetry.query_api.versions.params import VersionsQuery
from apimetry.store.rollups import HOUR_S
from apimetry.store.statement import Statement

MAX_SOURCES: Final = 100
EARLIER_S: Final = 7 * 86_400
"""How long before the range a version may have begun to serve."""

_NAMED: Final = "version != ''"
_EVENT_HOUR: Final = "intDiv(toUnixTimestamp64Micro(timestamp), 3600000000)"
# Rows of rollups are exact to the hour, events to the microsecond.
_HOURS = Template("""SELECT part.version AS version, part.hour AS hour, sum(part.requests) AS requests,
  sum(part.errors) AS errors, groupUniqArrayIf($max_sources)(part.source, part.source != '') AS sources,
  min(part.seen_us) AS first_us, max(part.seen_us) AS last_us, min(part.is_exact) AS is_exact
FROM (
  $rows
  UNION ALL
  $earlier
) AS part
GROUP BY version, hour
ORDER BY version, hour""")
_KNOWN = Template("""SELECT DISTINCT part.version
FROM ($rows) AS part""")
_EXACT = Template("""SELECT version, $hour AS hour, toUnixTimestamp64Micro(min(timestamp)),
  toUnixTimestamp64Micro(max(timestamp))
FROM events
WHERE application = {application:String}
  AND $hour IN {hours:Array(Int64)}
  AND version IN {versions:Array(String)}$conditions
GROUP BY version, hour""")
_EARLIER: Final = "_earlier"


def begins_s(query: VersionsQuery) -> int:
    """Return the first second that `hours` reads: the beginning of an hour, EARLIER_S before the range."""
    return max(0, query.start - EARLIER_S) // HOUR_S * HOUR_S


def hours(query: VersionsQuery, application: str, now: int | None = None) -> Statement:
    """Select rows of (version, hour, requests, errors, sources, first time, last time, whether they are exact).

    An hour is a number of hours since the epoch, a time is in microseconds. Requests, errors and sources are those of
    the range. Hours before it are there for what they say about the time.
    """
    hour = named_granularity("hour")
    dimensions = columns_of(query.filters) | {"version"}
    within = plan(
        Needs(dimensions | {"source"}, frozenset({"requests", "errors"}), query.start, query.end, hour, now=now)
    )
    before = plan(Needs(dimensions, frozenset({"requests"}), begins_s(query), query.start, hour, now=now))
    counted = [
        Column("requests", "toUInt64(sample_weight)", "requests"),
        Column(
            "errors",
            "if(status_code >= 400, toUInt64(sample_weight), 0)",
            within.rollup.column("errors") if within.rollup else "",
        ),
        Column("source", "source", "source"),
    ]
    nothing = [Column(name, value, value) for name, value in (("requests", "0"), ("errors", "0"), ("source", "''"))]
    conditions = Conditions((*filter_conditions(query.filters), _NAMED))
    sql = _HOURS.substitute(
        max_sources=MAX_SOURCES,
        rows=partial_rows(within, [*_times(within), *counted], conditions),
        earlier=partial_rows(before, [*_times(before), *nothing], conditions, tag=_EARLIER),
    )
    parameters = {**range_parameters(within), **range_parameters(before, tag=_EARLIER)}
    return Statement(sql, {**_parameters(query, application), **parameters}, GROUP_LIMIT)


def known(query: VersionsQuery, application: str, versions: Sequence[str]) -> Statement:
    """Select those of `versions` that served before the hours of `hours`."""
    dimensions = columns_of(query.filters) | {"version"}
    source = plan(Needs(dimensions, frozenset({"requests"}), 0, begins_s(query)))
    conditions = Conditions((*filter_conditions(query.filters), "version IN {versions:Array(String)}"))
    rows = partial_rows(source, [Column("version", "version", "version")], conditions)
    parameters = {**_parameters(query, application), **range_parameters(source), "versions": list(versions)}
    return Statement(_KNOWN.substitute(rows=rows), parameters)


def exact(query: VersionsQuery, application: str, begun: Sequence[tuple[str, int]]) -> Statement:
    """Select rows of (version, hour, first time, last time) of events, of at least the versions and hours `begun`."""
    versions, hours_ = ({*names} for names in zip(*begun, strict=True))
    conditions = "".join(f"\n  AND {condition}" for condition in filter_conditions(query.filters))
    parameters = {**_parameters(query, application), "versions": sorted(versions), "hours": sorted(hours_)}
    return Statement(_EXACT.substitute(hour=_EVENT_HOUR, conditions=conditions), parameters, GROUP_LIMIT)


def _times(source: Plan) -> list[Column]:
    time_s = seconds(source)
    return [
        Column("version", "version", "version"),
        Column("hour", _EVENT_HOUR, f"intDiv({time_s}, {HOUR_S})"),
        Column("seen_us", "toUnixTimestamp64Micro(timestamp)", f"{time_s} * 1000000"),
        Column("is_exact", "1", "0"),
    ]


def _parameters(query: VersionsQuery, application: str) -> dict[str, object]:
    return {"application": application, **filter_parameters(query.filters)}
