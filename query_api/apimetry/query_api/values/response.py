"""The shape of the answer of `GET /v1/values`. The OpenAPI document takes it from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.query_api.planning.filters import DIMENSIONS
from apimetry.query_api.values.params import MAX_VALUES
from apimetry.serving.answer_types import Count, Time, one_of


class KnownValue(TypedDict):
    """A value of a field."""

    value: str
    requests: Count
    lastSeen: Annotated[Time, Meta(description="Exact to the hour.")]


class SearchedSince(TypedDict):
    """The range whose events were searched: it ends where the asked one ends."""

    start: Annotated[int, Meta(description="Seconds since the epoch.")]


class _Values(TypedDict):
    field: Annotated[str, one_of(DIMENSIONS)]
    values: Annotated[list[KnownValue], Meta(max_length=MAX_VALUES, description="The most requests first.")]
    more: Annotated[bool, Meta(description="Whether there are more values than `limit`.")]


class Values(_Values, total=False):
    """The values of a field."""

    searched: SearchedSince
