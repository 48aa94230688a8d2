"""The shapes of answers about alert rules. The OpenAPI document takes them from here. Never with a rule's secret.

The types of a rule's members are those of requests, too.
"""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.query_api.alerting.response import DELIVERIES
from apimetry.query_api.http.json_values import iso_datetime, iso_or_none
from apimetry.query_api.http.listing import Pagination
from apimetry.query_api.planning.filters import MAX_RESPONSE_US
from apimetry.serving.answer_types import Time, one_of
from apimetry.store.accounts.records import MAX_NAME_CHARACTERS
from apimetry.store.alerts import records
from apimetry.store.alerts.channels import Channel
from apimetry.store.alerts.records import MAX_COOLDOWN_S, MAX_WINDOW_S, Metric, Transition

MAX_FILTERS = 50
MAX_FILTER_CHARACTERS = 2000
MAX_ADDRESS_CHARACTERS = 2000
HIDDEN = "***"

# Limits in `extra_json_schema` are checked elsewhere, so that the message says what is allowed.
Name = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MAX_NAME_CHARACTERS})]
Percentile = Annotated[
    Annotated[int, Meta(ge=1, le=99)] | None, Meta(description="For `latency_percentile`, and only for it.")
]
Threshold = Annotated[
    Annotated[float, Meta(ge=0, le=1e15)] | None,
    Meta(description="Percent (`error_rate`: 100 at most), milliseconds or requests; null for `no_data` alone."),
]
Direction = Annotated[records.Direction | None, Meta(description="Null for `no_data`; otherwise null is above.")]
_Filter = Annotated[
    str,
    Meta(max_length=MAX_FILTER_CHARACTERS, description="field:value, as in a timeseries."),
]
Filters = Annotated[tuple[_Filter, ...], Meta(max_length=MAX_FILTERS)]
_ContainedText = Annotated[
    str,
    Meta(max_length=MAX_FILTER_CHARACTERS, description="field:text, as in a timeseries."),
]
ContainedTexts = Annotated[tuple[_ContainedText, ...], Meta(max_length=MAX_FILTERS)]
ResponseTime = Annotated[
    Annotated[int, Meta(ge=0, le=MAX_RESPONSE_US)] | None, Meta(description="Microseconds; null means no bound.")
]
# As the store checks them, with a message of its own. A request's body may have other numbers.
Window = Annotated[int, Meta(ge=60, le=MAX_WINDOW_S, multiple_of=60)]
Cooldown = Annotated[int, Meta(ge=0, le=MAX_COOLDOWN_S)]
MinimumRequests = Annotated[int, Meta(ge=0, le=2**63 - 1, description="For rates and latencies alone.")]
Address = Annotated[
    str | None,
    Meta(
        description="http:// or https://, or mailto: for e-mail; a private address is refused, unless the service"
        " allows it. A read key does not see it.",
        extra_json_schema={"maxLength": MAX_ADDRESS_CHARACTERS},
    ),
]
ChannelName = Annotated[Channel | None, Meta(description="The form of the messages; null: the address tells it.")]
RoutingKey = Annotated[
    str | None,
    Meta(
        description="PagerDuty's integration key, 32 letters and digits: for the channel `pagerduty`, and only for"
        " it. It is shown as `***`.",
    ),
]


class AlertStatus(TypedDict):
    """Where a rule stands."""

    status: Transition
    since: Annotated[Time | None, Meta(description="Null: it never fired.")]
    lastValue: float | None
    lastMeasuredAt: Time | None


class _VisibleRule(TypedDict):
    id: str
    application: str
    name: Name
    metric: Metric
    percentile: Percentile
    threshold: Threshold
    direction: Direction
    include: Filters
    exclude: Filters
    has: ContainedTexts
    minResponseUs: ResponseTime
    maxResponseUs: ResponseTime
    windowS: Window
    minimumRequests: MinimumRequests
    cooldownS: Cooldown
    channel: ChannelName
    routingKey: RoutingKey
    paused: bool
    createdAt: Time
    state: AlertStatus


class AlertRule(_VisibleRule, total=False):
    """An alert rule, and where it stands."""

    webhookUrl: Address


class OneAlertRule(TypedDict):
    """One alert rule."""

    alert: AlertRule


class NewAlertRule(TypedDict):
    """An alert rule with a new secret."""

    alert: AlertRule
    secret: Annotated[str, Meta(description="Signs what the webhook gets. It is shown this once.")]


class AlertRuleList(TypedDict):
    """One page of the organization's alert rules."""

    alerts: list[AlertRule]
    pagination: Pagination


class AlertEvent(TypedDict):
    """A rule fired or resolved."""

    id: str
    kind: Transition
    at: Time
    firedAt: Time
    value: float
    threshold: float
    delivery: Annotated[str, one_of(DELIVERIES)]


class AlertEventList(TypedDict):
    """One page of what a rule did."""

    events: list[AlertEvent]
    pagination: Pagination


def rule_json(rule: records.AlertRule, state: records.AlertState) -> AlertRule:
    """Return the JSON of a rule, with where it stands."""
    has_side = rule.metric is not Metric.no_data
    return {
        "id": rule.id,
        "application": rule.application_id,
        "name": rule.name,
        "metric": rule.metric,
        "percentile": rule.percentile,
        "threshold": rule.threshold if has_side else None,
        "direction": rule.direction if has_side else None,
        "include": rule.include,
        "exclude": rule.exclude,
        "has": rule.has,
        "minResponseUs": rule.min_response_us,
        "maxResponseUs": rule.max_response_us,
        "windowS": rule.window_s,
        "minimumRequests": rule.minimum_requests,
        "cooldownS": rule.cooldown_s,
        "webhookUrl": rule.webhook_url,
        "channel": rule.sends_by,
        "routingKey": HIDDEN if rule.routing_key else None,
        "paused": rule.paused,
        "createdAt": iso_datetime(rule.created_at),
        "state": {
            "status": Transition.firing if state.is_firing else Transition.resolved,
            "since": iso_or_none(state.last_event.at if state.last_event else None),
            "lastValue": state.value,
            "lastMeasuredAt": iso_or_none(state.measured_at),
        },
    }


def event_json(event: records.AlertEvent, delivery: str) -> AlertEvent:
    """Return the JSON of an event, with how its webhook stands."""
    return {
        "id": event.id,
        "kind": event.kind,
        "at": iso_datetime(event.at),
        "firedAt": iso_datetime(event.fired_at),
        "value": event.value,
        "threshold": event.threshold,
        "delivery": delivery,
    }
