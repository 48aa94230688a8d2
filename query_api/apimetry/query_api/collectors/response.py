"""The shape of the answer of `GET /api/collectors`. The OpenAPI document takes it from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.serving.answer_types import Count, Time, one_of

STATES = ("ok", "behind", "full", "silent")


class CollectorState(TypedDict):
    """A collector's last report. Events count since its start, with those that it found in its spool then."""

    id: str
    version: str
    lastReport: Time
    spoolBytes: Count
    spoolLimitBytes: Count
    segments: Count
    oldestSegmentS: Annotated[float, Meta(ge=0, description="Age of the oldest segment in the spool; 0 without one.")]
    received: Count
    stored: Count
    rejected: Annotated[dict[str, Count], Meta(description="By reason.")]
    quarantined: Count
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
