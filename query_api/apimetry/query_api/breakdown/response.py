"""The shape of a breakdown's response. The OpenAPI document takes it from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.query_api.breakdown.sparkline import MAX_BUCKETS
from apimetry.query_api.http.listing import MAX_PAGE, Pagination
from apimetry.query_api.planning.filters import GROUPS
from apimetry.serving.answer_types import Count, Time, one_of

SOURCES = ("rollup", "events")
PRECISIONS = ("hour", "microsecond")
Percent = Annotated[float, Meta(ge=0, le=100)]
Milliseconds = Annotated[
    Annotated[float, Meta(ge=0)] | None, Meta(description="Milliseconds; null: no request has a measured time.")
]


class BreakdownTotal(TypedDict):
    """Sums over all rows, also over those of other pages."""

    requests: Count
    errors: Count


class _Measured(TypedDict, total=False):
    requests: Count
    errors: Annotated[Count, Meta(description="Requests with a status of 400 or above.")]
    errorRate: Annotated[Percent, Meta(description="Percent of the row's requests.")]
    share: Annotated[Percent, Meta(description="Percent of all requests.")]
    meanMs: Milliseconds
    maxMs: Milliseconds
    p50Ms: Milliseconds
    p75Ms: Milliseconds
    p90Ms: Milliseconds
    p95Ms: Milliseconds
    p99Ms: Milliseconds
    ttfbP95Ms: Milliseconds
    timeShare: Annotated[Percent, Meta(description="Percent of the time that all requests took together.")]
    bytes: Annotated[Count, Meta(description="Request and response bytes.")]
    consumers: Annotated[Count, Meta(description="Distinct consumers; requests without one have none.")]


class PreviousFigures(_Measured):
    """The figures of a row in the period before, without `firstSeen` and `lastSeen`."""


class _Extended(_Measured, total=False):
    firstSeen: Annotated[Time | None, Meta(description="The first request; see `seenPrecision`.")]
    lastSeen: Annotated[Time | None, Meta(description="The last request; see `seenPrecision`.")]
    previous: PreviousFigures
    series: Annotated[
        list[Count], Meta(max_length=MAX_BUCKETS, description="With `series`: the requests in each bucket.")
    ]


class BreakdownRow(_Extended):
    """One combination of values, and its figures: those that `measures` names."""

    key: Annotated[list[str], Meta(description="One text for each dimension of `by`: 404 is `404`, its class `4xx`.")]


class PreviousTable(TypedDict):
    """With `compare`: the period before."""

    start: int
    end: int
    total: BreakdownTotal


class _Table(TypedDict):
    by: list[Annotated[str, one_of(GROUPS)]]
    start: int
    end: int
    total: BreakdownTotal
    rows: Annotated[list[BreakdownRow], Meta(max_length=MAX_PAGE)]
    pagination: Pagination
    estimated: Annotated[bool, Meta(description="Whether percentiles come from buckets: within 2 %.")]
    source: Annotated[str, one_of(SOURCES), Meta(description="`events`: single events answer for the whole range.")]


class Breakdown(_Table, total=False):
    """One page of a table."""

    previous: PreviousTable
    seenPrecision: Annotated[
        str,
        one_of(PRECISIONS),
        Meta(
            description="Of `firstSeen` and `lastSeen`. `hour`: they are of all that is stored, exact to the hour."
            " `microsecond`: they are of the range, and exact."
        ),
    ]
    seriesStarts: Annotated[
        list[int], Meta(max_length=MAX_BUCKETS, description="With `series`: the first second of each bucket.")
    ]
