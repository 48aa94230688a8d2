"""The shapes of answers about an organization and its buckets. The OpenAPI document takes them from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.query_api.http.listing import Pagination
from apimetry.query_api.management.response import Plan
from apimetry.query_api.planning.figures import Bytes, Figure, Milliseconds, Percent
from apimetry.query_api.usage.response import ConsumerShare, Endpoint, MethodShare, StatusCodeShare, UsagePoint
from apimetry.serving.answer_types import Count, Time, one_of

_DAY_S = 86_400
PERIODS = {
    "24h": (_DAY_S, "hour"),
    "7d": (7 * _DAY_S, "day"),
    "30d": (30 * _DAY_S, "day"),
    "90d": (90 * _DAY_S, "day"),
}
"""The length of a period in seconds, and the granularity of its series, by the period's name."""

TOP_ROWS = 10
"""Rows in each list of a bucket's analytics."""

_Size = Annotated[str, Meta(extra_json_schema={"pattern": r"^\d+(\.\d)? (B|KB|MB|GB|TB)$"})]


class IdAndName(TypedDict):
    """What is told of an organization or a bucket beside its figures."""

    _id: str
    name: str


class OverviewTotals(TypedDict):
    """How many there are of each thing."""

    buckets: Count
    dataSources: Count
    dataPoints: Count
    alertRules: Count
    apiKeys: Count


class OverviewUsage(TypedDict):
    """Calls of this month, and storage."""

    apiCallsThisMonth: Count
    apiCallsLimit: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="Null: no limit.")]
    apiCallsPercentage: Figure
    storageUsedBytes: Count
    storageUsedFormatted: _Size


class RecentActivity(TypedDict):
    """What happened last."""

    lastDataIngestion: Time | None
    lastAlertTriggered: Time | None
    dataPointsLast24h: Count
    alertsTriggeredLast24h: Count


class OverviewFigures(TypedDict):
    """The figures of an organization at a glance."""

    organization: IdAndName
    totals: OverviewTotals
    usage: OverviewUsage
    plan: Plan
    recentActivity: RecentActivity


class Overview(TypedDict):
    """The overview of an organization."""

    overview: OverviewFigures


class BucketSummary(TypedDict):
    """A bucket, which is an application, with what is stored and was seen of it."""

    _id: str
    name: str
    retentionDays: Count | None
    createdAt: Time
    dataSources: Count
    dataPoints: Count
    lastDataIngestion: Time | None


class BucketList(TypedDict):
    """One page of an organization's buckets."""

    buckets: list[BucketSummary]
    pagination: Pagination


class BucketTotals(TypedDict):
    """The figures of the whole period."""

    dataPoints: Count
    successfulRequests: Count
    failedRequests: Count
    successRate: Percent
    errorRate: Percent
    averageLatency: Milliseconds
    peakLatency: Milliseconds
    dataTransferred: Bytes


class SourceShare(TypedDict):
    """Requests of one source."""

    source: str
    requests: Count
    percentage: Percent


class BucketAnalytics(TypedDict):
    """Figures of one bucket over a period."""

    bucket: IdAndName
    period: Annotated[str, one_of(PERIODS)]
    start: Time
    end: Time
    totals: BucketTotals
    series: list[UsagePoint]
    topRoutes: Annotated[list[Endpoint], Meta(max_length=TOP_ROWS)]
    topConsumers: Annotated[list[ConsumerShare], Meta(max_length=TOP_ROWS)]
    methods: Annotated[list[MethodShare], Meta(max_length=TOP_ROWS)]
    statusCodes: Annotated[list[StatusCodeShare], Meta(max_length=TOP_ROWS)]
    dataSources: Annotated[list[SourceShare], Meta(max_length=TOP_ROWS)]


class Bucket(TypedDict):
    """Analytics of one bucket."""

    analytics: BucketAnalytics
