"""`GET /v1/latency` in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.latency.answer import MAX_CELLS
from apimetry.query_api.latency.params import RESOLUTIONS, VALUES
from apimetry.query_api.latency.response import Latency
from apimetry.query_api.openapi.comparison import comparison_parameters
from apimetry.query_api.openapi.filters import described_filters
from apimetry.query_api.openapi.ranges import range_parameters
from apimetry.serving.openapi import answer, errors, json_content, operation, query_parameter, ref

_DESCRIPTION = f"""How a value of one application's requests is distributed, in logarithmic buckets.

Without `granularity` the answer is one histogram; with it, one for each bucket of time that has requests: a heatmap.
A request without the value does not count. The buckets from rollups and from events are the same ones. An answer has
at most {MAX_CELLS:,} filled cells."""
_EXAMPLE: Json = {
    "value": "response_us",
    "bounds": [0, 1, 1, 1, 2, 3, 3, 5, 6, 7, 10],
    "times": [1795669200, 1795672800],
    "counts": [[[4, 14], [7, 3]], [[8, 2]]],
    "total": 19,
    "percentiles": {"50": 2, "75": 5, "90": 6, "95": 6, "99": 6},
    "max": 6,
    "min": 2,
    "estimated": False,
}


def paths() -> Json:
    """Return the path."""
    failures = errors("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable")
    described = operation(
        "getLatency",
        "How a value is distributed",
        {"200": answer("The distribution.", json_content(Latency, example=_EXAMPLE)), **failures},
        description=_DESCRIPTION,
        tags=["Analytics"],
        parameters=[*_parameters(), *described_filters(), *comparison_parameters(), ref("parameters", "Application")],
    )
    return {"/v1/latency": {"get": described}}


def _parameters() -> list[Json]:
    return [
        *range_parameters(),
        query_parameter(
            "value",
            "What is distributed: microseconds or bytes.",
            {"type": "string", "enum": list(VALUES)},
            VALUES[0],
        ),
        query_parameter(
            "granularity",
            "The buckets of time, as in a timeseries; else one histogram.",
            {"type": "string", "pattern": r"^(second|minute|hour|day|week|[1-9][0-9]{0,11})$"},
            "hour",
        ),
        query_parameter(
            "resolution",
            "Latency buckets for each doubling of the value.",
            {"type": "integer", "enum": list(RESOLUTIONS), "default": RESOLUTIONS[0]},
            RESOLUTIONS[0],
        ),
    ]
