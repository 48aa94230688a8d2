"""The shape of the answer of `GET /v1/explain`. The OpenAPI document takes it from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.query_api.explain.params import MAX_CAUSES, METRICS
from apimetry.query_api.planning.figures import Figure
from apimetry.serving.answer_types import Count, Time, one_of

MetricValue = Annotated[
    Figure | None, Meta(description="A count, a percentage or milliseconds, as the metric is; null: no requests.")
]
Part = Annotated[float, Meta(description="A part of the whole change, 1 is all of it.")]


class Cause(TypedDict):
    """Some of the requests, and their part of the change."""

    slice: Annotated[
        dict[str, str], Meta(description="Fields of a filter and their values; all hold for these requests.")
    ]
    now: MetricValue
    before: MetricValue
    requests: Annotated[Count, Meta(description="Requests of the slice in the range.")]
    contribution: Part
    byRate: Annotated[Part | None, Meta(description="Of a rate: the part that is another rate within the slice.")]
    byMix: Annotated[Part | None, Meta(description="Of a rate: the part that is another share of the requests.")]
    since: Annotated[
        Time | None, Meta(description="Where there was nothing before: when it began, exact to the hour.")
    ]


class Explanation(TypedDict):
    """What a change is made of."""

    metric: Annotated[str, one_of(METRICS)]
    start: int
    end: int
    beforeStart: int
    beforeEnd: int
    now: MetricValue
    before: MetricValue
    explained: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(description="The part of the change that the causes make together; null: no change."),
    ]
    causes: Annotated[list[Cause], Meta(max_length=MAX_CAUSES, description="The most telling first.")]
    consumers: Annotated[
        list[Cause],
        Meta(max_length=MAX_CAUSES, description="The consumers with the largest parts, counted in the causes, too."),
    ]
