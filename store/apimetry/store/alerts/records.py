"""Define alert rules, their events and their states, and check a rule's values; pure."""

from __future__ import annotations

import base64
import math
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final

from apimetry.store.accounts.records import checked_name
from apimetry.store.alerts.channels import Channel, channel_of, check_address
from apimetry.store.errors import AccountInvalid

MAX_WINDOW_S: Final = 86400
MAX_COOLDOWN_S: Final = 7 * 86400
DEFAULT_WINDOW_S: Final = 300
DEFAULT_COOLDOWN_S: Final = 300
_SECRET_BYTES: Final = 32


class Metric(str, Enum):
    """The figure that a rule measures over its window."""

    error_rate = "error_rate"
    latency_mean = "latency_mean"
    latency_percentile = "latency_percentile"
    request_count = "request_count"
    limit_utilization = "limit_utilization"
    no_data = "no_data"


NEEDS_REQUESTS: Final = frozenset({Metric.error_rate, Metric.latency_mean, Metric.latency_percentile})
"""The metrics that have no value in a window without requests."""


class Direction(str, Enum):
    """The side of the threshold on which a rule fires."""

    above = "above"
    below = "below"


class Transition(str, Enum):
    """The kind of a rule's event."""

    firing = "firing"
    resolved = "resolved"


@dataclass(frozen=True)
class AlertRule:
    """A condition on one application's requests, and the receiver of the messages when it holds.

    The threshold is in percent for the error rate and the utilization, in milliseconds for latencies, and 0 for
    `no_data`. `include` and `exclude` hold `field:value`, and `has` holds `field:text`. `webhook_secret`
    signs the messages of the channel `webhook`. `channel` is None where the address determines the channel.
    """

    id: str
    organization_id: str
    application_id: str
    name: str
    metric: Metric
    created_at: datetime
    webhook_secret: str = field(repr=False)
    percentile: int | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    has: tuple[str, ...] = ()
    min_response_us: int | None = None
    max_response_us: int | None = None
    window_s: int = DEFAULT_WINDOW_S
    direction: Direction = Direction.above
    threshold: float = 0.0
    minimum_requests: int = 0
    cooldown_s: int = DEFAULT_COOLDOWN_S
    webhook_url: str | None = None
    channel: Channel | None = None
    routing_key: str | None = field(default=None, repr=False)
    paused: bool = False

    @property
    def sends_by(self) -> Channel | None:
        """Return the channel of the rule's messages; None where the rule sends no messages."""
        if self.channel is not None or self.webhook_url is None:
            return self.channel
        return channel_of(self.webhook_url)


@dataclass(frozen=True)
class AlertEvent:
    """A rule fired or resolved. `sequence` numbers the rule's events from 1; `fired_at` is when it last fired."""

    id: str
    rule_id: str
    organization_id: str
    application_id: str
    sequence: int
    kind: Transition
    at: datetime
    fired_at: datetime
    value: float
    threshold: float


@dataclass(frozen=True)
class AlertState:
    """A rule's last event (None if it never fired), its last measured value, and the time of the measurement."""

    last_event: AlertEvent | None = None
    value: float | None = None
    measured_at: datetime | None = None

    @property
    def is_firing(self) -> bool:
        """Return whether the rule fired and has not resolved."""
        return self.last_event is not None and self.last_event.kind is Transition.firing


def new_webhook_secret() -> str:
    """Return a secret in the form of the Standard Webhooks specification."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def checked_rule(rule: AlertRule) -> AlertRule:
    """Return `rule` if its values fit together; raises AccountInvalid, which names the JSON member."""
    checked_name(rule.name)
    if (rule.percentile is not None) is not (rule.metric is Metric.latency_percentile):
        raise AccountInvalid("percentile (1 to 99) belongs to the metric latency_percentile, and only to it")
    if rule.percentile is not None and not 1 <= rule.percentile <= 99:
        raise AccountInvalid(f"percentile must be 1 to 99, not {rule.percentile}")
    _check_threshold(rule)
    if rule.minimum_requests and rule.metric not in NEEDS_REQUESTS:
        raise AccountInvalid(f"minimumRequests has no meaning for {rule.metric.value}: leave it out")
    if not 60 <= rule.window_s <= MAX_WINDOW_S or rule.window_s % 60:
        raise AccountInvalid(f"windowS must be whole minutes, 60 to {MAX_WINDOW_S}, not {rule.window_s}")
    if not 0 <= rule.cooldown_s <= MAX_COOLDOWN_S:
        raise AccountInvalid(f"cooldownS must be 0 to {MAX_COOLDOWN_S}, not {rule.cooldown_s}")
    if rule.sends_by is not None:
        check_address(rule.sends_by, rule.webhook_url, rule.routing_key)
    elif rule.routing_key is not None:
        raise AccountInvalid("routingKey belongs to the channel pagerduty, and only to it")
    return rule


def _check_threshold(rule: AlertRule) -> None:
    if rule.metric is Metric.no_data:
        if rule.threshold or rule.direction is not Direction.above:
            raise AccountInvalid("threshold and direction have no meaning for no_data: leave them out")
    elif not 0 <= rule.threshold < math.inf:
        raise AccountInvalid(f"threshold must be a number, at least 0, not {rule.threshold}")
    elif rule.metric is Metric.error_rate and rule.threshold > 100:
        raise AccountInvalid(f"threshold of error_rate is percent, 100 at most, not {rule.threshold:g}")
