"""Read the series of a timeseries query from the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from apimetry.query_api.planning.bucket_sql import time_of_bucket
from apimetry.query_api.planning.calendar import Calendar
from apimetry.query_api.planning.planner import Plan, plan
from apimetry.query_api.timeseries.params import ADDED_UP, CONSUMERS, TimeseriesQuery
from apimetry.query_api.timeseries.past import with_past_apart
from apimetry.query_api.timeseries.sql import Statements, statements, timeseries_needs
from apimetry.serving.errors import BadRequest
from apimetry.store.statement import Ask, Rows

POINT_BYTES: Final = 500
"""What a point with five values takes beside the name of its group."""

Key = tuple[str, ...]
"""The values of a group's fields; empty for the one group of a query without groups."""

Point = tuple[float | None, ...]
"""The time in seconds, and then one value for each aggregation."""

Series = dict[int, Point]
"""Points by their time, ascending."""


@dataclass(frozen=True)
class Limits:
    """The size of the largest response."""

    max_points: int
    max_groups: int

    def check(self, points: int, groups: int) -> None:
        """Raise BadRequest, with all four numbers, if a response of this size is too large."""
        if points > self.max_points or groups > self.max_groups:
            raise BadRequest(
                f"The answer would have {points} points in {groups} groups;"
                f" at most {self.max_points} points and {self.max_groups} groups are allowed:"
                " ask for a coarser granularity, a shorter range, or fewer groups with limit"
            )


@dataclass
class Reading:
    """The series of a query."""

    groups: dict[Key, Series] = field(default_factory=dict)
    rest: Series = field(default_factory=dict)
    """The groups beyond the limit, added up. Empty unless the query has `rest`."""

    omitted: int = 0
    """The number of groups beyond the limit."""


def read_series(
    query: TimeseriesQuery, application: str, *, ask: Ask, limits: Limits, now: int | None = None
) -> Reading:
    """Return the series of `query` about `application`; `now` is the time of the query, if known.

    Blocks while `ask` does.

    Raises:
        BadRequest: the response would be over `limits`.
    """
    if query.fill:
        limits.check(_bucket_count(query), 1)
    source = plan(timeseries_needs(query, now))

    def of(source: Plan) -> Statements:
        return statements(query, source, application=application, row_limit=limits.max_points + 1)

    key_end = len(query.groups)
    statement = with_past_apart(query, source, now, lambda part: of(part).points)
    # The rows of two parts are not in order.
    rows = sorted(ask(statement), key=lambda row: row[: key_end + 2]) if statement.parts else ask(statement)
    if len(rows) > limits.max_points:
        ((points, groups_total),) = ask(of(source).size)
        filled = _bucket_count(query) * groups_total if query.fill else points
        # Events may have been deleted between the two statements. The rows are too many in any case.
        limits.check(max(filled, len(rows)), groups_total)
    by_key = _series_by_key(rows, key_end, query)
    reading = Reading(rest=by_key.pop(("",) * key_end + (1,), {}))
    reading.groups = {key[:-1]: series for key, series in by_key.items()}
    limits.check(_bucket_count(query) * len(reading.groups) if query.fill else len(rows), len(reading.groups))
    _fill(reading, query)
    if query.omits:
        reading.omitted = rows[0][-1] - len(reading.groups) if rows else 0
    return reading


def _series_by_key(rows: Rows, key_end: int, query: TimeseriesQuery) -> dict[tuple[Any, ...], Series]:
    """Return the series of the rows by (keys, is rest); a question without groups has one, also without rows."""
    # A hundred thousand rows pass here. A row without its keys and its number of groups is a point, in one step.
    if isinstance(query.granularity, Calendar):
        time_of = time_of_bucket(query.granularity)
        rows = [(*row[: key_end + 1], time_of(row[key_end + 1]), *row[key_end + 2 :]) for row in rows]
    if not key_end:
        return {(0,): {row[1]: row[1:-1] for row in rows}}
    by_key: dict[tuple[Any, ...], Series] = {}
    for row in rows:
        key = row[: key_end + 1]
        series = by_key.get(key)
        if series is None:
            series = by_key[key] = {}
        series[row[key_end + 1]] = row[key_end + 1 : -1]
    return by_key


def of_nothing(query: TimeseriesQuery) -> tuple[float | None, ...]:
    """Return the values of a bucket without events: as `fill` says, otherwise 0 for counts and sums."""
    if query.fill is None:
        return tuple(0 if aggregation in (*ADDED_UP, CONSUMERS) else None for aggregation in query.aggregations)
    return (0 if query.fill == "zero" else None,) * len(query.aggregations)


def starts_of(query: TimeseriesQuery) -> list[int]:
    """Return the times of all points that a filled series has."""
    return list(query.granularity.starts(query.start, query.end)) if query.granularity else [query.start]


def _bucket_count(query: TimeseriesQuery) -> int:
    granularity = query.granularity
    if isinstance(granularity, Calendar):
        return len(granularity.indexes(query.start, query.end))
    return len(granularity.starts(query.start, query.end)) if granularity else 1


def _fill(reading: Reading, query: TimeseriesQuery) -> None:
    """Add points for empty buckets if the query has `fill` or no granularity."""
    if query.granularity is not None and query.fill is None:
        return
    values = of_nothing(query)
    nothing = {start: (start, *values) for start in starts_of(query)}
    reading.groups = {key: {**nothing, **series} for key, series in reading.groups.items()}
    if query.rest:
        reading.rest = {**nothing, **reading.rest}
