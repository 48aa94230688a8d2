"""The JSON of alert rules: what may be sent, and how rules and their events are shown. Never with the secret."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Annotated, Any

import msgspec

from apimetry.query_api.http.json_values import iso_or_none
from apimetry.serving.errors import BadRequest
from apimetry.store.alerts.channels import Channel
from apimetry.store.alerts.records import (
    DEFAULT_COOLDOWN_S,
    DEFAULT_WINDOW_S,
    NEEDS_REQUESTS,
    AlertEvent,
    AlertRule,
    AlertState,
    Direction,
    Metric,
    new_webhook_secret,
)

MAX_FILTERS = 50
HIDDEN = "***"
MAX_FILTER_CHARACTERS = 2000
MAX_PREVIEW_DAYS = 14

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Percentile = Annotated[int, msgspec.Meta(ge=1, le=99)]
Threshold = Annotated[float, msgspec.Meta(ge=0, le=1e15)]
Filters = Annotated[
    tuple[Annotated[str, msgspec.Meta(max_length=MAX_FILTER_CHARACTERS)], ...], msgspec.Meta(max_length=MAX_FILTERS)
]


class AlertInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A new alert rule."""

    application: str
    name: str
    metric: Metric
    threshold: Threshold | None = None
    direction: Direction | None = None
    percentile: Percentile | None = None
    include: Filters = ()
    exclude: Filters = ()
    window_s: Seconds = DEFAULT_WINDOW_S
    minimum_requests: Count = 0
    cooldown_s: Seconds = DEFAULT_COOLDOWN_S
    webhook_url: str | None = None
    channel: Channel | None = None
    routing_key: str | None = None
    paused: bool = False


class AlertPreviewInput(AlertInput, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A rule as it would be made, and the number of days until now that it is tried on."""

    days: Annotated[int, msgspec.Meta(ge=1, le=MAX_PREVIEW_DAYS)] = 7


class AlertChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What is to change of an alert rule; what is left out stays."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    metric: Metric | msgspec.UnsetType = msgspec.UNSET
    threshold: Threshold | msgspec.UnsetType | None = msgspec.UNSET
    direction: Direction | msgspec.UnsetType | None = msgspec.UNSET
    percentile: Percentile | msgspec.UnsetType | None = msgspec.UNSET
    include: Filters | msgspec.UnsetType = msgspec.UNSET
    exclude: Filters | msgspec.UnsetType = msgspec.UNSET
    window_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    minimum_requests: Count | msgspec.UnsetType = msgspec.UNSET
    cooldown_s: Seconds | msgspec.UnsetType = msgspec.UNSET
    webhook_url: str | msgspec.UnsetType | None = msgspec.UNSET
    channel: Channel | msgspec.UnsetType | None = msgspec.UNSET
    routing_key: str | msgspec.UnsetType | None = msgspec.UNSET
    paused: bool | msgspec.UnsetType = msgspec.UNSET


def new_rule(body: AlertInput, organization_id: str, now: datetime) -> AlertRule:
    """Return the rule that `body` asks for, with an id and a secret of its own.

    Raises:
        BadRequest: there is no threshold where one is needed.
    """
    fields = {name: getattr(body, name) for name in AlertInput.__struct_fields__ if name != "application"}
    return AlertRule(
        id=secrets.token_hex(12),
        organization_id=organization_id,
        application_id=body.application,
        created_at=now.replace(microsecond=now.microsecond // 1000 * 1000),
        webhook_secret=new_webhook_secret(),
        **_side(fields, body.metric),
    )


def changes_of(body: AlertChange, old: AlertRule) -> dict[str, Any]:
    """Return what `body` changes of a rule, by the record's fields.

    Raises:
        BadRequest: nothing, or a metric that needs a threshold replaces one that has none.
    """
    changes = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not msgspec.UNSET}
    if not changes:
        allowed = ", ".join(field.encode_name for field in msgspec.structs.fields(AlertChange))
        raise BadRequest(f"The body names nothing to change; allowed: {allowed}")
    metric = changes.get("metric", old.metric)
    return _side(_without_meaning(old.metric, metric) | changes, metric)


def _without_meaning(old: Metric, new: Metric) -> dict[str, Any]:
    """Return what a rule's change of metric takes away, unless the change says otherwise."""
    if new is old:
        return {}
    taken: dict[str, Any] = {} if new is Metric.latency_percentile else {"percentile": None}
    if new not in NEEDS_REQUESTS:
        taken["minimum_requests"] = 0
    if Metric.no_data in (old, new):
        taken["threshold"] = None
    if new is Metric.no_data:
        taken["direction"] = None
    return taken


def _side(fields: dict[str, Any], metric: Metric) -> dict[str, Any]:
    """Return `fields` with the threshold and the direction as records have them where they are null."""
    if "threshold" in fields and fields["threshold"] is None:
        if metric is not Metric.no_data:
            raise BadRequest(f"threshold is missing: percent, milliseconds or requests for {metric.value}")
        fields = {**fields, "threshold": 0.0}
    if "direction" in fields and fields["direction"] is None:
        fields = {**fields, "direction": Direction.above}
    return fields


def rule_json(rule: AlertRule, state: AlertState) -> dict[str, object]:
    """Return a rule as it is shown, with where it stands."""
    has_side = rule.metric is not Metric.no_data
    return {
        "id": rule.id,
        "application": rule.application_id,
        "name": rule.name,
        "metric": rule.metric.value,
        "percentile": rule.percentile,
        "threshold": rule.threshold if has_side else None,
        "direction": rule.direction.value if has_side else None,
        "include": rule.include,
        "exclude": rule.exclude,
        "windowS": rule.window_s,
        "minimumRequests": rule.minimum_requests,
        "cooldownS": rule.cooldown_s,
        "webhookUrl": rule.webhook_url,
        "channel": rule.sends_by.value if rule.sends_by else None,
        "routingKey": HIDDEN if rule.routing_key else None,
        "paused": rule.paused,
        "createdAt": iso_or_none(rule.created_at),
        "state": {
            "status": "firing" if state.is_firing else "resolved",
            "since": iso_or_none(state.last_event.at if state.last_event else None),
            "lastValue": state.value,
            "lastMeasuredAt": iso_or_none(state.measured_at),
        },
    }


def event_json(event: AlertEvent, delivery: str) -> dict[str, object]:
    """Return an event as it is shown, with how its webhook stands."""
    return {
        "id": event.id,
        "kind": event.kind.value,
        "at": iso_or_none(event.at),
        "firedAt": iso_or_none(event.fired_at),
        "value": event.value,
        "threshold": event.threshold,
        "delivery": delivery,
    }
