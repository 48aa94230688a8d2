"""Measure a rule: the one statement over rollups and events, and the value that its row makes. Pure.

The planner chooses the rollup for the whole hours, or minutes, of the window. Events answer for the rest. Percentiles
always come from events: no window is longer than a day, and so they are exact.

Invariants: values are bound by the server; field names come from the closed set of `planning.filters`. Every count is
a sum of `sample_weight`. A percentile is the smallest measured value that at least p % of the requests do not exceed.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from apimetry.query_api.alerting.rule_filters import filters_of_rule
from apimetry.query_api.planning.filter_sql import filter_conditions, filter_parameters
from apimetry.query_api.planning.filters import AnyFilter, columns_of
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.planning.planner import Needs, Plan, plan
from apimetry.query_api.planning.rows_sql import (
    BELOW,
    Column,
    Conditions,
    added_up,
    partial_rows,
    range_parameters,
    signed,
    weight,
)
from apimetry.store.accounts.accounts import RequestLimits
from apimetry.store.alerts.records import NEEDS_REQUESTS, AlertRule, Metric
from apimetry.store.statement import Statement

_SQL = Template("""SELECT $requests, $measure
FROM ($rows) AS part""")
_MEASURES = {
    Metric.error_rate: "part.errors",
    Metric.latency_mean: "part.total_us",
}
_PERCENTILE = "quantileExactWeighted({level:Float64})(part.value, part.weight)"
_COLUMNS = {
    Metric.error_rate: frozenset({"requests", "errors"}),
    Metric.latency_mean: frozenset({"response_us_weight", "response_us_sum"}),
}
# A request whose time was not measured is not there for them.
_OF_TIMED = frozenset({Metric.latency_mean, Metric.latency_percentile})
_PERIODS_S = {"per_minute": 60, "per_hour": 3600, "per_day": 86400}


def window_needs(
    rule: AlertRule, filters: Sequence[AnyFilter], start_s: int, end_s: int, granularity: Granularity | None = None
) -> Needs:
    """Return what the rule's figures over `[start_s, end_s)` need of a table."""
    columns = _COLUMNS.get(rule.metric, frozenset({"requests"}))
    return Needs(columns_of(filters), columns, start_s, end_s, granularity, subtracts=True, now=end_s)


def window_conditions(rule: AlertRule, filters: Sequence[AnyFilter]) -> Conditions:
    """Return which requests the rule is about."""
    timed = ("response_us IS NOT NULL",) if rule.metric in _OF_TIMED else ()
    return Conditions(filter_conditions(filters), timed)


def window_columns(metric: Metric, chosen: Plan) -> tuple[list[Column], str]:
    """Return the columns of the rows, `weight` first, and the expression of the measure over them."""
    measure = _PERCENTILE if metric is Metric.latency_percentile else "0"
    if metric in _MEASURES:
        measure = added_up(chosen, _MEASURES[metric])
    return _columns(metric, chosen), measure


def measurement(rule: AlertRule, end_s: int) -> Statement:
    """Return what answers one row, (requests, measure), of `rule` over its window before `end_s`, epoch seconds."""
    filters = filters_of_rule(rule)
    start_s = end_s - rule.window_s
    chosen = Plan(start_s, end_s)
    if rule.metric is not Metric.latency_percentile:
        chosen = plan(window_needs(rule, filters, start_s, end_s))
    parameters: dict[str, object] = {
        "application": rule.application_id,
        **range_parameters(chosen),
        **filter_parameters(filters),
    }
    if rule.percentile is not None:
        parameters["level"] = rule.percentile / 100 * BELOW
    columns, measure = window_columns(rule.metric, chosen)
    rows = partial_rows(chosen, columns, window_conditions(rule, filters))
    return Statement(_SQL.substitute(requests=added_up(chosen), measure=measure, rows=rows), parameters)


def _columns(metric: Metric, chosen: Plan) -> list[Column]:
    value = "assumeNotNull(response_us)"
    if metric is Metric.latency_percentile:
        return [weight(chosen), Column("value", value, "")]
    if metric is Metric.latency_mean:
        total = Column("total_us", signed(chosen, f"toUInt64({value}) * sample_weight"), "response_us_sum")
        return [weight(chosen, "response_us_weight"), total]
    if metric is Metric.error_rate:
        failed = signed(chosen, "if(status_code >= 400, toUInt64(sample_weight), 0)")
        return [weight(chosen), Column("errors", failed, chosen.rollup.column("errors") if chosen.rollup else "")]
    return [weight(chosen)]


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
