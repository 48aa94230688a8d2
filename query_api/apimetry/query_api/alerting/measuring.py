"""What a rule measures, as one statement over raw events, and the value that its row makes. Pure.

Invariants: values are bound by the server; field names come from the closed sets of `params`. Every count is a sum of
`sample_weight`. A percentile is the smallest measured value that at least p % of the requests do not exceed.
"""

from __future__ import annotations

from dataclasses import dataclass

from apimetry.query_api.planning.filters import parse_filters
from apimetry.query_api.planning.rows_sql import BELOW, filter_condition, filter_name
from apimetry.store.accounts.accounts import RequestLimits
from apimetry.store.alerts.records import NEEDS_REQUESTS, AlertRule, Metric

_SQL = """SELECT sum(sample_weight), {measure}
FROM events
WHERE application = {{application:String}}
  AND timestamp >= fromUnixTimestamp64Micro({{start_us:Int64}}, 'UTC')
  AND timestamp < fromUnixTimestamp64Micro({{end_us:Int64}}, 'UTC'){conditions}"""
_MEASURES = {
    Metric.error_rate: "sumIf(sample_weight, status_code >= 400)",
    Metric.latency_mean: "sum(assumeNotNull(response_us) * sample_weight)",
    Metric.latency_percentile: "quantileExactWeighted({level:Float64})(assumeNotNull(response_us), sample_weight)",
}
# A request whose time was not measured is not there for them.
_OF_TIMED = frozenset({Metric.latency_mean, Metric.latency_percentile})
_PERIODS_S = {"per_minute": 60, "per_hour": 3600, "per_day": 86400}


@dataclass(frozen=True)
class Measurement:
    """One statement, and the values that it binds; its one row is (requests, measure)."""

    sql: str
    parameters: dict[str, object]


def measurement(rule: AlertRule, end_s: int) -> Measurement:
    """Return what measures `rule` over its window before `end_s`, seconds since the epoch."""
    filters = parse_filters(rule.include, rule.exclude)
    parameters: dict[str, object] = {
        "application": rule.application_id,
        "start_us": (end_s - rule.window_s) * 1_000_000,
        "end_us": end_s * 1_000_000,
        **{filter_name(each): list(each.values) for each in filters},
    }
    if rule.percentile is not None:
        parameters["level"] = rule.percentile / 100 * BELOW
    only = [*map(filter_condition, filters), *(["response_us IS NOT NULL"] if rule.metric in _OF_TIMED else [])]
    conditions = "".join(f"\n  AND {condition}" for condition in only)
    return Measurement(_SQL.format(measure=_MEASURES.get(rule.metric, "0"), conditions=conditions), parameters)


def value_of(rule: AlertRule, requests: int, measure: float, limits: RequestLimits) -> float | None:
    """Return what was measured: percent, milliseconds or requests; None where it says nothing.

    Utilization is the highest of the configured limits': the window's requests, on average over the limit's period.
    """
    if rule.metric is Metric.limit_utilization:
        shares = [
            100 * requests * period_s / rule.window_s / limit
            for name, period_s in _PERIODS_S.items()
            if (limit := getattr(limits, name)) is not None
        ]
        return max(shares, default=None)
    if rule.metric not in NEEDS_REQUESTS:
        return float(requests)
    if requests == 0 or requests < rule.minimum_requests:
        return None
    if rule.metric is Metric.error_rate:
        return 100 * measure / requests
    return measure / 1000 if rule.metric is Metric.latency_percentile else measure / requests / 1000
