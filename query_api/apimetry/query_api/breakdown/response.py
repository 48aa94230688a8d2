"""The shape of a breakdown's response. The OpenAPI document takes it from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.query_api.http.listing import MAX_PAGE, Pagination
from apimetry.query_api.planning.filters import GROUPS
from apimetry.serving.answer_types import Count, one_of

SOURCES = ("rollup", "events")
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


class BreakdownRow(_Measured):
    """One combination of values, and its figures: those that `measures` names."""

    key: Annotated[list[str], Meta(description="One text for each dimension of `by`: 404 is `404`, its class `4xx`.")]


class Breakdown(TypedDict):
    """One page of a table."""

    by: list[Annotated[str, one_of(GROUPS)]]
    start: int
    end: int
    total: BreakdownTotal
    rows: Annotated[list[BreakdownRow], Meta(max_length=MAX_PAGE)]
    pagination: Pagination
    estimated: Annotated[bool, Meta(description="Whether percentiles come from buckets: within 2 %.")]
    source: Annotated[str, one_of(SOURCES), Meta(description="`events`: single events answer for the whole range.")]
