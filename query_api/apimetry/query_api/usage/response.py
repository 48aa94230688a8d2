"""The shape of a usage response. The OpenAPI document takes it from here."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from msgspec import Meta

from apimetry.query_api.http.listing import Pagination
from apimetry.query_api.planning.completeness import Completeness
from apimetry.query_api.planning.figures import Bytes, Figure, Milliseconds, Percent
from apimetry.query_api.planning.filters import MAX_STATUS_CODE
from apimetry.query_api.planning.time_buckets import GRANULARITIES
from apimetry.query_api.usage.error_types import ERROR_TYPES
from apimetry.serving.answer_types import AlwaysTrue, Count, Time, one_of

MAX_ROWS = 100
"""Rows in each list (docs/api.md, "Developer usage API")."""

MAX_ALERTS = 5
"""Three limits, errors and latency."""

StatusCode = Annotated[int, Meta(ge=0, le=MAX_STATUS_CODE)]
LimitName = Literal["requestsPerMinute", "requestsPerHour", "requestsPerDay"]
_Rate = Annotated[Figure, Meta(description="An average over the whole window, one decimal.")]
_Limit = Annotated[int | None, Meta(description="Null: no limit.")]
_Used = Annotated[float | None, Meta(description="Percent of the limit, two decimals; null: no limit.")]
_Latency = Annotated[
    Milliseconds, Meta(description="Milliseconds; of the requests whose time is known, 0 without any.")
]
_Percentile = Annotated[
    Milliseconds | None,
    Meta(
        description="Percentile of the latency, in milliseconds; null where no request's time was measured.",
    ),
]
_Change = float | None


class Rates(TypedDict):
    """Average rates of requests."""

    requestsPerMinute: _Rate
    requestsPerHour: _Rate
    requestsPerDay: _Rate


class CurrentLimits(TypedDict):
    """The limits that the application was given."""

    requestsPerMinute: _Limit
    requestsPerHour: _Limit
    requestsPerDay: _Limit


class Utilization(TypedDict):
    """How far the limits are used."""

    requestsPerMinute: _Used
    requestsPerHour: _Used
    requestsPerDay: _Used


class RateLimits(TypedDict):
    """Limits, and the rates beside them."""

    current: CurrentLimits
    usage: Rates
    utilization: Utilization


class Alert(TypedDict):
    """A figure that is above its threshold."""

    type: Literal["rate_limit_approaching", "error_rate_high", "latency_high"]
    message: str
    priority: Literal["high", "medium"]
    recommendation: str


class UsageTotals(TypedDict):
    """The figures of the whole window."""

    totalRequests: Count
    successfulRequests: Annotated[Count, Meta(description="Status below 400.")]
    failedRequests: Count
    successRate: Annotated[Percent, Meta(description="Percent; 100 without requests.")]
    averageLatency: _Latency
    peakLatency: _Latency
    requestsPerMinute: Figure
    requestsPerHour: Figure
    requestsPerDay: Figure
    peakRequestsPerMinute: Annotated[Count, Meta(description="The most in any clock minute.")]
    peakRequestsPerHour: Annotated[Count, Meta(description="The most in any clock hour.")]
    dataTransferred: Bytes
    averageDataPerRequest: Count


class UsageChange(TypedDict):
    """By how many percent each figure of `usage`, as it is shown, differs from the same one in `previous`.

    One decimal; null where that is 0.
    """

    totalRequests: _Change
    successfulRequests: _Change
    failedRequests: _Change
    successRate: _Change
    averageLatency: _Change
    peakLatency: _Change
    requestsPerMinute: _Change
    requestsPerHour: _Change
    requestsPerDay: _Change
    peakRequestsPerMinute: _Change
    peakRequestsPerHour: _Change
    dataTransferred: _Change
    averageDataPerRequest: _Change


class UsagePoint(TypedDict):
    """One bucket of a series."""

    timestamp: Annotated[Time, Meta(description="The bucket's start; the first bucket may start before the window.")]
    requests: Count
    successfulRequests: Count
    failedRequests: Count
    averageLatency: Milliseconds
    peakLatency: Milliseconds
    dataTransferred: Bytes


class Endpoint(TypedDict):
    """A route, and what it did."""

    endpoint: Annotated[str, Meta(description="The route; empty for requests that matched none.")]
    requests: Count
    successRate: Percent
    averageLatency: Milliseconds
    dataTransferred: Bytes
    errors: Count
    p50: _Percentile
    p95: _Percentile
    p99: _Percentile


class MethodShare(TypedDict):
    """Requests with one method."""

    method: str
    requests: Count
    percentage: Percent


class StatusCodeShare(TypedDict):
    """Requests with one status."""

    statusCode: StatusCode
    requests: Count
    percentage: Percent


class ConsumerShare(TypedDict):
    """Requests of one consumer."""

    keyId: Annotated[str, Meta(description="The consumer; empty for requests without one.")]
    requests: Count
    percentage: Percent


class UsageBreakdown(TypedDict):
    """The lists of all requests."""

    byEndpoint: Annotated[list[Endpoint], Meta(max_length=MAX_ROWS)]
    byMethod: Annotated[list[MethodShare], Meta(max_length=MAX_ROWS)]
    byStatusCode: Annotated[list[StatusCodeShare], Meta(max_length=MAX_ROWS)]
    byKey: Annotated[list[ConsumerShare], Meta(max_length=MAX_ROWS)]


class ErrorTypeShare(TypedDict):
    """Failed requests of one kind."""

    type: Annotated[str, one_of(kind.name for kind in ERROR_TYPES)]
    count: Count
    percentage: Percent
    description: str


class FailedEndpoint(TypedDict):
    """Failed requests of one route."""

    endpoint: str
    errors: Count
    percentage: Percent


class FailedStatusCode(TypedDict):
    """Failed requests with one status."""

    statusCode: StatusCode
    count: Count
    percentage: Percent


class UsageErrors(TypedDict):
    """The lists of failed requests."""

    totalErrors: Count
    errorRate: Percent
    byType: Annotated[list[ErrorTypeShare], Meta(max_length=MAX_ROWS)]
    byEndpoint: Annotated[list[FailedEndpoint], Meta(max_length=MAX_ROWS)]
    byStatusCode: Annotated[list[FailedStatusCode], Meta(max_length=MAX_ROWS)]


class PreviousUsage(TypedDict):
    """With `compare`: an earlier period of the same length.

    `timeSeries` has the same buckets as the asked one in the same order, each with what was counted as much earlier.
    Lists are the period's own.
    """

    start: Annotated[Time, Meta(description="The start of the earlier period.")]
    end: Annotated[Time, Meta(description="Its end.")]
    usage: UsageTotals
    timeSeries: list[UsagePoint]
    breakdown: UsageBreakdown
    errors: UsageErrors
    changePercent: UsageChange


class _WholeUsage(TypedDict):
    success: AlwaysTrue
    usage: UsageTotals
    timeSeries: list[UsagePoint]
    breakdown: UsageBreakdown
    errors: UsageErrors
    granularity: Annotated[
        str, one_of(GRANULARITIES), Meta(description="The length of a bucket of `timeSeries`, by name.")
    ]
    rateLimits: RateLimits
    alerts: Annotated[list[Alert], Meta(max_length=MAX_ALERTS)]
    pagination: Pagination
    timestamp: Time


class Usage(_WholeUsage, total=False):
    """Usage of an application in a window."""

    previous: PreviousUsage
    completeness: Completeness
