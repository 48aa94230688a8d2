"""The past of a series apart from its newest points, so that a question whose end moves reads the newest alone. Pure.

The points of a series do not depend on each other. So the points of whole buckets that are over can be read by a
statement of their own, which stays the same until the next bucket is over (`remembering` keeps its rows). Another
statement reads the other points. Two statements take longer than one where the past is cheap to read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from apimetry.query_api.planning.granularity import DAY_S, Granularity
from apimetry.query_api.planning.planner import Plan
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.store.rollups import HOUR_S
from apimetry.store.statement import Parts, Statement

LEAST_S: Final = 14 * DAY_S
"""The shortest past of percentiles, or of the requests of consumers, that takes longer than one more statement."""

LEAST_OF_GROUPS_S: Final = 3 * DAY_S
"""The same of percentiles of groups."""


def with_past_apart(
    query: TimeseriesQuery, source: Plan, now: int | None, points: Callable[[Plan], Statement]
) -> Statement:
    """Return the statement of the `points` of `source`, with parts if the past is worth a statement of its own."""
    whole, hours = points(source), past_of(query, source, now)
    if hours is None:
        return whole
    past, others = source.apart(hours)
    return replace(whole, parts=Parts(hours, points(past), points(others)))


def past_of(query: TimeseriesQuery, source: Plan, now: int | None) -> tuple[int, int] | None:
    """Return the whole buckets of `source` that are over at `now`, in seconds; None if they are cheap to read."""
    buckets = query.granularity
    if source.rollup is None or now is None or query.omits or not isinstance(buckets, Granularity):
        return None
    if buckets.seconds % HOUR_S or buckets.origin_s % HOUR_S:
        return None
    start = buckets.floor(query.start + buckets.seconds - 1)
    end = buckets.floor(min(query.end, now, source.middle[1]))
    least_s = LEAST_OF_GROUPS_S if query.percentiles and query.groups else LEAST_S
    is_dear = bool(query.percentiles) or "consumer_id" in query.dimensions
    return (start, end) if is_dear and end - start >= least_s else None
