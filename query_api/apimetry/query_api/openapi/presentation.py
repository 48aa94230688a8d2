"""The parameters `format` and `unit`, and flat records, in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.planning.presentation import FORMATS
from apimetry.query_api.planning.time_range import UNITS
from apimetry.serving.openapi import json_content, query_parameter, schema

_ROWS: Json = {
    "type": "array",
    "description": "With `format=rows`.",
    "items": {"type": "object", "additionalProperties": {"type": ["string", "number", "null"]}},
}


def presentation_parameters() -> list[Json]:
    """Return the description of `format` and `unit`."""
    return [
        query_parameter(
            "format",
            "`rows`: the answer is an array of flat records, as other tools read them.",
            {"type": "string", "enum": list(FORMATS), "default": FORMATS[0]},
            "rows",
        ),
        unit_parameter(),
    ]


def unit_parameter() -> Json:
    """Return the description of `unit`."""
    units = list(UNITS)
    return query_parameter(
        "unit",
        "`ms`: times in the request and in the answer are milliseconds. A part of a second at `start` or `end` counts"
        " as the whole second.",
        {"type": "string", "enum": units, "default": units[0]},
        "ms",
    )


def nested_or_rows(shape: type, *, examples: Mapping[str, object], rows: Sequence[Mapping[str, object]]) -> Json:
    """Return a JSON body of a class of answers, or of flat records; `rows` are some of them."""
    either: Json = {"anyOf": [schema(shape), _ROWS]}
    return json_content(either, examples={**examples, "Rows": list(rows)})
