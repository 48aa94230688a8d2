"""The parameters `start` and `end` in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.http.query_string import MAX_TIME_S
from apimetry.serving.openapi import query_parameter


def range_parameters(default: str = "24 hours before `end`", *, latest: int = MAX_TIME_S) -> list[Json]:
    """Return `start` and `end`; `default` says what `start` is if it is absent, and `latest` is the largest time."""
    time: Json = {"type": "integer", "format": "int64", "minimum": 0, "maximum": latest}
    return [
        query_parameter("start", f"First second, since the epoch, UTC; absent: {default}.", time, 1795670091),
        query_parameter("end", "The second after the last one; absent: now.", time, 1795691691),
    ]
