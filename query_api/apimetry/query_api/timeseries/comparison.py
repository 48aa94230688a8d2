"""A period beside the one before it: `compare=previous`. Pure.

The period before `[start, end)` is `[start - (end - start), start)`. Its buckets are those of the asked period,
moved: each begins as long before its counterpart as the periods lie apart, also where that is no whole number of
buckets or falls into another week. So the two series can be laid over each other, point by point, and the points of
the period before carry the times of their counterparts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from apimetry.query_api.planning.filters import NUMERIC_DIMENSIONS, Filter
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.planning.period import period_before
from apimetry.query_api.timeseries.params import TimeseriesQuery


def previous(
    query: TimeseriesQuery,
    groups: Mapping[str, object],
    answer: Callable[[TimeseriesQuery], Mapping[str, Any]],
) -> dict[str, object]:
    """Return what the answer says of the period before.

    Args:
        query: the asked question.
        groups: what was answered to it; each of these groups has a series, with `limit` no other has.
        answer: answers a question without a comparison.
    """
    asked = _moved(query)
    span_s = query.end - query.start
    found: Mapping[str, list[tuple[int, int | float | None]]] = {}
    if groups or query.limit is None:
        found = answer(_only(asked, groups) if query.limit is not None else asked)["groups"]
    moved = {key: [(time_s + span_s, value) for time_s, value in points] for key, points in found.items()}
    empty: list[tuple[int, int | float | None]] = []
    if query.fill and query.granularity:
        nothing = 0 if query.fill == "zero" else None
        empty = [(time_s, nothing) for time_s in query.granularity.starts(query.start, query.end)]
    return {
        "groups": {**{key: empty for key in groups if key not in moved}, **moved},
        "start": asked.start,
        "end": asked.end,
    }


def _moved(query: TimeseriesQuery) -> TimeseriesQuery:
    start, end = period_before(query.start, query.end)
    granularity = query.granularity
    if granularity is not None:
        # An origin before any event: the engine's division rounds towards it.
        shift_s = (end - start - granularity.origin_s) % granularity.seconds
        granularity = Granularity(granularity.seconds, -shift_s)
    return replace(query, start=start, end=end, granularity=granularity, completeness=False, compare=None)


def _only(query: TimeseriesQuery, groups: Mapping[str, object]) -> TimeseriesQuery:
    """Return the question about the groups alone, without a limit; each of them passed the filters already."""
    field = query.group
    if field is None:
        return replace(query, limit=None)
    values = tuple(map(int, groups)) if field in NUMERIC_DIMENSIONS else tuple(groups)
    others = tuple(filter_ for filter_ in query.filters if filter_.field != field or filter_.excludes)
    return replace(query, limit=None, filters=(*others, Filter(field, values)))
