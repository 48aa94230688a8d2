"""The parameters of the filters in the OpenAPI document: the same on every endpoint about events."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.planning.filters import (
    FILTER_FIELDS,
    MAX_RESPONSE_US,
    MEASURED_FIELDS,
    NUMERIC_DIMENSIONS,
    STATUS_CLASS,
    STATUS_CLASS_PATTERN,
    TEXT_FIELDS,
)
from apimetry.serving.openapi import query_parameter

_NUMBERS = "|".join(sorted(NUMERIC_DIMENSIONS))
_TEXTS = "|".join(name for name in FILTER_FIELDS if name not in NUMERIC_DIMENSIONS | {STATUS_CLASS})
FILTER_PATTERN = (
    f"^(({_TEXTS}):|({_NUMBERS}):([0-9]{{1,5}}|{STATUS_CLASS_PATTERN})$|{STATUS_CLASS}:{STATUS_CLASS_PATTERN}$)"
)
_HAS_PATTERN = f"^({'|'.join(TEXT_FIELDS)}):"
_BETWEEN_PATTERN = f"^({'|'.join(MEASURED_FIELDS)}):([0-9]{{1,18}}[.]{{2}}[0-9]{{0,18}}|[.]{{2}}[0-9]{{1,18}})$"
_HOW = (
    " Repeatable, split at the first colon: values of one field are alternatives, different fields must all hold."
    " `status_code` also takes a class: `status_code:5xx`."
)


def described_filters() -> list[Json]:
    """Return the description of each of FILTER_PARAMETERS."""
    microseconds: Json = {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_RESPONSE_US}
    return [
        _texts("include", f"Only events with this value.{_HOW}", FILTER_PATTERN, "method:GET"),
        _texts("exclude", f"No events with this value.{_HOW}", FILTER_PATTERN, "status_code:404"),
        _texts(
            "has",
            "Only events whose field contains the text, in small or capital letters. Repeatable; all must hold.",
            _HAS_PATTERN,
            "url:/v1/scores",
        ),
        query_parameter(
            "min_response_us", "Only events that took at least so many microseconds.", microseconds, 500_000
        ),
        query_parameter(
            "max_response_us", "Only events that took at most so many microseconds.", microseconds, 60_000_000
        ),
        _texts(
            "between",
            "Only events whose field is known and within both numbers, microseconds or bytes. One of them may be left"
            " out. Repeatable; all must hold.",
            _BETWEEN_PATTERN,
            "response_bytes:1024..4096",
        ),
    ]


def _texts(name: str, description: str, pattern: str, example: str) -> Json:
    items: Json = {"type": "array", "items": {"type": "string", "pattern": pattern}}
    return query_parameter(name, description, items, [example], style="form", explode=True)
