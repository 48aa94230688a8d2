"""Where the stored events of applications begin and end, as SQL. Pure.

Rollups say in which hours an application's first and last events are, so that only these hours of the events are
read: from their ends, in the order of the table's key, which stops at the first rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template

from apimetry.query_api.planning.granularity import named_granularity
from apimetry.query_api.planning.planner import Needs, plan
from apimetry.store.rollups import HOUR_S, LAST_HOUR_S, Rollup
from apimetry.store.statement import Statement

Hours = Mapping[str, tuple[int, int]]
"""Of applications with events: the hours of the first and the last event, in seconds since the epoch."""

_HOURS = Template("""SELECT application, toInt64(toUnixTimestamp(min(time))), toInt64(toUnixTimestamp(max(time)))
FROM $table
WHERE application IN {applications:Array(String)}$condition
GROUP BY application""")
_ENDS_OF_ONE = Template("""SELECT
  {application_$n:String}, minOrNull(first), maxOrNull(last), max(has_urls), max(is_sampled)
FROM (
  SELECT toUnixTimestamp64Micro(timestamp) AS first, NULL AS last, 0 AS has_urls, 0 AS is_sampled FROM (
    SELECT timestamp FROM events
    WHERE application = {application_$n:String}
      AND timestamp >= toDateTime({first_$n:Int64}, 'UTC')
      AND timestamp < toDateTime({first_$n:Int64} + $hour_s, 'UTC')
    ORDER BY timestamp
    LIMIT 1
  )
  UNION ALL
  SELECT
    NULL AS first, toUnixTimestamp64Micro(timestamp) AS last, url != '' AS has_urls, sample_weight > 1 AS is_sampled
  FROM (
    SELECT timestamp, url, sample_weight FROM events
    WHERE application = {application_$n:String}
      AND timestamp >= toDateTime({last_$n:Int64}, 'UTC')
      AND timestamp < toDateTime({last_$n:Int64} + $hour_s, 'UTC')
    ORDER BY timestamp DESC
    LIMIT $newest
  )
)""")
_NEWEST_EVENTS = 1000
"""Events that are looked at for URLs and weights: one sender among others decides nothing."""


def hours(applications: Sequence[str]) -> Statement:
    """Return what answers rows of (application, hour of the first event, hour of the last), in seconds."""
    source = hourly()
    return Statement(
        _HOURS.substitute(table=source.table, condition=condition_of(source)), {"applications": list(applications)}
    )


def ends(hours_of: Hours) -> Statement:
    """Return what answers a row for each application.

    A row is the application, the time of its first and of its last event in µs, and of its newest events whether any
    has a URL, and whether any has a weight over 1. A time is None where the events have left and the rollup's row has
    not: the engine merges both some time later.
    """
    branches: list[str] = []
    parameters: dict[str, object] = {}
    for number, (application, (first, last)) in enumerate(hours_of.items()):
        branches.append(_ENDS_OF_ONE.substitute(n=number, hour_s=HOUR_S, newest=_NEWEST_EVENTS))
        parameters |= {f"application_{number}": application, f"first_{number}": first, f"last_{number}": last}
    return Statement("\nUNION ALL\n".join(branches), parameters)


def hourly(*dimensions: str) -> Rollup:
    """Return the rollup of requests by the hour with these dimensions."""
    needs = Needs(frozenset(dimensions), frozenset({"requests"}), 0, LAST_HOUR_S, named_granularity("hour"))
    source = plan(needs).rollup
    if source is None:
        raise LookupError(f"no rollup has {', '.join(dimensions) or 'the requests of an application'}")
    return source


def condition_of(source: Rollup) -> str:
    """Return the condition of a rollup's rows after AND; empty where all rows of its table are meant."""
    return f" AND {source.condition}" if source.condition else ""
