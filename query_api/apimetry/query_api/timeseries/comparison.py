"""A period beside an earlier one of the same length: `compare`. Pure.

The buckets of the earlier period are the query's buckets, moved by the time between the two starts, also if that is
no whole number of buckets or not a whole week. So a chart can draw the two series over each other, point by point.
The points of the earlier period have the times of the query's points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from apimetry.query_api.planning.period import compared_period
from apimetry.query_api.timeseries.params import Keys, TimeseriesQuery
from apimetry.query_api.timeseries.reading import Reading, Series, of_nothing, starts_of

Read = Callable[[TimeseriesQuery], Reading]


@dataclass(frozen=True)
class Earlier:
    """The earlier period, and its series with the times of the query's points."""

    start: int
    end: int
    reading: Reading


def read_earlier(query: TimeseriesQuery, later: Reading, read: Read) -> Earlier:
    """Return the earlier period of a query with a comparison.

    Args:
        query: the query.
        later: its own series. Each of their groups gets a series. With `limit`, no other group gets one.
        read: reads the series of a query without a comparison.
    """
    moved = _moved(query)
    earlier = Reading()
    if later.groups or query.limit is None:
        earlier = read(_only(moved, later) if query.limit is not None else moved)
    if query.rest and query.omits:
        earlier.rest = read(_all_but(moved, later)).groups[()]
    shift_s = query.start - moved.start
    groups = {key: _later(series, shift_s) for key, series in earlier.groups.items()}
    empty: Series = {}
    if query.fill and query.granularity:
        empty = {start: (start, *of_nothing(query)) for start in starts_of(query)}
    missing = {key: empty for key in later.groups if key not in groups}
    return Earlier(moved.start, moved.end, Reading({**missing, **groups}, _later(earlier.rest, shift_s)))


def _later(series: Series, shift_s: int) -> Series:
    return {time_s + shift_s: (time_s + shift_s, *values) for time_s, (_, *values) in series.items()}


def _moved(query: TimeseriesQuery) -> TimeseriesQuery:
    start, end = compared_period(str(query.compare), query.start, query.end)
    granularity = query.granularity.moved(query.start - start) if query.granularity else None
    return replace(query, start=start, end=end, granularity=granularity, completeness=False, compare=None)


def _only(query: TimeseriesQuery, later: Reading) -> TimeseriesQuery:
    """Return the query about the groups of `later` alone, without a limit."""
    if not query.groups:
        return replace(query, limit=None)
    return replace(query, limit=None, rest=False, keys=Keys(query.groups, tuple(later.groups)))


def _all_but(query: TimeseriesQuery, later: Reading) -> TimeseriesQuery:
    """Return the query about all other groups together."""
    others = Keys(query.groups, tuple(later.groups), excludes=True) if later.groups else None
    return replace(query, groups=(), limit=None, rest=False, keys=others)
