"""`GET /v1/me` in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.me.response import Me
from apimetry.serving.openapi import answer, errors, json_content, operation

_DESCRIPTION = """A read key sees its one application, an admin key all of its organization, the oldest first.

`firstEventAt` and `lastEventAt` are of the events that are stored now; they are null without any. `recorded` says
which texts the newest events have. What is stored is read at most every 10 s, and every second while there is
nothing, so a client may ask every 2 s."""
_EXAMPLE: Json = {
    "kind": "read",
    "keyId": "507f1f77bcf86cd799439011",
    "expiresAt": None,
    "organization": {"id": "507f1f77bcf86cd799439000", "name": "My Organization"},
    "applications": [
        {
            "id": "shop",
            "name": "Shop",
            "retentionDays": 90,
            "limits": {"requestsPerMinute": None, "requestsPerHour": 1000, "requestsPerDay": None},
            "firstEventAt": "2026-09-01T08:00:12Z",
            "lastEventAt": "2026-11-26T10:43:58Z",
            "recorded": {"consumers": True, "versions": True, "errorTypes": True, "urls": True, "sampled": False},
        }
    ],
    "fixed": None,
    "collectorUrl": "http://127.0.0.1:7998",
    "traceUrl": "https://traces.example.com/trace/{trace_id}",
    "version": "0.1.0",
    "now": 1795691691,
}


def paths() -> Json:
    """Return the path."""
    responses = {"200": answer("Who asks.", json_content(Me, example=_EXAMPLE))}
    failures = errors("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable")
    return {
        "/v1/me": {
            "get": operation(
                "getMe",
                "Who the key is, and what is stored of its applications",
                {**responses, **failures},
                description=_DESCRIPTION,
                tags=["Analytics"],
            )
        }
    }
