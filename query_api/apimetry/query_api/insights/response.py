"""The shape of insights. The OpenAPI document takes it from here."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

import msgspec
from msgspec import Meta

from apimetry.query_api.planning.figures import Figure, Milliseconds, Percent
from apimetry.query_api.usage.response import MAX_ALERTS, Alert, Utilization
from apimetry.serving.answer_types import AlwaysTrue, Count, Time

MAX_CANDIDATES = 10
MAX_RECOMMENDATIONS = 10
"""Five alerts, two trends, three kinds of candidates."""

MAX_BOTTLENECKS = 10
"""Of slow endpoints, and of failing ones."""

Priority = Literal["high", "medium", "low"]
Direction = Literal["increasing", "decreasing", "stable"]
_FigureOrNull = float | None
_Money = Annotated[Figure, Meta(description="In the currency of the prices, four decimals.")]


class InsightsOverview(TypedDict):
    """The figures of the whole window."""

    totalRequests: Count
    successRate: Percent
    averageLatency: Milliseconds
    peakRequests: Annotated[Count, Meta(description="The most in any clock minute.")]


class Trend(TypedDict):
    """A figure in both halves of the window."""

    trend: Direction
    changePercent: _FigureOrNull
    firstHalf: _FigureOrNull
    secondHalf: _FigureOrNull


class Trends(TypedDict):
    """What goes up or down in the window."""

    requestsPerHour: Trend
    latency: Trend
    errorsPerHour: Trend


class HighLatency(msgspec.Struct, frozen=True, tag="high_latency", tag_field="type", rename="camel"):
    """An endpoint that takes long."""

    endpoint: str
    latency: Milliseconds
    recommendation: str


class HighErrorRate(msgspec.Struct, frozen=True, tag="high_error_rate", tag_field="type", rename="camel"):
    """An endpoint whose requests fail."""

    endpoint: str
    success_rate: Percent
    recommendation: str


class LimitNearlyUsed(msgspec.Struct, frozen=True, tag="rate_limit_approaching", tag_field="type", rename="camel"):
    """A daily limit that is nearly used, or passed."""

    utilization: Figure
    recommendation: str


Bottleneck = HighLatency | HighErrorRate | LimitNearlyUsed


class UnitPrices(TypedDict):
    """The configured prices."""

    perRequest: Figure
    perByte: Figure


class CurrentCosts(TypedDict):
    """What the window cost."""

    requests: _Money
    data: _Money
    total: _Money


class ProjectedCosts(TypedDict):
    """What a month costs later on."""

    monthlyGrowthPercent: float
    nextMonth: _Money
    nextQuarter: _Money
    nextYear: _Money


class Savings(TypedDict):
    """What could be saved of the window's costs."""

    failedRequests: _Money
    cacheableRequests: _Money


class Costs(TypedDict):
    """What requests and their bytes cost."""

    prices: UnitPrices
    current: CurrentCosts
    projected: ProjectedCosts
    savings: Savings


class CapacityFigures(TypedDict):
    """The requests of a window, their mean latency, and the failed ones."""

    requests: Count
    latency: Milliseconds
    errors: Count


class CapacityForecast(TypedDict):
    """This window, and the next one of its length."""

    current: CapacityFigures
    projected: CapacityFigures


class Capacity(CapacityForecast):
    """This window, and the next one of its length, with how far limits are used in them."""

    utilization: Utilization
    projectedUtilization: Utilization


class CachingCandidate(TypedDict):
    """An endpoint whose answers a cache could hold."""

    endpoint: str
    requests: Count
    averageLatency: Milliseconds
    timePercentage: Percent
    recommendation: str


class BatchingCandidate(TypedDict):
    """A consumer that asks one endpoint again and again."""

    keyId: str
    endpoint: str
    requests: Count
    requestsPerActiveMinute: Figure
    averageLatency: Milliseconds
    recommendation: str


class PassedLimit(TypedDict):
    """A limit that the busiest clock minute or hour went over."""

    limit: str
    configured: Count
    peak: Count
    recommendation: str


class Optimization(TypedDict):
    """What could be made better."""

    caching: Annotated[list[CachingCandidate], Meta(max_length=MAX_CANDIDATES)]
    batching: Annotated[list[BatchingCandidate], Meta(max_length=MAX_CANDIDATES)]
    rateLimiting: Annotated[list[PassedLimit], Meta(max_length=MAX_CANDIDATES)]


class Recommendation(TypedDict):
    """What to do."""

    type: str
    priority: Priority
    action: str
    message: str


class InsightsBody(TypedDict):
    """What to make of the usage in a window."""

    overview: InsightsOverview
    trends: Trends
    bottlenecks: Annotated[list[Bottleneck], Meta(max_length=2 * MAX_BOTTLENECKS + 1)]
    alerts: Annotated[list[Alert], Meta(max_length=MAX_ALERTS)]
    costs: Costs
    capacity: Capacity
    optimization: Optimization
    recommendations: Annotated[list[Recommendation], Meta(max_length=MAX_RECOMMENDATIONS)]


class Insights(TypedDict):
    """Insights about an application in a window."""

    success: AlwaysTrue
    insights: InsightsBody
    timestamp: Time
