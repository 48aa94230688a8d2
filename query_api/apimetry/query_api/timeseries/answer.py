"""Answers a timeseries query: asks the store, and makes JSON of its rows (docs/api.md, "Timeseries API")."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from apimetry.query_api.planning.completeness import completeness
from apimetry.query_api.planning.planner import plan
from apimetry.query_api.timeseries.comparison import previous
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.query_api.timeseries.response import Point, Timeseries
from apimetry.query_api.timeseries.sql import statements, timeseries_needs
from apimetry.serving.errors import BadRequest
from apimetry.store.statement import Ask, Rows


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


def answer_timeseries(
    query: TimeseriesQuery, application: str, *, ask: Ask, limits: Limits, now: int | None = None
) -> Timeseries:
    """Return the response about `application`; `now` is the time of the query, if known. Blocks while `ask` does.

    With `limit`, `omitted_groups` is the number of groups that are not in the response. With `compare`, `previous`
    has the groups of the earlier period (see `comparison`).

    Raises:
        BadRequest: the response would be over `limits`.
    """
    if query.fill:
        limits.check(_buckets(query), 1)
    source = plan(timeseries_needs(query, now))
    both = statements(query, source, application=application, row_limit=limits.max_points + 1)
    rows = ask(both.points)
    if len(rows) > limits.max_points:
        ((points, groups_total),) = ask(both.size)
        filled = _buckets(query) * groups_total if query.fill else points
        # Events may have been deleted between the two statements. The rows are too many in any case.
        limits.check(max(filled, len(rows)), groups_total)
    groups = _grouped(rows, query, application)
    limits.check(_buckets(query) * len(groups) if query.fill else len(rows), len(groups))
    answer: Timeseries = {
        "groups": {key: _filled(points, query) for key, points in groups.items()},
        "start": query.start,
        "end": query.end,
        "granularity": query.granularity_ms,
    }
    if query.limit is not None:
        answer["omitted_groups"] = rows[0][3] - len(groups) if rows and query.group else 0
    if query.completeness:
        answer["completeness"] = completeness(application, query.start, query.end, ask=ask)
    if query.compare:
        answer_period = partial(answer_timeseries, application=application, ask=ask, limits=limits)
        answer["previous"] = previous(query, groups, answer_period)
    return answer


def _buckets(query: TimeseriesQuery) -> int:
    return len(query.granularity.starts(query.start, query.end)) if query.granularity else 1


def _grouped(rows: Rows, query: TimeseriesQuery, application: str) -> dict[str, list[Point]]:
    if query.group is None:
        return {application: [(bucket, value) for _, bucket, value, _ in rows]}
    groups: dict[str, list[Point]] = {}
    for key, bucket, value, _ in rows:
        points = groups.get(key)
        if points is None:
            points = groups[key] = []
        points.append((bucket, value))
    return groups


def _filled(points: list[Point], query: TimeseriesQuery) -> list[Point]:
    """Return the points, with points for empty buckets if the query has `fill` or no granularity."""
    if query.granularity is None:
        return points or [(query.start, _of_nothing(query))]
    if query.fill is None:
        return points
    series: dict[int, float | None] = dict.fromkeys(
        query.granularity.starts(query.start, query.end), _of_nothing(query)
    )
    series.update(points)
    return list(series.items())


def _of_nothing(query: TimeseriesQuery) -> int | None:
    """Return the value of a bucket without events: as `fill` says, otherwise 0 for a count or a sum."""
    if query.fill is None:
        return 0 if query.aggregation in ("count", "sum") else None
    return 0 if query.fill == "zero" else None
