"""The shapes of insights in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.insights.advice import MAX_BOTTLENECKS, MAX_CANDIDATES, MAX_RECOMMENDATIONS
from apimetry.query_api.openapi.usage_schemas import MILLISECONDS, NUMBER, PERCENT, TEXT, TIME
from apimetry.query_api.usage.warnings import MAX_ALERTS
from apimetry.serving.openapi import ALWAYS_TRUE, COUNT, array, closed, schema

_FIGURE_OR_NULL: Json = {"type": ["number", "null"]}
_MONEY: Json = {**NUMBER, "description": "In the currency of the prices, four decimals."}


def schemas() -> Json:
    """Return the named schemas of insights."""
    return {
        "Insights": closed({"success": ALWAYS_TRUE, "insights": schema("InsightsBody"), "timestamp": TIME}),
        "InsightsBody": _body(),
        "Trend": closed(
            {
                "trend": {"type": "string", "enum": ["increasing", "decreasing", "stable"]},
                "changePercent": _FIGURE_OR_NULL,
                "firstHalf": _FIGURE_OR_NULL,
                "secondHalf": _FIGURE_OR_NULL,
            }
        ),
        "Costs": _costs(),
        "Capacity": _capacity(),
        "Recommendation": closed(
            {
                "type": TEXT,
                "priority": {"type": "string", "enum": ["high", "medium", "low"]},
                "action": TEXT,
                "message": TEXT,
            }
        ),
    }


def _body() -> Json:
    return closed(
        {
            "overview": closed(
                {
                    "totalRequests": COUNT,
                    "successRate": PERCENT,
                    "averageLatency": MILLISECONDS,
                    "peakRequests": {**COUNT, "description": "The most in any clock minute."},
                }
            ),
            "trends": closed(dict.fromkeys(("requestsPerHour", "latency", "errorsPerHour"), schema("Trend"))),
            "bottlenecks": array({"oneOf": _bottlenecks()}, maxItems=2 * MAX_BOTTLENECKS + 1),
            "alerts": array(schema("Alert"), maxItems=MAX_ALERTS),
            "costs": schema("Costs"),
            "capacity": schema("Capacity"),
            "optimization": _optimization(),
            "recommendations": array(schema("Recommendation"), maxItems=MAX_RECOMMENDATIONS),
        }
    )


def _bottlenecks() -> list[Json]:
    def of(name: str, figures: Json) -> Json:
        return closed({"type": {"type": "string", "enum": [name]}, **figures, "recommendation": TEXT})

    return [
        of("high_latency", {"endpoint": TEXT, "latency": MILLISECONDS}),
        of("high_error_rate", {"endpoint": TEXT, "successRate": PERCENT}),
        of("rate_limit_approaching", {"utilization": NUMBER}),
    ]


def _costs() -> Json:
    projected = dict.fromkeys(("nextMonth", "nextQuarter", "nextYear"), _MONEY)
    return closed(
        {
            "prices": closed({"perRequest": NUMBER, "perByte": NUMBER}),
            "current": closed(dict.fromkeys(("requests", "data", "total"), _MONEY)),
            "projected": closed({"monthlyGrowthPercent": {"type": "number"}, **projected}),
            "savings": closed(dict.fromkeys(("failedRequests", "cacheableRequests"), _MONEY)),
        }
    )


def _capacity() -> Json:
    figures = closed({"requests": COUNT, "latency": MILLISECONDS, "errors": COUNT})
    return closed(
        {
            "current": figures,
            "projected": figures,
            "utilization": schema("Utilization"),
            "projectedUtilization": schema("Utilization"),
        }
    )


def _optimization() -> Json:
    def rows(figures: Json) -> Json:
        return array(closed({**figures, "recommendation": TEXT}), maxItems=MAX_CANDIDATES)

    endpoint: Json = {"endpoint": TEXT, "requests": COUNT}
    return closed(
        {
            "caching": rows({**endpoint, "averageLatency": MILLISECONDS, "timePercentage": PERCENT}),
            "batching": rows(
                {"keyId": TEXT, **endpoint, "requestsPerActiveMinute": NUMBER, "averageLatency": MILLISECONDS}
            ),
            "rateLimiting": rows({"limit": TEXT, "configured": COUNT, "peak": COUNT}),
        }
    )
