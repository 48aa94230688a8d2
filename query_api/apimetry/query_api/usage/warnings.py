"""Rate limits, and alerts about usage. Pure."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.planning.figures import Measures, plain, scaled
from apimetry.store.accounts.accounts import RequestLimits

# An alert comes when the figure in the response is above its threshold (docs/api.md, "Developer usage API").
UTILIZATION_PERCENT, URGENT_UTILIZATION_PERCENT = 80, 90
ERROR_RATE_PERCENT, URGENT_SUCCESS_RATE_PERCENT = 1, 95
LATENCY_MS, URGENT_LATENCY_MS = 500, 1000

UPGRADE = "Consider upgrading your plan or optimizing requests"

_PERIODS_S = {"requestsPerMinute": 60, "requestsPerHour": 3600, "requestsPerDay": 86_400}
_ADJECTIVES = {"requestsPerMinute": "Per-minute", "requestsPerHour": "Hourly", "requestsPerDay": "Daily"}
_PRIORITIES = ("high", "medium")


MAX_ALERTS = 5
"""Three limits, errors and latency."""


def average_rates(requests: int, span_s: int) -> dict[str, float]:
    """Return the average requests per minute, hour and day over `span_s`, one decimal."""
    return {name: scaled(requests * period_s, span_s, 10) / 10 for name, period_s in _PERIODS_S.items()}


def utilizations(limits: RequestLimits, requests: int, span_s: int) -> dict[str, float | None]:
    """Return the rounded average rate in percent of each limit, two decimals; None without a limit."""
    return {
        name: _utilization(scaled(requests * _PERIODS_S[name], span_s, 10), limit)
        for name, limit in limits_json(limits).items()
    }


def limits_json(limits: RequestLimits) -> dict[str, int | None]:
    """Return the configured limits by their names in JSON; None without a limit."""
    return dict(zip(_PERIODS_S, (limits.per_minute, limits.per_hour, limits.per_day), strict=True))


def alerts(total: Measures, utilization: dict[str, float | None]) -> list[Json]:
    """Return the alerts, the most urgent first."""
    rows = [*_limit_alerts(utilization), *_error_alerts(total), *_latency_alerts(total)]
    return sorted(rows, key=lambda alert: _PRIORITIES.index(str(alert["priority"])))


def _utilization(rate_tenths: int, limit: int | None) -> float | None:
    return None if limit is None else scaled(10 * rate_tenths, limit, 100) / 100


def _limit_alerts(utilization: dict[str, float | None]) -> list[Json]:
    over = [(used, name) for name, used in utilization.items() if used is not None and used > UTILIZATION_PERCENT]
    return [
        _alert(
            "rate_limit_approaching",
            f"{_ADJECTIVES[name]} rate limit is {plain(used)}% utilized",
            UPGRADE,
            urgent=used > URGENT_UTILIZATION_PERCENT,
        )
        for used, name in sorted(over, reverse=True, key=lambda pair: pair[0])
    ]


def _error_alerts(total: Measures) -> list[Json]:
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


def _latency_alerts(total: Measures) -> list[Json]:
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


def _alert(name: str, message: str, recommendation: str, *, urgent: bool) -> Json:
    priority = _PRIORITIES[0] if urgent else _PRIORITIES[1]
    return {"type": name, "message": message, "priority": priority, "recommendation": recommendation}
