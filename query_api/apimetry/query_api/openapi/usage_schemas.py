"""The developer usage API's shapes in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.planning.buckets import GRANULARITIES
from apimetry.query_api.usage.error_types import ERROR_TYPES
from apimetry.query_api.usage.reading import MAX_ROWS
from apimetry.query_api.usage.warnings import MAX_ALERTS
from apimetry.serving.openapi import ALWAYS_TRUE, COUNT, array, closed, schema

TIME: Json = {"type": "string", "format": "date-time"}
PERCENT: Json = {"type": "number", "minimum": 0, "maximum": 100}
NUMBER: Json = {"type": "number", "minimum": 0}
MILLISECONDS: Json = {**NUMBER, "description": "Milliseconds, one decimal."}
BYTES: Json = {**COUNT, "description": "Bytes of requests and responses."}
TEXT: Json = {"type": "string"}
_STATUS: Json = {"type": "integer", "minimum": 0, "maximum": 65_535}
_TOTALS: Json = {
    "totalRequests": COUNT,
    "successfulRequests": {**COUNT, "description": "Status below 400."},
    "failedRequests": COUNT,
    "successRate": {**PERCENT, "description": "Percent; 100 without requests."},
    "averageLatency": {
        **MILLISECONDS,
        "description": "Milliseconds; of the requests whose time is known, 0 without any.",
    },
    "peakLatency": {
        **MILLISECONDS,
        "description": "Milliseconds; of the requests whose time is known, 0 without any.",
    },
    "requestsPerMinute": NUMBER,
    "requestsPerHour": NUMBER,
    "requestsPerDay": NUMBER,
    "peakRequestsPerMinute": {**COUNT, "description": "The most in any clock minute."},
    "peakRequestsPerHour": {**COUNT, "description": "The most in any clock hour."},
    "dataTransferred": BYTES,
    "averageDataPerRequest": COUNT,
}


def schemas() -> Json:
    """Return the named schemas of usage."""
    return {
        "Usage": closed(
            {
                "success": ALWAYS_TRUE,
                **_figures(),
                "granularity": {
                    "type": "string",
                    "enum": list(GRANULARITIES),
                    "description": "The length of a bucket of `timeSeries`, by name.",
                },
                "rateLimits": _rate_limits(),
                "alerts": array(schema("Alert"), maxItems=MAX_ALERTS),
                "pagination": schema("Pagination"),
                "timestamp": TIME,
                "previous": schema("PreviousUsage"),
                "completeness": schema("Completeness"),
            },
            optional=("previous", "completeness"),
        ),
        "UsageBreakdown": _breakdown(),
        "UsageErrors": _errors(),
        "PreviousUsage": _previous(),
        "UsageTotals": closed(_TOTALS),
        "UsagePoint": _point(),
        "Endpoint": _endpoint(),
        "Rates": _rates({**NUMBER, "description": "Averages over the whole window, one decimal."}),
        "CurrentLimits": _rates({"type": ["integer", "null"], "description": "Null: no limit."}),
        "Utilization": _rates(
            {"type": ["number", "null"], "description": "Percent of the limit, two decimals; null: no limit."}
        ),
        "Alert": closed(
            {
                "type": {"type": "string", "enum": ["rate_limit_approaching", "error_rate_high", "latency_high"]},
                "message": TEXT,
                "priority": {"type": "string", "enum": ["high", "medium"]},
                "recommendation": TEXT,
            }
        ),
    }


def _figures() -> Json:
    return {
        "usage": schema("UsageTotals"),
        "timeSeries": array(schema("UsagePoint")),
        "breakdown": schema("UsageBreakdown"),
        "errors": schema("UsageErrors"),
    }


def _previous() -> Json:
    change: Json = {"type": ["number", "null"]}
    return {
        **closed(
            {
                "start": {**TIME, "description": "The asked start minus the asked span."},
                "end": {**TIME, "description": "The asked start."},
                **_figures(),
                "changePercent": {
                    **closed(dict.fromkeys(_TOTALS, change)),
                    "description": "By how many percent each figure of `usage`, as it is shown, differs from the "
                    "same one here; one decimal; null where that is 0.",
                },
            }
        ),
        "description": "With `compare=previous`: the period before. `timeSeries` has the same buckets as the asked "
        "one in the same order, each with what was counted one span earlier. Lists are the period's own.",
    }


def _point() -> Json:
    return closed(
        {
            "timestamp": {**TIME, "description": "The bucket's start; the first bucket may start before the window."},
            "requests": COUNT,
            "successfulRequests": COUNT,
            "failedRequests": COUNT,
            "averageLatency": MILLISECONDS,
            "peakLatency": MILLISECONDS,
            "dataTransferred": BYTES,
        }
    )


def _endpoint() -> Json:
    percentile: Json = {
        **MILLISECONDS,
        "type": ["number", "null"],
        "description": "Percentile of the latency, in milliseconds; null where no request's time was measured.",
    }
    return closed(
        {
            "endpoint": {**TEXT, "description": "The route; empty for requests that matched none."},
            "requests": COUNT,
            "successRate": PERCENT,
            "averageLatency": MILLISECONDS,
            "dataTransferred": BYTES,
            "errors": COUNT,
            "p50": percentile,
            "p95": percentile,
            "p99": percentile,
        }
    )


def _breakdown() -> Json:
    def counted(name: str, key: Json) -> Json:
        return _rows({name: key, "requests": COUNT, "percentage": PERCENT})

    return closed(
        {
            "byEndpoint": array(schema("Endpoint"), maxItems=MAX_ROWS),
            "byMethod": counted("method", TEXT),
            "byStatusCode": counted("statusCode", _STATUS),
            "byKey": counted("keyId", {**TEXT, "description": "The consumer; empty for requests without one."}),
        }
    )


def _errors() -> Json:
    kind: Json = {"type": "string", "enum": [each.name for each in ERROR_TYPES]}
    return closed(
        {
            "totalErrors": COUNT,
            "errorRate": PERCENT,
            "byType": _rows({"type": kind, "count": COUNT, "percentage": PERCENT, "description": TEXT}),
            "byEndpoint": _rows({"endpoint": TEXT, "errors": COUNT, "percentage": PERCENT}),
            "byStatusCode": _rows({"statusCode": _STATUS, "count": COUNT, "percentage": PERCENT}),
        }
    )


def _rows(properties: Json) -> Json:
    return array(closed(properties), maxItems=MAX_ROWS)


def _rate_limits() -> Json:
    return closed(
        {"current": schema("CurrentLimits"), "usage": schema("Rates"), "utilization": schema("Utilization")}
    )


def _rates(shape: Json) -> Json:
    return closed({"requestsPerMinute": shape, "requestsPerHour": shape, "requestsPerDay": shape})
