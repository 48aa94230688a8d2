"""A period beside an earlier one of the same length: `compare`. Pure.

The buckets of the earlier period are the query's buckets, moved by the time between the two starts, also if that is
no whole number of buckets or not a whole week. So a chart can draw the two series over each other, point by point.
The points of the earlier period have the times of the query's points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from apimetry.query_api.planning.filters import filter_on
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.planning.period import compared_period
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.query_api.timeseries.response import Point, PreviousPeriod, Timeseries


def previous(
    query: TimeseriesQuery,
    groups: Mapping[str, object],
    answer: Callable[[TimeseriesQuery], Timeseries],
) -> PreviousPeriod:
    """Return the response's part about the earlier period.

    Args:
        query: the query with a comparison.
        groups: the groups of its response. Each of them gets a series. With `limit`, no other group gets one.
        answer: answers a query without a comparison.
    """
    earlier = _moved(query)
    shift_s = query.start - earlier.start
    earlier_groups: Mapping[str, list[Point]] = {}
    if groups or query.limit is None:
        earlier_groups = answer(_only(earlier, groups) if query.limit is not None else earlier)["groups"]
    moved: dict[str, list[Point]] = {
        key: [(time_s + shift_s, value) for time_s, value in points] for key, points in earlier_groups.items()
    }
    empty: list[Point] = []
    if query.fill and query.granularity:
        nothing = 0 if query.fill == "zero" else None
        empty = [(time_s, nothing) for time_s in query.granularity.starts(query.start, query.end)]
    return {
        "groups": {**{key: empty for key in groups if key not in moved}, **moved},
        "start": earlier.start,
        "end": earlier.end,
    }


def _moved(query: TimeseriesQuery) -> TimeseriesQuery:
    start, end = compared_period(str(query.compare), query.start, query.end)
    granularity = query.granularity
    if granularity is not None:
        # The origin must be before all events: the engine's division rounds towards it.
        shift_s = (query.start - start - granularity.origin_s) % granularity.seconds
        granularity = Granularity(granularity.seconds, -shift_s)
    return replace(query, start=start, end=end, granularity=granularity, completeness=False, compare=None)


def _only(query: TimeseriesQuery, groups: Mapping[str, object]) -> TimeseriesQuery:
    """Return the query about these groups alone, without a limit."""
    if query.group is None:
        return replace(query, limit=None)
    return replace(query, limit=None, filters=(*query.filters, filter_on(query.group, groups)))
