"""The shape of a timeseries response. The OpenAPI document takes it from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.query_api.planning.completeness import Completeness
from apimetry.serving.answer_types import Count

Point = Annotated[tuple[int, float | None], Meta(description="Unix seconds, value.")]


class PreviousPeriod(TypedDict):
    """With `compare`: an earlier period of the same length.

    Its buckets are those of the asked period, moved to it, and its points carry the times of their
    counterparts: two series can be laid over each other. With `limit` it has the same groups.
    """

    groups: Annotated[dict[str, list[Point]], Meta(description="Series by group; each asked group has one.")]
    start: Annotated[int, Meta(description="The start of the earlier period.")]
    end: Annotated[int, Meta(description="Its end.")]


class _Series(TypedDict):
    groups: Annotated[
        dict[str, list[Point]],
        Meta(description="Series by group; without `group`, one under the application's id."),
    ]
    start: int
    end: int
    granularity: Annotated[int, Meta(description="Milliseconds.")]


class Timeseries(_Series, total=False):
    """Series of points, by group."""

    omitted_groups: Annotated[Count, Meta(description="Groups beyond `limit`, where one was given.")]
    completeness: Completeness
    previous: PreviousPeriod
