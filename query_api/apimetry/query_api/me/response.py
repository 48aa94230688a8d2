"""The shape of the answer of `GET /v1/me`. The OpenAPI document takes it from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.serving.answer_types import Time, one_of
from apimetry.store.accounts.records import KeyKind

Limit = Annotated[int | None, Meta(description="Null: no limit.")]


class OrganizationReference(TypedDict):
    """An organization by its id and its name."""

    id: str
    name: str


class KnownLimits(TypedDict):
    """How many requests the clients of an application may make."""

    requestsPerMinute: Limit
    requestsPerHour: Limit
    requestsPerDay: Limit


class Recorded(TypedDict):
    """Which texts the newest events of an application have, and whether they are a sample."""

    consumers: bool
    versions: bool
    errorTypes: bool
    urls: bool
    sampled: Annotated[bool, Meta(description="Whether any of them stands for several requests.")]


class KnownApplication(TypedDict):
    """An application that the key may ask about."""

    id: str
    name: str
    retentionDays: Annotated[int | None, Meta(description="Null: for ever.")]
    limits: KnownLimits
    firstEventAt: Annotated[Time | None, Meta(description="Of the events that are stored; null: none is.")]
    lastEventAt: Annotated[Time | None, Meta(description="Of the events that are stored; null: none is.")]
    recorded: Recorded


class Binding(TypedDict):
    """What a link binds. Filters on fields that it hides are not shown."""

    include: list[str]
    exclude: list[str]
    notBefore: Annotated[int | None, Meta(description="Seconds since the epoch: nothing older is shown.")]
    until: Annotated[Time, Meta(description="When the link ends.")]
    hides: list[str]
    pages: list[str]
    range: str
    oneConsumer: Annotated[bool, Meta(description="Whether the link is about one consumer.")]


class Me(TypedDict):
    """Who asks."""

    kind: Annotated[str, one_of(kind.value for kind in (KeyKind.admin, KeyKind.read))]
    keyId: str
    expiresAt: Time | None
    organization: OrganizationReference
    applications: list[KnownApplication]
    fixed: Annotated[Binding | None, Meta(description="What a link binds; null: a key or a session.")]
    collectorUrl: Annotated[str | None, Meta(description="Where applications send events; null: not known here.")]
    traceUrl: Annotated[
        str | None,
        Meta(description="Address of a trace in another tool, with `{trace_id}`; null: none, or a link asks."),
    ]
    version: str
    now: Annotated[int, Meta(description="The service's clock, in seconds since the epoch.")]
