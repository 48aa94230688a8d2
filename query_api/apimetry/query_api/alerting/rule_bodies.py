"""Bodies of requests about alert rules."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from apimetry.query_api.alerting.rule_response import (
    Address,
    ChannelName,
    ContainedTexts,
    Direction,
    Filters,
    MinimumRequests,
    Name,
    Percentile,
    ResponseTime,
    RoutingKey,
    Threshold,
)
from apimetry.serving.errors import BadRequest
from apimetry.store.alerts import records
from apimetry.store.alerts.records import (
    DEFAULT_COOLDOWN_S,
    DEFAULT_WINDOW_S,
    NEEDS_REQUESTS,
    AlertRule,
    Metric,
    new_webhook_secret,
)

MAX_PREVIEW_DAYS = 14

Seconds = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class AlertInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A new alert rule."""

    application: Annotated[str, Meta(extra_json_schema={"minLength": 1})]
    name: Name
    metric: Metric
    threshold: Threshold = None
    direction: Direction = None
    percentile: Percentile = None
    include: Filters = ()
    exclude: Filters = ()
    has: ContainedTexts = ()
    min_response_us: ResponseTime = None
    max_response_us: ResponseTime = None
    window_s: Seconds = DEFAULT_WINDOW_S
    minimum_requests: MinimumRequests = 0
    cooldown_s: Seconds = DEFAULT_COOLDOWN_S
    webhook_url: Address = None
    channel: ChannelName = None
    routing_key: RoutingKey = None
    paused: bool = False


class AlertPreviewInput(AlertInput, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A rule as it would be made, and the number of days until now that it is tried on."""

    days: Annotated[int, Meta(ge=1, le=MAX_PREVIEW_DAYS, description="Days until now.")] = 7


class AlertChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What is to change of an alert rule; what is left out stays."""

    name: Name | UnsetType = UNSET
    metric: Metric | UnsetType = UNSET
    threshold: Threshold | UnsetType = UNSET
    direction: Direction | UnsetType = UNSET
    percentile: Percentile | UnsetType = UNSET
    include: Filters | UnsetType = UNSET
    exclude: Filters | UnsetType = UNSET
    has: ContainedTexts | UnsetType = UNSET
    min_response_us: ResponseTime | UnsetType = UNSET
    max_response_us: ResponseTime | UnsetType = UNSET
    window_s: Seconds | UnsetType = UNSET
    minimum_requests: MinimumRequests | UnsetType = UNSET
    cooldown_s: Seconds | UnsetType = UNSET
    webhook_url: Address | UnsetType = UNSET
    channel: ChannelName | UnsetType = UNSET
    routing_key: RoutingKey | UnsetType = UNSET
    paused: bool | UnsetType = UNSET


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
    changes = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET}
    if not changes:
        allowed = ", ".join(field.encode_name for field in msgspec.structs.fields(AlertChange))
        raise BadRequest(f"The body names nothing to change; allowed: {allowed}")
    metric = changes.get("metric", old.metric)
    return _side(_without_meaning(old.metric, metric) | changes, metric)


def _without_meaning(old: Metric, new: Metric) -> dict[str, Any]:
    """Return what a rule's change of metric takes away, unless the change says otherwise."""
    if new is old:
        return {}
    changes: dict[str, Any] = {} if new is Metric.latency_percentile else {"percentile": None}
    if new not in NEEDS_REQUESTS:
        changes["minimum_requests"] = 0
    if Metric.no_data in (old, new):
        changes["threshold"] = None
    if new is Metric.no_data:
        changes["direction"] = None
    return changes


def _side(fields: dict[str, Any], metric: Metric) -> dict[str, Any]:
    """Return `fields` with the threshold and the direction as records have them where they are null."""
    if "threshold" in fields and fields["threshold"] is None:
        if metric is not Metric.no_data:
            raise BadRequest(f"threshold is missing: percent, milliseconds or requests for {metric.value}")
        fields = {**fields, "threshold": 0.0}
    if "direction" in fields and fields["direction"] is None:
        fields = {**fields, "direction": records.Direction.above}
    return fields
