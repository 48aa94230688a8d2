"""The usage endpoint in the OpenAPI document; its enumerations are those that the parser uses."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.http.query_string import MAX_TIME_S
from apimetry.query_api.insights.response import Insights
from apimetry.query_api.openapi.comparison import comparison_parameters, zone_parameter
from apimetry.query_api.openapi.filters import described_filters
from apimetry.query_api.openapi.usage_example import INSIGHTS, USAGE
from apimetry.query_api.planning.filters import MAX_STATUS_CODE, STATUS_CLASS_PATTERN
from apimetry.query_api.planning.time_buckets import GRANULARITIES
from apimetry.query_api.usage.params import (
    DEFAULT_GRANULARITY,
    DEFAULT_TIMEFRAME,
    MAX_LIMIT,
    MAX_OFFSET,
    ORDERS,
    SORTS,
    TIMEFRAMES,
)
from apimetry.query_api.usage.reading import LARGEST_PAGE, LEAST_PAGE
from apimetry.query_api.usage.response import Usage
from apimetry.serving.openapi import answer, errors, json_content, operation, query_parameter, ref

_DESCRIPTION = """Totals, rates, a series, breakdowns, errors, rate limits and alerts of one application.

The window is rolling, `[now - timeframe, now)`, with now to the next whole second; `all` begins with the second of
the application's first event. `start` and `end` name another window instead.

A request succeeded when its status is below 400. Rates and shares are percents with one decimal, latencies are
milliseconds with one decimal, rounded half up. They are of the requests whose time is known: `averageLatency` and
`peakLatency` are 0, and percentiles are null, where there are none. Every count is a sum of the events'
`sample_weight`.

`timeSeries` has clock-aligned UTC buckets, weeks from Monday, months from their first day; empty ones are there, the
first and the last count only what lies in the window, and the sums over all pages are the totals. It ascends in time
unless `sortBy` is given; `pagination` counts its buckets. Without `limit` it is whole, up to 10,000 buckets: in a
longer window (`all`, above all) its default granularity is day, week or month, whichever is the first that fits. The
answer's `granularity` says which it is. Lists have at most 100 rows, sorted by `sortBy` and
`order`; those of `errors` by what the failed requests alone add up to. Their rows have no time: with
`sortBy=timestamp` they come with the most requests first. Equals are ordered by requests, then by name.

The percentiles of `byEndpoint` are exact in windows of up to two hours. In longer ones they may be estimates from
logarithmic buckets: within 2 % of the exact value, and never above the true maximum.

The sums of all lists, and of the series, are the totals. Where an insert comes in between, the service reads again
until they are, three times in all; under inserts that never pause, what came within the last moment may be in one
part of an answer and not in another.

`rateLimits.current` are the limits that the application was given, null where it has none; they are shown, not
enforced. Alerts look at the figures as they are shown, the most urgent first: utilization over 80 % (90: high),
errors over 1 % (success under 95 %: high), mean latency over 500 ms (1000: high)."""


_INSIGHTS = """What to make of the usage in a window: the same window and filters as `/v1/developer/usage`.

`trends` compare the halves of the window: requests and errors an hour, mean latency in milliseconds. A change of more
than 10 % is a trend; `changePercent` is null where the first half had nothing.

`bottlenecks` are endpoints with a mean above 500 ms or a success rate below 95 %, among the hundred with the most
requests, the most errors and the longest times, at most ten of each kind, and a daily limit that is used to more than
80 %. Requests that matched no route are neither a bottleneck nor a candidate for a cache or for batches.

`costs.current` is what the window cost at the configured prices. `projected` is what a month of 30 days costs one,
three and twelve months from now, at the window's rate and the growth of its costs between the halves, taken as a
month's (100 % at most; nothing while stable); of halves longer than a month, the part of one. `savings` are requests
that failed, and reads that a cache could answer.

`capacity.projected` is the next window of the same length, should the trends go on. Candidates for `caching` are
endpoints whose reads take at least 5 % of all response time; for `batching`, consumers that ask one endpoint at least
30 times a minute, in the minutes in which they ask at all, among the hundred busiest of the window's last day;
`rateLimiting` names limits that a clock minute or hour went over."""


def paths() -> Json:
    """Return the paths of usage and insights."""
    failures = errors("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable")
    usage = operation(
        "getUsage",
        "Usage of an application",
        {"200": answer("Usage of the application.", json_content(Usage, example=USAGE)), **failures},
        description=_DESCRIPTION,
        tags=["Analytics"],
        parameters=[*_listing(), *_window(), ref("parameters", "Application")],
    )
    insights = operation(
        "getInsights",
        "Trends, bottlenecks, costs, capacity and advice",
        {"200": answer("What to make of the usage.", json_content(Insights, example=INSIGHTS)), **failures},
        description=_INSIGHTS,
        tags=["Analytics"],
        parameters=[*_window(), ref("parameters", "Application")],
    )
    return {"/v1/developer/usage": {"get": usage}, "/v1/developer/insights": {"get": insights}}


def _window() -> list[Json]:
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
                "items": {
                    "anyOf": [
                        {"type": "integer", "minimum": 0, "maximum": MAX_STATUS_CODE},
                        {"type": "string", "pattern": f"^{STATUS_CLASS_PATTERN}$"},
                    ]
                },
            },
        },
        *described_filters(),
    ]


def _listing() -> list[Json]:
    return [
        query_parameter(
            "granularity",
            f"Size of a bucket; without `limit` too, the next coarser one where the series has over {LARGEST_PAGE}.",
            {"type": "string", "enum": list(GRANULARITIES), "default": DEFAULT_GRANULARITY},
            "day",
        ),
        zone_parameter(),
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
            f"Buckets in the page; without it all of them, at least {LEAST_PAGE} and at most {LARGEST_PAGE}.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
            24,
        ),
        query_parameter(
            "offset",
            "Buckets before the page.",
            {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0},
            0,
        ),
        *comparison_parameters(" Not with `timeframe=all`."),
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
