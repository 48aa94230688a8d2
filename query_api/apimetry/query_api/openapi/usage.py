"""The usage endpoint in the OpenAPI document; its enumerations are those that the parser uses."""

from __future__ import annotations

from apimetry.query_api.buckets import GRANULARITIES
from apimetry.query_api.openapi.parts import (
    Json,
    answer,
    errors,
    json_content,
    operation,
    query_parameter,
    ref,
)
from apimetry.query_api.openapi.usage_example import USAGE
from apimetry.query_api.params import MAX_STATUS_CODE
from apimetry.query_api.reading import MAX_TIME_S
from apimetry.query_api.usage_params import (
    DEFAULT_GRANULARITY,
    DEFAULT_LIMIT,
    DEFAULT_TIMEFRAME,
    MAX_LIMIT,
    MAX_OFFSET,
    ORDERS,
    SORTS,
    TIMEFRAMES,
)

_DESCRIPTION = """Totals, rates, a series, breakdowns, errors, rate limits and alerts of one application.

The window is rolling, `[now - timeframe, now)`, with now to the next whole second; `all` begins with the second of
the application's first event. `start` and `end` name another window instead.

A request succeeded when its status is below 400. Rates and shares are percents with one decimal, latencies are
milliseconds with one decimal, rounded half up. Every count is a sum of the events' `sample_weight`.

`timeSeries` has clock-aligned UTC buckets, weeks from Monday, months from their first day; empty ones are there, the
first and the last count only what lies in the window, and the sums over all pages are the totals. It ascends in time
unless `sortBy` is given; `pagination` counts its buckets. Lists have at most 100 rows, sorted by `sortBy` and
`order`; those of `errors` by what the failed requests alone add up to. Their rows have no time: with
`sortBy=timestamp` they come with the most requests first. Equals are ordered by requests, then by name.

`rateLimits.current` are the limits that the application was given, null where it has none; they are shown, not
enforced. Alerts look at the figures as they are shown, the most urgent first: utilization over 80 % (90: high),
errors over 1 % (success under 95 %: high), mean latency over 500 ms (1000: high)."""


def paths() -> Json:
    """Return the endpoint's path."""
    responses: Json = {
        "200": answer("Usage of the application.", json_content("Usage", example=USAGE)),
        **errors("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable"),
    }
    usage = operation(
        "getUsage",
        "Usage of an application",
        responses,
        description=_DESCRIPTION,
        tags=["Analytics"],
        parameters=[*_listing(), *window_parameters(), ref("parameters", "Application")],
    )
    return {"/v1/developer/usage": {"get": usage}}


def window_parameters() -> list[Json]:
    """Return the parameters that say which events are asked about."""
    time: Json = {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_TIME_S}
    return [
        query_parameter(
            "timeframe",
            "The window until now; `all` from the first event on.",
            {"type": "string", "enum": list(TIMEFRAMES), "default": DEFAULT_TIMEFRAME},
            "7d",
        ),
        query_parameter("start", "First second, since the epoch, UTC; instead of `timeframe`.", time, 1705676400),
        query_parameter("end", "The second after the last one; now where `start` comes alone.", time, 1705762800),
        _filter("consumer_id", "Only requests of this consumer.", "acme"),
        _filter("route", "Only requests to this route.", "/v1/scores/{identity}"),
        _filter("method", "Only requests with this method.", "GET"),
        {
            **_filter("status_code", "Only requests with this status.", 429),
            "schema": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0, "maximum": MAX_STATUS_CODE},
            },
        },
    ]


def _listing() -> list[Json]:
    return [
        query_parameter(
            "granularity",
            "Size of a bucket of the series.",
            {"type": "string", "enum": list(GRANULARITIES), "default": DEFAULT_GRANULARITY},
            "day",
        ),
        query_parameter(
            "sortBy",
            "What lists are sorted by.",
            {"type": "string", "enum": list(SORTS), "default": SORTS[0]},
            "errors",
        ),
        query_parameter(
            "order", "Its direction.", {"type": "string", "enum": list(ORDERS), "default": ORDERS[0]}, "asc"
        ),
        query_parameter(
            "limit",
            "Buckets in the page.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
            24,
        ),
        query_parameter(
            "offset",
            "Buckets before the page.",
            {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0},
            0,
        ),
    ]


def _filter(name: str, description: str, example: object) -> Json:
    return query_parameter(
        name,
        f"{description} Repeatable: the values are alternatives.",
        {"type": "array", "items": {"type": "string"}},
        [example],
        style="form",
        explode=True,
    )
