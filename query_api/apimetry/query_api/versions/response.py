"""The shape of the answer of `GET /v1/versions`. The OpenAPI document takes it from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.query_api.versions.params import MAX_ENTRIES
from apimetry.query_api.versions.sql import MAX_SOURCES
from apimetry.serving.answer_types import Count, Time


class ServedVersion(TypedDict):
    """A version, from the time that it began to serve until others served without it."""

    version: str
    firstSeen: Annotated[Time, Meta(description="The first request, exactly; up to seven days before the range.")]
    lastSeen: Annotated[Time, Meta(description="The last request in the range, exact to the hour.")]
    requests: Annotated[Count, Meta(description="In the range.")]
    errorRate: Annotated[float, Meta(ge=0, le=100, description="Percent of these requests.")]
    sources: Annotated[list[str], Meta(max_length=MAX_SOURCES, description="What sent them.")]
    isReturn: Annotated[bool, Meta(description="Whether the version had served before, and others meanwhile.")]


class Versions(TypedDict):
    """The versions that served, the newest first."""

    versions: Annotated[list[ServedVersion], Meta(max_length=MAX_ENTRIES)]
