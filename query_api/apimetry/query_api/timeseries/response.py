"""The shape of a timeseries response. The OpenAPI document takes it from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.query_api.planning.completeness import Completeness
from apimetry.query_api.timeseries.params import MAX_AGGREGATIONS
from apimetry.serving.answer_types import Count

Point = Annotated[
    tuple[float | None, ...],
    Meta(
        min_length=2,
        max_length=1 + MAX_AGGREGATIONS,
        description="Unix seconds, then the value of each aggregation, in the order of `aggregations`.",
    ),
]
_Rest = Annotated[list[Point], Meta(description="With `rest=1`: the groups beyond `limit`, added up.")]


class _Previous(TypedDict):
    groups: Annotated[dict[str, list[Point]], Meta(description="Series by group; each asked group has one.")]
    start: Annotated[int, Meta(description="The start of the earlier period.")]
    end: Annotated[int, Meta(description="Its end.")]


class PreviousPeriod(_Previous, total=False):
    """With `compare`: an earlier period of the same length.

    Its buckets are those of the asked period, moved to it, and its points carry the times of their
    counterparts: two series can be laid over each other. With `limit` it has the same groups.
    """

    rest: _Rest


class _Series(TypedDict):
    groups: Annotated[
        dict[str, list[Point]],
        Meta(
            description="Series by group; without `group`, one under the application's id. The name of a group by"
            " two fields is a JSON array of both values."
        ),
    ]
    start: int
    end: int
    granularity: Annotated[int, Meta(description="Milliseconds. A month has 30 days here.")]


class Timeseries(_Series, total=False):
    """Series of points, by group."""

    aggregations: Annotated[list[str], Meta(description="Where several were asked: what the values of a point are.")]
    rest: _Rest
    omitted_groups: Annotated[Count, Meta(description="Groups beyond `limit`, where one was given.")]
    completeness: Completeness
    previous: PreviousPeriod
