"""The shape of the answer of `GET /v1/latency`. The OpenAPI document takes it from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.serving.answer_types import Count

Counts = Annotated[
    list[list[tuple[int, int]]],
    Meta(description="For each of `times`: `[bucket, requests]` of the filled buckets, ascending."),
]
_Times = Annotated[list[int], Meta(description="Starts of the buckets of time that have requests, ascending.")]


class Distribution(TypedDict):
    """How a value is distributed in one range."""

    times: _Times
    counts: Counts
    total: Annotated[Count, Meta(description="Requests whose value is known.")]
    percentiles: Annotated[
        dict[str, int], Meta(description="By level: 50, 75, 90, 95, 99. Empty without a known value.")
    ]
    max: int | None
    min: int | None
    estimated: Annotated[bool, Meta(description="Percentiles come from latency buckets, within 2 %.")]


class EarlierDistribution(Distribution):
    """The distribution in the earlier period. Its times are those of the asked period's buckets of time."""

    start: int
    end: int


class _Latency(Distribution):
    value: str
    bounds: Annotated[
        list[int],
        Meta(
            description="Bucket b holds the values from `bounds[b]` up to, and without, `bounds[b + 1]`. Both are"
            " equal where no whole number lies in the bucket."
        ),
    ]


class Latency(_Latency, total=False):
    """How a value is distributed."""

    previous: Annotated[EarlierDistribution, Meta(description="With `compare`.")]
