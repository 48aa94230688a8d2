"""`GET /v1/values` in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.http.query_string import MAX_SEARCH_CHARACTERS
from apimetry.query_api.openapi.filters import described_filters
from apimetry.query_api.openapi.ranges import range_parameters
from apimetry.query_api.planning.filters import DIMENSIONS
from apimetry.query_api.values.params import DEFAULT_VALUES, KEPT_S, MAX_VALUES
from apimetry.query_api.values.response import Values
from apimetry.query_api.values.sql import NEWEST_EVENTS
from apimetry.serving.openapi import answer, errors, json_content, operation, query_parameter, ref

_DESCRIPTION = f"""The values that a field of the filters has, for a field that completes what is typed.

The value that equals `search` comes first, then the others with the most requests first. URLs, user agents and
addresses are those of the newest {NEWEST_EVENTS:,} events of the range, to the whole minute; `searched` says how far
back that is. An answer may be {KEPT_S} s old."""
_EXAMPLE: Json = {
    "field": "route",
    "values": [{"value": "/v1/checkout", "requests": 2117, "lastSeen": "2026-11-26T10:00:00Z"}],
    "more": False,
}


def paths() -> Json:
    """Return the path."""
    failures = errors("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable")
    described = operation(
        "getValues",
        "The values of a field",
        {"200": answer("The values.", json_content(Values, example=_EXAMPLE)), **failures},
        description=_DESCRIPTION,
        tags=["Analytics"],
        parameters=[
            *_parameters(),
            *range_parameters("seven days before `end`"),
            *described_filters(),
            ref("parameters", "Application"),
        ],
    )
    return {"/v1/values": {"get": described}}


def _parameters() -> list[Json]:
    return [
        query_parameter(
            "field", "Whose values.", {"type": "string", "enum": list(DIMENSIONS)}, "route", required=True
        ),
        query_parameter(
            "search",
            "Only values that contain this text, in small or capital letters.",
            {"type": "string", "maxLength": MAX_SEARCH_CHARACTERS},
            "check",
        ),
        query_parameter(
            "limit",
            "How many values.",
            {"type": "integer", "minimum": 1, "maximum": MAX_VALUES, "default": DEFAULT_VALUES},
            10,
        ),
    ]
