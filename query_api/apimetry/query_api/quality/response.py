"""The shape of the answer of `GET /v1/quality`. The OpenAPI document takes it from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.serving.answer_types import Count, Time, one_of

QUERIES = ("none", "masked", "full")
ADDRESSES = ("none", "truncated", "full")
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


class QualityRecorded(TypedDict):
    """What events of the range have: the newest 1,000 of its last hour with events."""

    events: Annotated[Count, Meta(description="How many were looked at.")]
    fields: Annotated[dict[str, Count], Meta(description="How many of them have each text.")]
    queries: Annotated[
        str, one_of(QUERIES), Meta(description="`masked`: URLs have names of parameters and no values.")
    ]
    clientIps: Annotated[
        str, one_of(ADDRESSES), Meta(description="`truncated`: addresses end in zeros, to /24 and /48.")
    ]
    maxWeight: Annotated[
        Count,
        Meta(
            description="The largest `sample_weight` of these events and of the first 1,000 of the range; over 1:"
            " counts are made of samples."
        ),
    ]
    maxErrorWeight: Annotated[Count, Meta(description="The same of those with a status of 400 and above.")]


class QualityCollectors(TypedDict):
    """The collectors that reported in the last 30 days, of all organizations."""

    known: Annotated[Count, Meta(description="How many they are.")]
    silent: Annotated[Count, Meta(description="How many of them did not report for 180 s.")]
    lastReport: Annotated[Time | None, Meta(description="Of all of them; null: there is none.")]
    oldestSegmentS: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="Age of what waits longest in the spools of those that report; null: none reports."),
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
    recorded: QualityRecorded
    collectors: QualityCollectors


class Quality(_Quality, total=False):
    """Which share of what senders captured is stored, over time and by sender.

    All counts are of events, whatever their weights.
    """

    rest: QualityRest
