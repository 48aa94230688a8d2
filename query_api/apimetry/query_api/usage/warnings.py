"""Rate limits, and alerts about usage. Pure."""

from __future__ import annotations

from typing import Literal

from apimetry.query_api.planning.figures import Measures, plain, scaled
from apimetry.query_api.usage.response import Alert, CurrentLimits, LimitName, Rates, Utilization
from apimetry.store.accounts.accounts import RequestLimits

# An alert comes when the figure in the response is above its threshold (docs/api.md, "Developer usage API").
UTILIZATION_PERCENT, URGENT_UTILIZATION_PERCENT = 80, 90
ERROR_RATE_PERCENT, URGENT_SUCCESS_RATE_PERCENT = 1, 95
LATENCY_MS, URGENT_LATENCY_MS = 500, 1000

UPGRADE = "Consider upgrading your plan or optimizing requests"

_PERIODS_S: dict[LimitName, int] = {"requestsPerMinute": 60, "requestsPerHour": 3600, "requestsPerDay": 86_400}
_ADJECTIVES: dict[LimitName, str] = {
    "requestsPerMinute": "Per-minute",
    "requestsPerHour": "Hourly",
    "requestsPerDay": "Daily",
}
_PRIORITIES = ("high", "medium")


def average_rates(requests: int, span_s: int) -> Rates:
    """Return the average requests per minute, hour and day over `span_s`, one decimal."""

    def rate(name: LimitName) -> float:
        return scaled(requests * _PERIODS_S[name], span_s, 10) / 10

    return {
        "requestsPerMinute": rate("requestsPerMinute"),
        "requestsPerHour": rate("requestsPerHour"),
        "requestsPerDay": rate("requestsPerDay"),
    }


def utilizations(limits: RequestLimits, requests: int, span_s: int) -> Utilization:
    """Return the rounded average rate in percent of each limit, two decimals; None without a limit."""

    def used(name: LimitName, limit: int | None) -> float | None:
        return _utilization(scaled(requests * _PERIODS_S[name], span_s, 10), limit)

    return {
        "requestsPerMinute": used("requestsPerMinute", limits.per_minute),
        "requestsPerHour": used("requestsPerHour", limits.per_hour),
        "requestsPerDay": used("requestsPerDay", limits.per_day),
    }


def limits_json(limits: RequestLimits) -> CurrentLimits:
    """Return the configured limits by their names in JSON; None without a limit."""
    return {
        "requestsPerMinute": limits.per_minute,
        "requestsPerHour": limits.per_hour,
        "requestsPerDay": limits.per_day,
    }


def alerts(total: Measures, utilization: Utilization) -> list[Alert]:
    """Return the alerts, the most urgent first."""
    rows = [*_limit_alerts(utilization), *_error_alerts(total), *_latency_alerts(total)]
    return sorted(rows, key=lambda alert: _PRIORITIES.index(alert["priority"]))


def _utilization(rate_tenths: int, limit: int | None) -> float | None:
    return None if limit is None else scaled(10 * rate_tenths, limit, 100) / 100


def _limit_alerts(utilization: Utilization) -> list[Alert]:
    over = [
        (used, name) for name in _PERIODS_S if (used := utilization[name]) is not None and used > UTILIZATION_PERCENT
    ]
    return [
        _alert(
            "rate_limit_approaching",
            f"{_ADJECTIVES[name]} rate limit is {plain(used)}% utilized",
            UPGRADE,
            urgent=used > URGENT_UTILIZATION_PERCENT,
        )
        for used, name in sorted(over, reverse=True, key=lambda pair: pair[0])
    ]


def _error_alerts(total: Measures) -> list[Alert]:
    if total.error_rate <= ERROR_RATE_PERCENT:
        return []
    return [
        _alert(
            "error_rate_high",
            f"Error rate is {plain(total.error_rate)}%, above recommended {ERROR_RATE_PERCENT}%",
            "Review error patterns and implement retry logic",
            urgent=total.success_rate < URGENT_SUCCESS_RATE_PERCENT,
        )
    ]


def _latency_alerts(total: Measures) -> list[Alert]:
    if total.mean_ms <= LATENCY_MS:
        return []
    return [
        _alert(
            "latency_high",
            f"Average latency is {plain(total.mean_ms)} ms, above recommended {LATENCY_MS} ms",
            "Consider caching or optimizing slow endpoints",
            urgent=total.mean_ms > URGENT_LATENCY_MS,
        )
    ]


def _alert(
    name: Literal["rate_limit_approaching", "error_rate_high", "latency_high"],
    message: str,
    recommendation: str,
    *,
    urgent: bool,
) -> Alert:
    priority: Literal["high", "medium"] = "high" if urgent else "medium"
    return {"type": name, "message": message, "priority": priority, "recommendation": recommendation}
