"""`GET /v1/versions` in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.openapi.filters import described_filters
from apimetry.query_api.openapi.ranges import range_parameters
from apimetry.query_api.versions.params import DEFAULT_ENTRIES, KEPT_S, MAX_ENTRIES
from apimetry.query_api.versions.response import Versions
from apimetry.serving.openapi import answer, errors, json_content, operation, query_parameter, ref

_DESCRIPTION = f"""Each time that a version began to serve, the newest first.

A version begins to serve with its first request. It begins again (`isReturn`) after a pause of a whole clock hour or
more in which other versions served: a rollback. `firstSeen` may be up to seven days before `start`: then the version
served already when the range began. Requests without a version are left out. An answer may be {KEPT_S} s old."""
_EXAMPLE: Json = {
    "versions": [
        {
            "version": "2.5.0",
            "firstSeen": "2026-11-26T05:41:12Z",
            "lastSeen": "2026-11-26T10:43:58Z",
            "requests": 30211,
            "errorRate": 4.9,
            "sources": ["web-1", "web-2"],
            "isReturn": False,
        }
    ]
}


def paths() -> Json:
    """Return the path."""
    failures = errors("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable")
    limit = query_parameter(
        "limit",
        "How many entries.",
        {"type": "integer", "minimum": 1, "maximum": MAX_ENTRIES, "default": DEFAULT_ENTRIES},
        10,
    )
    described = operation(
        "getVersions",
        "When versions began to serve",
        {"200": answer("The versions.", json_content(Versions, example=_EXAMPLE)), **failures},
        description=_DESCRIPTION,
        tags=["Analytics"],
        parameters=[*range_parameters(), limit, *described_filters(), ref("parameters", "Application")],
    )
    return {"/v1/versions": {"get": described}}
