"""What a rule measures, as one statement over rollups and events, and the value that its row makes. Pure.

The planner says which rollup answers for the whole hours, or minutes, of the window; events answer for the rest.
Percentiles always come from events: no window is longer than a day, and so they are exact.

Invariants: values are bound by the server; field names come from the closed set of `planning.filters`. Every count is
a sum of `sample_weight`. A percentile is the smallest measured value that at least p % of the requests do not exceed.
"""

from __future__ import annotations

from string import Template

from apimetry.query_api.planning.filter_sql import filter_conditions, filter_parameters
from apimetry.query_api.planning.filters import columns_of, parse_filters
from apimetry.query_api.planning.planner import Needs, Plan, plan
from apimetry.query_api.planning.rows_sql import (
    BELOW,
    Column,
    Conditions,
    partial_rows,
    range_parameters,
    signed,
    weight,
)
from apimetry.store.accounts.accounts import RequestLimits
from apimetry.store.alerts.records import NEEDS_REQUESTS, AlertRule, Metric
from apimetry.store.statement import Statement

_SQL = Template("""SELECT sum(part.weight), $measure
FROM ($rows) AS part""")
_MEASURES = {
    Metric.error_rate: "sum(part.errors)",
    Metric.latency_mean: "sum(part.total_us)",
    Metric.latency_percentile: "quantileExactWeighted({level:Float64})(part.value, part.weight)",
}
_COLUMNS = {
    Metric.error_rate: frozenset({"requests", "errors"}),
    Metric.latency_mean: frozenset({"response_us_weight", "response_us_sum"}),
}
# A request whose time was not measured is not there for them.
_OF_TIMED = frozenset({Metric.latency_mean, Metric.latency_percentile})
_PERIODS_S = {"per_minute": 60, "per_hour": 3600, "per_day": 86400}


def measurement(rule: AlertRule, end_s: int) -> Statement:
    """Return what answers one row, (requests, measure), of `rule` over its window before `end_s`, epoch seconds."""
    filters = parse_filters(rule.include, rule.exclude)
    start_s = end_s - rule.window_s
    chosen = Plan(start_s, end_s)
    if rule.metric is not Metric.latency_percentile:
        columns = _COLUMNS.get(rule.metric, frozenset({"requests"}))
        chosen = plan(Needs(columns_of(filters), columns, start_s, end_s, subtracts=True, now=end_s))
    timed = ("response_us IS NOT NULL",) if rule.metric in _OF_TIMED else ()
    conditions = Conditions(filter_conditions(filters), timed)
    parameters: dict[str, object] = {
        "application": rule.application_id,
        **range_parameters(chosen),
        **filter_parameters(filters),
    }
    if rule.percentile is not None:
        parameters["level"] = rule.percentile / 100 * BELOW
    rows = partial_rows(chosen, _columns(rule.metric, chosen), conditions)
    return Statement(_SQL.substitute(measure=_MEASURES.get(rule.metric, "0"), rows=rows), parameters)


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
