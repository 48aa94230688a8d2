"""The shape of the answer of `GET /v1/quality`. The OpenAPI document takes it from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.serving.answer_types import Count, Time, one_of

STATES = ("alive", "ended", "gone")
Lost = Annotated[dict[str, Count], Meta(description="By reason.")]
Pending = Annotated[Count, Meta(description="In living senders' buffers when they last reported.")]
Share = Annotated[
    Annotated[float, Meta(ge=0, le=1)] | None,
    Meta(description="Stored divided by captured, six decimals, rounded down; null: none."),
]


class QualityCounts(TypedDict):
    """Events of a bucket of time."""

    captured: Annotated[Count, Meta(description="Stored and lost together.")]
    stored: Count
    lost: Lost


class QualityTotal(QualityCounts):
    """Events of the range, of all senders."""

    pending: Pending
    share: Share


class QualityRest(QualityCounts):
    """Events of the range, of the senders that are not listed."""

    senders: Annotated[Count, Meta(description="How many they are.")]
    pending: Pending


class QualitySender(QualityCounts):
    """A process that reported in the range."""

    instance: str
    source: Annotated[str, Meta(description="Empty: its reports did not say.")]
    version: Annotated[str, Meta(description="Of the host application. Empty: its reports did not say.")]
    firstReport: Time
    lastReport: Time
    pending: Pending
    state: Annotated[
        str,
        one_of(STATES),
        Meta(description="Silent for 300 s, it has `ended`, or is `gone` with events in its buffer."),
    ]


class _Quality(TypedDict):
    total: QualityTotal
    series: Annotated[
        list[tuple[int, QualityCounts]],
        Meta(description="Unix seconds, and the counts of the bucket; buckets without reports are left out."),
    ]
    senders: Annotated[list[QualitySender], Meta(description="Those with the most losses first.")]
    newestEventAt: Annotated[Time | None, Meta(description="Of the events that are stored now.")]
    silentSenders: Annotated[Count, Meta(description="How many senders of the range are `gone`.")]
    withoutReports: Annotated[
        Count, Meta(description="Stored events in the range beyond those that reports cover: from JSON and imports.")
    ]


class Quality(_Quality, total=False):
    """Which share of what senders captured is stored, over time and by sender.

    All counts are of events, whatever their weights.
    """

    rest: QualityRest
