"""`GET /v1/explain` in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.explain.params import DEFAULT_CAUSES, DEFAULT_METRIC, MAX_CAUSES, MAX_DAYS, METRICS
from apimetry.query_api.explain.response import Explanation
from apimetry.query_api.http.json_values import Json
from apimetry.query_api.openapi.filters import described_filters
from apimetry.query_api.openapi.ranges import range_parameters
from apimetry.serving.openapi import answer, errors, json_content, operation, query_parameter, ref

_DESCRIPTION = f"""Which requests a change is made of: slices by route, method, status, version, source and
error type, and consumers, with their parts of the change.

The range has up to {MAX_DAYS} days, and is compared with another one of the same length. The first causes make much
of the change with few of the requests; no part of the change is told twice."""
_EXAMPLE: Json = {
    "metric": "errors",
    "start": 1795688091,
    "end": 1795691691,
    "beforeStart": 1795684491,
    "beforeEnd": 1795688091,
    "now": 1607,
    "before": 210,
    "explained": 0.93,
    "causes": [
        {
            "slice": {"route": "/v1/checkout", "status_code": "502", "version": "2.5.0"},
            "now": 391,
            "before": 0,
            "requests": 391,
            "contribution": 0.28,
            "byRate": None,
            "byMix": None,
            "since": "2026-11-26T10:26:04Z",
        }
    ],
    "consumers": [],
}


def paths() -> Json:
    """Return the path."""
    failures = errors("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable")
    parameters = [
        *range_parameters(),
        query_parameter(
            "metric", "What changed.", {"type": "string", "enum": list(METRICS), "default": DEFAULT_METRIC}, "errors"
        ),
        query_parameter(
            "against",
            "The other range: `previous`, `week` (a week earlier), or its start in seconds.",
            {"type": "string", "pattern": "^(previous|week|[0-9]{1,10})$", "default": "previous"},
            "previous",
        ),
        query_parameter(
            "limit",
            "How many causes.",
            {"type": "integer", "minimum": 1, "maximum": MAX_CAUSES, "default": DEFAULT_CAUSES},
            10,
        ),
        *described_filters(),
        ref("parameters", "Application"),
    ]
    described = operation(
        "explainChange",
        "What changed",
        {"200": answer("The causes.", json_content(Explanation, example=_EXAMPLE)), **failures},
        description=_DESCRIPTION,
        tags=["Analytics"],
        parameters=parameters,
    )
    return {"/v1/explain": {"get": described}}
