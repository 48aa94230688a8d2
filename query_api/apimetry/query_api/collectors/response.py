"""The shape of the answer of `GET /api/collectors`. The OpenAPI document takes it from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.serving.answer_types import Count, Time, one_of

STATES = ("ok", "behind", "full", "silent")


class CollectorQuarantine(TypedDict):
    """What the quarantine of a collector's spool holds, also from before its start."""

    pieces: Count
    rows: Annotated[Count, Meta(description="Events of these pieces; damaged bytes have none.")]
    newestReason: Annotated[str, Meta(max_length=200, description="Why the newest piece is there; empty: none is.")]


class CollectorState(TypedDict):
    """A collector's last report. Events count since its start, with those that it found in its spool then."""

    id: str
    version: str
    lastReport: Time
    spoolBytes: Count
    spoolLimitBytes: Count
    spoolFreeBytes: Annotated[Count | None, Meta(description="Free on the spool's disk; null: not reported.")]
    segments: Count
    oldestSegmentS: Annotated[float, Meta(ge=0, description="Age of the oldest segment in the spool; 0 without one.")]
    received: Count
    stored: Count
    rejected: Annotated[dict[str, Count], Meta(description="By reason.")]
    rejectedAt: Annotated[
        dict[str, Time],
        Meta(description="When an event was last rejected, by reason. Collectors of earlier versions report none."),
    ]
    quarantined: Count
    quarantine: Annotated[
        CollectorQuarantine | None, Meta(description="null: a collector of an earlier version does not report it.")
    ]
    state: Annotated[
        str,
        one_of(STATES),
        Meta(
            description="`silent`: no report for 180 s; `full`: its spool takes no more; `behind`: its oldest segment"
            " is over 60 s old; else `ok`."
        ),
    ]


class CollectorList(TypedDict):
    """Every collector that reported in the last 30 days."""

    collectors: list[CollectorState]
