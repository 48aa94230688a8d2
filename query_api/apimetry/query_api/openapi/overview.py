"""The organization API in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.overview.answer import DEFAULT_PERIOD
from apimetry.query_api.overview.response import PERIODS, Bucket, BucketList, Overview
from apimetry.serving.openapi import answer, errors, json_content, operation, query_parameter, ref

_READ_ERRORS = ("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable")

_OVERVIEW = """The organization's figures at a glance; buckets are its applications.

`dataSources` are distinct sources ever seen in the buckets, `dataPoints` the requests stored now, `apiKeys` those
not revoked. `dataPoints` is what a timeseries counts over all time; an hour that reaches its retention leaves both
when the engine next cleans up, within some hours. `apiCallsThisMonth` are the requests of this UTC calendar month
as they were recorded, also those that were deleted since or whose application was; without a limit the limit is
null and the percentage 0. `storageUsedBytes` is the organization's share, by rows, of what the database has on
disk."""

_BUCKET = """Figures of one bucket over a period until now: totals, a series by hour (24h) or by day, and the routes,
consumers, methods, statuses and sources with the most requests. A read key may ask about its own application."""

_PLAN_EXAMPLE = {"name": "Pro", "maxBuckets": 25, "maxRetentionDays": 365, "maxApiCalls": 1000000}
_OVERVIEW_EXAMPLE: Json = {
    "overview": {
        "organization": {"_id": "507f1f77bcf86cd799439000", "name": "My Organization"},
        "totals": {"buckets": 5, "dataSources": 12, "dataPoints": 1523456, "alertRules": 8, "apiKeys": 15},
        "usage": {
            "apiCallsThisMonth": 45230,
            "apiCallsLimit": 1000000,
            "apiCallsPercentage": 4.5,
            "storageUsedBytes": 52428800,
            "storageUsedFormatted": "50 MB",
        },
        "plan": _PLAN_EXAMPLE,
        "recentActivity": {
            "lastDataIngestion": "2024-01-15T14:30:00Z",
            "lastAlertTriggered": "2024-01-15T10:15:00Z",
            "dataPointsLast24h": 12543,
            "alertsTriggeredLast24h": 3,
        },
    }
}
_BUCKETS_EXAMPLE: Json = {
    "buckets": [
        {
            "_id": "shop",
            "name": "Shop",
            "retentionDays": 90,
            "createdAt": "2024-01-02T08:00:00Z",
            "dataSources": 3,
            "dataPoints": 1200345,
            "lastDataIngestion": "2024-01-15T14:30:00Z",
        }
    ],
    "pagination": {"total": 5, "limit": 1, "offset": 0, "hasMore": True},
}
_BUCKET_EXAMPLE: Json = {
    "analytics": {
        "bucket": {"_id": "shop", "name": "Shop"},
        "period": "7d",
        "start": "2024-01-08T14:30:00Z",
        "end": "2024-01-15T14:30:00Z",
        "totals": {
            "dataPoints": 1000,
            "successfulRequests": 980,
            "failedRequests": 20,
            "successRate": 98.0,
            "errorRate": 2.0,
            "averageLatency": 120.4,
            "peakLatency": 900.1,
            "dataTransferred": 2048000,
        },
        "series": [
            {
                "timestamp": "2024-01-08T00:00:00Z",
                "requests": 1000,
                "successfulRequests": 980,
                "failedRequests": 20,
                "averageLatency": 120.4,
                "peakLatency": 900.1,
                "dataTransferred": 2048000,
            }
        ],
        "topRoutes": [
            {
                "endpoint": "/items/{id}",
                "requests": 1000,
                "successRate": 98.0,
                "averageLatency": 120.4,
                "dataTransferred": 2048000,
                "errors": 20,
                "p50": 100.0,
                "p95": 300.2,
                "p99": 700.9,
            }
        ],
        "topConsumers": [{"keyId": "acme", "requests": 1000, "percentage": 100.0}],
        "methods": [{"method": "GET", "requests": 1000, "percentage": 100.0}],
        "statusCodes": [{"statusCode": 200, "requests": 980, "percentage": 98.0}],
        "dataSources": [{"source": "web-1", "requests": 1000, "percentage": 100.0}],
    }
}


def paths() -> Json:
    """Return the paths of the overview and the buckets."""
    period = query_parameter(
        "period",
        "The time until now.",
        {"type": "string", "enum": list(PERIODS), "default": DEFAULT_PERIOD},
        "7d",
    )
    return {
        "/api/analytics/overview": {
            "get": _get("getOverview", "Overview of the organization", Overview, _OVERVIEW_EXAMPLE, _OVERVIEW)
        },
        "/api/buckets": {
            "get": _get(
                "listBuckets",
                "Buckets of the organization, with what is in them",
                BucketList,
                _BUCKETS_EXAMPLE,
                "Applications with their figures, the oldest first. A bucket is an application.",
                parameters=[ref("parameters", "Limit"), ref("parameters", "Offset")],
            )
        },
        "/api/analytics/buckets/{id}": {
            "parameters": [ref("parameters", "ApplicationId")],
            "get": _get(
                "getBucket", "Analytics of one bucket", Bucket, _BUCKET_EXAMPLE, _BUCKET, parameters=[period]
            ),
        },
    }


def _get(name: str, summary: str, shape: type, example: Json, description: str, **more: object) -> Json:
    return operation(
        name,
        summary,
        {"200": answer("The figures.", json_content(shape, example=example)), **errors(*_READ_ERRORS)},
        description=description,
        tags=["Analytics"],
        **more,
    )
