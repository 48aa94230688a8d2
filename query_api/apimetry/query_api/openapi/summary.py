"""`GET /v1/summary` in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.openapi.comparison import comparison_parameters, zone_parameter
from apimetry.query_api.openapi.filters import described_filters
from apimetry.query_api.openapi.presentation import unit_parameter
from apimetry.query_api.openapi.ranges import range_parameters
from apimetry.query_api.planning.time_range import MAX_TIME_MS
from apimetry.query_api.summary.response import Summary
from apimetry.serving.openapi import answer, errors, json_content, operation, query_parameter, ref
from apimetry.store.accounts.records import MAX_TARGET_MS

_DESCRIPTION = """Totals of one application's events in `[start, end)`, in one answer.

Every count is a sum of the events' `sample_weight`. Latencies are of the requests with a known time. Percentiles are
exact over up to two hours. Over longer ranges they may be estimates from logarithmic buckets, within 2 % of the exact
value and never above the true maximum: then `estimated` is true, and `withinTarget` and `apdex` divide the requests
in the target's bucket in proportion."""
_FIGURES: Json = {
    "start": 1795670091,
    "end": 1795691691,
    "requests": 34929,
    "errors": 1607,
    "errorRate": 4.6,
    "clientErrors": 931,
    "serverErrors": 676,
    "meanMs": 97.1,
    "p50Ms": 28.0,
    "p95Ms": 247.1,
    "p99Ms": 2310.0,
    "maxMs": 9776.3,
    "requestBytes": 9120331,
    "responseBytes": 201331087,
    "requestsPerMinute": 97.0,
    "peakRequestsPerMinute": 208,
    "consumers": 56,
    "withinTarget": 93.4,
    "apdex": 0.95,
    "estimated": True,
}
_EXAMPLE: Json = {
    **_FIGURES,
    "previous": {
        **_FIGURES,
        "start": 1795648491,
        "end": 1795670091,
        "requests": 31150,
        "errors": 1308,
        "errorRate": 4.2,
        "clientErrors": 871,
        "serverErrors": 437,
        "requestsPerMinute": 86.5,
    },
}


def paths() -> Json:
    """Return the path."""
    failures = errors("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable")
    described = operation(
        "getSummary",
        "Totals of a range of time",
        {"200": answer("The totals.", json_content(Summary, example=_EXAMPLE)), **failures},
        description=_DESCRIPTION,
        tags=["Analytics"],
        parameters=[
            *range_parameters(latest=MAX_TIME_MS),
            _target(),
            *described_filters(),
            *comparison_parameters(),
            zone_parameter(),
            unit_parameter(),
            ref("parameters", "Application"),
        ],
    )
    return {"/v1/summary": {"get": described}}


def _target() -> Json:
    return query_parameter(
        "target_ms",
        "The response time that requests are meant to keep; else the application's `targetMs`.",
        {"type": "integer", "minimum": 1, "maximum": MAX_TARGET_MS},
        200,
    )
