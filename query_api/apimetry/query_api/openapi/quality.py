"""`GET /v1/quality` in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.openapi.ranges import range_parameters
from apimetry.query_api.quality.params import GRANULARITIES, MAX_POINTS
from apimetry.query_api.quality.response import Quality
from apimetry.query_api.quality.sql import MAX_SENDERS
from apimetry.serving.openapi import answer, errors, json_content, operation, query_parameter, ref

_DESCRIPTION = f"""By the counts that senders with the middleware report, as `completeness` of a timeseries: of the
events whose fate was decided in the range, which are stored, and why the others are not. Times of reports are whole
minutes, so the range is widened to them.

More than {MAX_POINTS:,} points are a 400. Of more than {MAX_SENDERS} senders, those with the most losses are listed,
and `rest` adds up the others."""
_EXAMPLE: Json = {
    "total": {
        "captured": 1204311,
        "stored": 1204070,
        "lost": {"buffer_full": 241},
        "pending": 12,
        "share": 0.999799,
    },
    "series": [[1795670040, {"captured": 812, "stored": 812, "lost": {}}]],
    "senders": [
        {
            "instance": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "source": "web-2",
            "version": "2.5.0",
            "firstReport": "2026-11-26T05:41:00Z",
            "lastReport": "2026-11-26T10:43:00Z",
            "captured": 80211,
            "stored": 79970,
            "lost": {"buffer_full": 241},
            "pending": 0,
            "state": "alive",
        }
    ],
    "newestEventAt": "2026-11-26T10:43:58Z",
    "silentSenders": 1,
    "withoutReports": 34929,
    "recorded": {
        "events": 1000,
        "fields": {
            "route": 1000,
            "consumer_id": 961,
            "source": 1000,
            "version": 1000,
            "error_type": 22,
            "url": 1000,
            "user_agent": 0,
            "client_ip": 0,
            "data": 0,
        },
        "queries": "masked",
        "clientIps": "none",
        "maxWeight": 1,
        "maxErrorWeight": 1,
    },
    "collectors": {"known": 2, "silent": 0, "lastReport": "2026-11-26T10:43:58Z", "oldestSegmentS": 0.4},
}


def paths() -> Json:
    """Return the path."""
    granularity = query_parameter(
        "granularity",
        "A name, or a number of seconds that are whole minutes; absent: one bucket.",
        {
            "oneOf": [
                {"type": "string", "enum": list(GRANULARITIES)},
                {"type": "integer", "minimum": 60, "multipleOf": 60},
            ]
        },
        "minute",
    )
    get = operation(
        "getQuality",
        "Completeness over time and by sender",
        {
            "200": answer("The counts.", json_content(Quality, example=_EXAMPLE)),
            **errors("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable"),
        },
        description=_DESCRIPTION,
        tags=["Analytics"],
        parameters=[*range_parameters(), granularity, ref("parameters", "Application")],
    )
    return {"/v1/quality": {"get": get}}
