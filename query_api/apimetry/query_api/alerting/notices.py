"""What an alert event says to people: one text, before any channel's form. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apimetry.query_api.http.json_values import iso_datetime
from apimetry.store.accounts.records import Application
from apimetry.store.alerts.records import AlertEvent, AlertRule, Metric, Transition

_UNITS = {
    Metric.error_rate: "%",
    Metric.latency_mean: "ms",
    Metric.latency_percentile: "ms",
    Metric.request_count: "requests",
    Metric.limit_utilization: "%",
}
_NAMES = {
    Metric.error_rate: "Error rate",
    Metric.latency_mean: "Mean latency",
    Metric.request_count: "Requests",
    Metric.limit_utilization: "Use of limits",
    Metric.no_data: "No data",
}


TEST = "test"


@dataclass(frozen=True)
class Notice:
    """An event in words. Names in it were written by people and may hold any printable character."""

    title: str
    text: str
    facts: tuple[tuple[str, str], ...]
    """Names and values of what was measured; only the first value, the application's, was written by people."""

    kind: str
    """firing, resolved or test."""

    at: datetime
    event_id: str
    rule_id: str
    application: str


def trial_notice_of(rule: AlertRule, event: AlertEvent, application: Application) -> Notice:
    """Return what a test says: which rule it is of, and that it has not fired. `event` has its time and its id."""
    return Notice(
        title=f"Test: {rule.name} ({application.name})",
        text="This is a test message: the rule has not fired.",
        facts=(("Application", application.name), ("Window", f"{rule.window_s // 60} min")),
        kind=TEST,
        at=event.at,
        event_id=event.id,
        rule_id=rule.id,
        application=application.id,
    )


def notice_of(rule: AlertRule, event: AlertEvent, application: Application) -> Notice:
    """Return what to say about an event of a rule."""
    is_firing = event.kind is Transition.firing
    facts = [("Application", application.name), ("Measured", _measured(rule, event))]
    if rule.metric is not Metric.no_data:
        facts.append(("Threshold", f"{rule.direction.value} {_with_unit(event.threshold, rule.metric)}"))
    facts.append(("Window", f"{rule.window_s // 60} min"))
    facts.append(("Fired at", iso_datetime(event.fired_at)))
    if not is_firing:
        facts.append(("Resolved at", iso_datetime(event.at)))
    return Notice(
        title=f"{'Firing' if is_firing else 'Resolved'}: {rule.name} ({application.name})",
        text=_sentence(rule, event),
        facts=tuple(facts),
        kind=event.kind.value,
        at=event.at,
        event_id=event.id,
        rule_id=rule.id,
        application=application.id,
    )


def _sentence(rule: AlertRule, event: AlertEvent) -> str:
    window = f"the last {rule.window_s // 60} min"
    if rule.metric is Metric.no_data:
        return f"{'No request' if event.value == 0 else 'Requests'} came in {window}."
    threshold = _with_unit(event.threshold, rule.metric)
    side = rule.direction.value if event.kind is Transition.firing else f"no longer {rule.direction.value}"
    return f"{_measured(rule, event)} over {window}: {side} {threshold}."


def _measured(rule: AlertRule, event: AlertEvent) -> str:
    if rule.metric is Metric.no_data:
        return f"{event.value:g} requests"
    name = _NAMES.get(rule.metric) or f"Latency, percentile {rule.percentile}"
    return f"{name} {_with_unit(event.value, rule.metric)}"


def _with_unit(value: float, metric: Metric) -> str:
    return f"{value:.6g} {_UNITS[metric]}"
