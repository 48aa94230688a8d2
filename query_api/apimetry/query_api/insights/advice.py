"""What to do about what was measured: bottlenecks, candidates for caching and batching, recommendations. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apimetry.query_api.insights.forecast import Trend
from apimetry.query_api.insights.response import (
    MAX_BOTTLENECKS,
    MAX_CANDIDATES,
    BatchingCandidate,
    Bottleneck,
    CachingCandidate,
    HighErrorRate,
    HighLatency,
    LimitNearlyUsed,
    Optimization,
    PassedLimit,
    Priority,
    Recommendation,
)
from apimetry.query_api.planning.figures import Measures, percent, plain, rounded
from apimetry.query_api.usage.response import Alert, CurrentLimits, LimitName, Utilization
from apimetry.query_api.usage.warnings import LATENCY_MS, UPGRADE, URGENT_SUCCESS_RATE_PERCENT, UTILIZATION_PERCENT

# A cache helps where reads take a good part of all the time, and mostly succeed.
CACHE_TIME_PERCENT = 5
# A consumer that asks one endpoint every other second, whenever it is there, could ask for many things at once.
BATCH_REQUESTS_PER_MINUTE = 30

_PRIORITIES = ("high", "medium", "low")
# What a client may do about an alert.
_ACTIONS = {
    "rate_limit_approaching": "upgrade_plan",
    "error_rate_high": "investigate_errors",
    "latency_high": "optimize_requests",
}


def bottlenecks(endpoints: Sequence[tuple[str, Measures]], utilization: Utilization) -> list[Bottleneck]:
    """Return the slowest endpoints, the slowest first; failing ones, the worst first; a daily limit nearly used."""
    slow = sorted(
        (endpoint for endpoint in endpoints if endpoint[1].mean_ms > LATENCY_MS),
        key=lambda endpoint: -endpoint[1].mean_ms,
    )
    failing = sorted(
        (endpoint for endpoint in endpoints if endpoint[1].success_rate < URGENT_SUCCESS_RATE_PERCENT),
        key=lambda endpoint: endpoint[1].success_rate,
    )
    rows: list[Bottleneck] = [
        HighLatency(route, measures.mean_ms, "Consider caching or optimizing this endpoint")
        for route, measures in slow[:MAX_BOTTLENECKS]
    ]
    rows += [
        HighErrorRate(route, measures.success_rate, "Investigate and fix errors in this endpoint")
        for route, measures in failing[:MAX_BOTTLENECKS]
    ]
    daily = utilization["requestsPerDay"]
    if daily is not None and daily > UTILIZATION_PERCENT:
        rows.append(LimitNearlyUsed(daily, UPGRADE))
    return rows


def caching(reads: Iterable[tuple[str, Measures]], total: Measures) -> list[tuple[str, Measures]]:
    """Return the endpoints whose reads take the most time of all, and mostly succeed."""
    worth = [
        (route, measures)
        for route, measures in reads
        if measures.success_rate >= URGENT_SUCCESS_RATE_PERCENT
        and percent(measures.latency_us, total.latency_us) >= CACHE_TIME_PERCENT
    ]
    return sorted(worth, key=lambda endpoint: -endpoint[1].latency_us)[:MAX_CANDIDATES]


def caching_json(candidates: Iterable[tuple[str, Measures]], total: Measures) -> list[CachingCandidate]:
    """Return candidates for caching as they are shown."""
    return [
        {
            "endpoint": route,
            "requests": measures.requests,
            "averageLatency": measures.mean_ms,
            "timePercentage": percent(measures.latency_us, total.latency_us),
            "recommendation": "Cache answers of this endpoint, or let clients cache them",
        }
        for route, measures in candidates
    ]


def batching_json(rows: Sequence[tuple[Any, ...]]) -> list[BatchingCandidate]:
    """Return consumers that ask one endpoint again and again: rows of (consumer, route, measures, active minutes)."""
    return [
        {
            "keyId": consumer,
            "endpoint": route,
            "requests": measures[0],
            "requestsPerActiveMinute": rounded(measures[0], minutes, 1),
            "averageLatency": Measures(*measures).mean_ms,
            "recommendation": "Offer this consumer a request for many items at once",
        }
        for consumer, route, *measures, minutes in rows
    ]


def rate_limiting_json(limits: CurrentLimits, peaks: Mapping[LimitName, int]) -> list[PassedLimit]:
    """Return the limits that the busiest clock minute or hour went over."""
    return [
        {
            "limit": name,
            "configured": limit,
            "peak": peak,
            "recommendation": "Spread requests more evenly, or raise the limit",
        }
        for name, peak in peaks.items()
        if (limit := limits[name]) is not None and peak > limit
    ]


def recommendations(
    alerts: Sequence[Alert],
    trends: Mapping[str, Trend],
    projected: Utilization,
    candidates: Optimization,
) -> list[Recommendation]:
    """Return what to do, the most urgent first."""
    rows = [
        _advice(alert["type"], alert["priority"], _ACTIONS[alert["type"]], alert["recommendation"])
        for alert in alerts
    ]
    alarmed = {row["type"] for row in rows}
    if "rate_limit_approaching" not in alarmed and any(
        used and used > UTILIZATION_PERCENT
        for used in (projected["requestsPerMinute"], projected["requestsPerHour"], projected["requestsPerDay"])
    ):
        rows.append(_advice("rate_limit_projected", "medium", "upgrade_plan", UPGRADE))
    for name, action in (("errors", "investigate_errors"), ("latency", "optimize_requests")):
        if trends[name].name == "increasing":
            rows.append(_advice(f"{name}_increasing", "medium", action, _growing(name, trends[name])))
    if candidates["caching"]:
        rows.append(_advice("caching", "low", "add_caching", "Cache the endpoints that take the most time to read"))
    if candidates["batching"]:
        rows.append(_advice("batching", "low", "batch_requests", "Offer batch requests to the busiest consumers"))
    if candidates["rateLimiting"]:
        rows.append(_advice("peaks", "low", "spread_requests", "Spread requests: peaks are over the limits"))
    return sorted(rows, key=lambda row: _PRIORITIES.index(row["priority"]))


def _advice(name: str, priority: Priority, action: str, message: str) -> Recommendation:
    return {"type": name, "priority": priority, "action": action, "message": message}


def _growing(name: str, trend: Trend) -> str:
    subject = {"errors": "Errors", "latency": "Average latency"}[name]
    by = "" if trend.change is None else f" by {plain(rounded(*(100 * trend.change).as_integer_ratio(), 1))}%"
    return f"{subject} went up{by} between the halves of the window: find out what changed"
