"""`GET /api/collectors` in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.collectors.response import CollectorList
from apimetry.query_api.http.json_values import Json
from apimetry.serving.openapi import answer, errors, json_content, operation

_EXAMPLE: Json = {
    "collectors": [
        {
            "id": "web-1-3f9a2c",
            "version": "0.1.0",
            "lastReport": "2026-11-26T10:43:58Z",
            "spoolBytes": 0,
            "spoolLimitBytes": 4294967296,
            "spoolFreeBytes": 51539607552,
            "segments": 0,
            "oldestSegmentS": 0.4,
            "received": 1204311,
            "stored": 1204308,
            "rejected": {"timestamp_expired": 3},
            "rejectedAt": {"timestamp_expired": "2026-11-26T09:12:40Z"},
            "quarantined": 0,
            "quarantine": {"pieces": 0, "rows": 0, "newestReason": ""},
            "state": "ok",
        }
    ]
}


def paths() -> Json:
    """Return the path."""
    get = operation(
        "listCollectors",
        "What the collectors say of themselves",
        {
            "200": answer("All of them, by name.", json_content(CollectorList, example=_EXAMPLE)),
            **errors("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable"),
        },
        description="A collector reports every 10 s while anything changes, and every minute while nothing does. What"
        " is shown is its last report; a collector that is gone is shown for 30 days. Collectors belong to no"
        " organization: they count the events of all.",
        tags=["Management"],
    )
    return {"/api/collectors": {"get": get}}
