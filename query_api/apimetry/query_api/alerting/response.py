"""The shapes of answers about alerts. The OpenAPI document takes them from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.serving.answer_types import Count, Time, one_of
from apimetry.store.alerts.records import Transition

MomentPoint = Annotated[
    tuple[int, float | None],
    Meta(description="Unix seconds, and the value over the window before; null: it says nothing."),
]
DELIVERIES = ("none", "pending", "delivered", "failed")


class LoggedAlertEvent(TypedDict):
    """An alert rule fired or resolved."""

    id: str
    alert: Annotated[str, Meta(description="The rule's id.")]
    name: Annotated[str, Meta(description="The rule's name, also of a rule that was deleted since.")]
    kind: Transition
    at: Time
    value: float
    threshold: float
    delivery: Annotated[str, one_of(DELIVERIES)]


class AlertHistory(TypedDict):
    """What all rules of an application did, the last first."""

    events: list[LoggedAlertEvent]
    next: Annotated[str | None, Meta(description="The `cursor` of the next page; null: this is the last one.")]


class _Sent(TypedDict):
    delivered: bool
    status: Annotated[int | None, Meta(description="Of the receiver; null: there was none.")]
    ms: Annotated[Count, Meta(description="Milliseconds until the outcome.")]


class AlertTest(_Sent, total=False):
    """Whether a test message arrived."""

    error: Annotated[
        str,
        Meta(
            description="Where it did not: `no address`, `private address`, `refused`, `timed out`, `name not found`,"
            " `TLS failed`, `connection failed`, `no mail server`, `mail server failed`, or `status 410`."
        ),
    ]


class PreviewedFiring(TypedDict):
    """When a rule would have fired, and until when."""

    at: Time
    until: Annotated[Time | None, Meta(description="Null: it would fire now.")]
    peak: Annotated[float, Meta(description="The value furthest from the threshold.")]


class AlertPreview(TypedDict):
    """What a rule would have measured and done."""

    points: list[MomentPoint]
    threshold: Annotated[float | None, Meta(description="Null for `no_data`.")]
    firings: list[PreviewedFiring]
    evaluated: Annotated[Count, Meta(description="How often the rule would have been evaluated.")]
