"""Rules are measured from rollups where these know enough, and the value is that of the events themselves."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from apimetry.query_api.alerting.measuring import measurement, value_of
from apimetry.store.accounts.records import RequestLimits
from apimetry.store.alerts.records import AlertRule, Metric
from tests.support.oracles.query_events import insert_events, percentile, random_events

DAY = 86_400
# Nine minutes past an hour: the last hour of every window is not whole.
END = 1_700_000_000 // 3600 * 3600 + 540
NO_LIMITS = RequestLimits(None, None, None)
LIMITS = RequestLimits(7, None, None)
ROLLUP_METRICS = [metric for metric in Metric if metric is not Metric.latency_percentile]


def rule(metric, window_s, **fields):
    return AlertRule(
        id="rule",
        organization_id="o",
        application_id="shop",
        name="Rule",
        metric=metric,
        created_at=datetime.fromtimestamp(0, timezone.utc),
        webhook_secret="secret",
        window_s=window_s,
        percentile=90 if metric is Metric.latency_percentile else None,
        **fields,
    )


def measured(store, alert_rule, limits=NO_LIMITS):
    ((requests, measure),) = store.ask(measurement(alert_rule, END))
    return value_of(alert_rule, requests, measure, limits)


def expected(events, alert_rule, limits=NO_LIMITS):
    within = [e for e in events if 1e6 * (END - alert_rule.window_s) <= e.timestamp < 1e6 * END]
    timed = [e for e in within if e.response_us is not None]
    counted = timed if alert_rule.metric in (Metric.latency_mean, Metric.latency_percentile) else within
    requests = sum(e.sample_weight for e in counted)
    if alert_rule.metric is Metric.latency_percentile:
        measure = percentile([(e.response_us, e.sample_weight) for e in timed], alert_rule.percentile) if timed else 0
    elif alert_rule.metric is Metric.latency_mean:
        measure = sum(e.response_us * e.sample_weight for e in timed)
    else:
        measure = sum(e.sample_weight for e in within if e.status_code >= 400)
    return value_of(alert_rule, requests, measure, limits)


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("window_s", [60, 660, 7140, 10_800, DAY])
def test_a_value_is_that_of_the_windows_events(embedded_store, metric, window_s):
    # Also after the window: what a rollup's last hour holds beyond it is taken off.
    events = [e for e in random_events(5, 400, END - DAY - 4000, END + 3000) if e.application == "shop"]
    insert_events(embedded_store, events)
    alert_rule = rule(metric, window_s)
    assert measured(embedded_store, alert_rule, LIMITS) == pytest.approx(expected(events, alert_rule, LIMITS))


@pytest.mark.parametrize("metric", ROLLUP_METRICS)
def test_a_filtered_value_is_that_of_the_filtered_events(embedded_store, metric):
    events = [e for e in random_events(6, 400, END - DAY, END) if e.application == "shop"]
    insert_events(embedded_store, events)
    alert_rule = rule(metric, DAY, include=["method:GET", "method:POST"], exclude=["status_code:404"])
    passing = [e for e in events if e.method in ("GET", "POST") and e.status_code != 404]
    assert measured(embedded_store, alert_rule, LIMITS) == pytest.approx(expected(passing, alert_rule, LIMITS))


def test_texts_and_bounds_are_filters_too(embedded_store):
    events = [e for e in random_events(7, 600, END - DAY, END) if e.application == "shop"]
    insert_events(embedded_store, events)
    filters = {"has": ("route:ITEMS",), "min_response_us": 20, "max_response_us": 1_000_000}
    passing = [e for e in events if "items" in e.route and e.response_us and 20 <= e.response_us <= 1_000_000]
    assert passing
    for metric in Metric:
        alert_rule = rule(metric, DAY, **filters)
        assert measured(embedded_store, alert_rule, LIMITS) == pytest.approx(expected(passing, alert_rule, LIMITS))


@pytest.mark.parametrize("metric", ROLLUP_METRICS)
def test_a_long_window_reads_the_events_of_its_edges_alone(metric):
    sql = measurement(rule(metric, DAY), END).sql
    assert "FROM hourly_totals" in sql
    assert "first_edge_start_us" in sql


def test_percentiles_are_exact_and_so_come_from_events():
    assert "hourly" not in measurement(rule(Metric.latency_percentile, DAY), END).sql
