"""The shapes of responses with single events. The OpenAPI document takes them from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.serving.answer_types import Count

Number = Annotated[Count | None, Meta(description="Null: not measured.")]
EventId = Annotated[
    str, Meta(min_length=1, description="The same on every page, for as long as the event is stored.")
]


class StoredEvent(TypedDict, total=False):
    """An event as it was sent. `fields` says which members it has."""

    id: EventId
    timestamp: Annotated[float, Meta(description="Seconds since the epoch, to the microsecond.")]
    method: str
    url: str
    route: str
    function: str
    status_code: Count
    response_us: Number
    ttfb_us: Number
    request_bytes: Number
    response_bytes: Number
    consumer_id: str
    error_type: str
    source: str
    version: str
    user_agent: str
    client_ip: str
    sample_weight: Count
    data: dict[str, str]


class SearchedRange(TypedDict):
    """The whole seconds that the service searched for this page: from `start`, up to and without `end`."""

    start: Count
    end: Count


class EventsPage(TypedDict):
    """A page of events."""

    events: list[StoredEvent]
    next: Annotated[str | None, Meta(description="The `cursor` of the next page; null: nothing follows.")]
    searched: SearchedRange
    complete: Annotated[
        bool,
        Meta(description="False: the search ended early, perhaps without events, and `next` goes on behind it."),
    ]
