"""The breakdown endpoint in the OpenAPI document; its enumerations are those that the parser uses."""

from __future__ import annotations

from collections.abc import Iterable

from apimetry.query_api.breakdown.having import RESTRICTIONS
from apimetry.query_api.breakdown.measures import DEFAULT_MEASURES, MEASURES
from apimetry.query_api.breakdown.params import CHANGES, MAX_DIMENSIONS, ORDERS
from apimetry.query_api.breakdown.response import Breakdown
from apimetry.query_api.breakdown.sparkline import MAX_BUCKETS
from apimetry.query_api.http.json_values import Json
from apimetry.query_api.http.query_string import MAX_SEARCH_CHARACTERS
from apimetry.query_api.openapi.comparison import compare_parameter, zone_parameter
from apimetry.query_api.openapi.filters import described_filters
from apimetry.query_api.openapi.presentation import nested_or_rows, presentation_parameters
from apimetry.query_api.openapi.ranges import range_parameters
from apimetry.query_api.planning.filters import GROUPS
from apimetry.query_api.planning.time_range import MAX_TIME_MS
from apimetry.serving.openapi import answer, errors, operation, query_parameter, ref

_DESCRIPTION = """One table about any dimension, of the events in `[start, end)`.

Every count is a sum of the events' `sample_weight`. Rates and shares are percents with one decimal, latencies are
milliseconds with one decimal, rounded half up. A latency is null where no request has a measured time. Such a row is
the last one in both orders, if the rows are sorted by latency. Rows with equal values are sorted by requests, then by
name. A measure that sorts need not be shown.

`total` is of all rows, also of the rows of other pages: the rest of a table is the difference. `search` counts as a
filter: totals and shares are of the rows whose first dimension contains the text.

`sort=change:MEASURE` sorts by what a measure is more than in the period before. Then groups of the period before are
rows, too. `series` are equal parts of the range, whose edges are moved to the next whole second, minute, hour or day
(`seriesStarts`).

`having` restricts a table by `consumer_id` alone. `new`: the first stored request lies in the range. `silent`: at
least 50 requests in the seven days before `end`, and then none for three times the longest gap, and for an hour at
least. `failing`: over 20 requests, and an error rate above 5 % and above twice that of all requests.

`firstSeen` and `lastSeen` are of all that is stored, exact to the hour. Where no rollup knows the dimensions, they
are of the range, and exact. `consumers` beside other dimensions are counted over up to seven days.

Percentiles are exact, or estimates from logarithmic buckets (`estimated`): within 2 % of the exact value, and never
above the true maximum. A table of more than 100,000 rows is a 400."""
_EXAMPLE = {
    "by": ["route", "method"],
    "start": 1795670091,
    "end": 1795691691,
    "total": {"requests": 34929, "errors": 1607},
    "rows": [
        {
            "key": ["/v1/checkout", "POST"],
            "requests": 2117,
            "errors": 616,
            "p95Ms": 3390.4,
            "lastSeen": "2026-11-26T10:43:58Z",
            "previous": {"requests": 1890, "errors": 11, "p95Ms": 364.0},
            "series": [1031, 290, 796],
        }
    ],
    "pagination": {"total": 9, "limit": 1, "offset": 0, "hasMore": True},
    "estimated": True,
    "source": "rollup",
    "previous": {"start": 1795648491, "end": 1795670091, "total": {"requests": 31150, "errors": 210}},
    "seenPrecision": "hour",
    "seriesStarts": [1795670091, 1795677300, 1795684500],
}
_ROWS = [{"route": "/v1/checkout", "method": "POST", "requests": 2117, "p95Ms": 3390.4, "previous_requests": 1890}]


def paths() -> Json:
    """Return the path."""
    get = operation(
        "getBreakdown",
        "One table about any dimension",
        {
            "200": answer(
                "A page of the table.", nested_or_rows(Breakdown, examples={"Nested": _EXAMPLE}, rows=_ROWS)
            ),
            **errors("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable"),
        },
        description=_DESCRIPTION,
        tags=["Analytics"],
        parameters=[
            *range_parameters(latest=MAX_TIME_MS),
            *_parameters(),
            compare_parameter(),
            zone_parameter(),
            *described_filters(),
            *presentation_parameters(),
            ref("parameters", "Application"),
        ],
    )
    return {"/v1/breakdown": {"get": get}}


def _parameters() -> list[Json]:
    return [
        query_parameter(
            "by",
            f"One to {MAX_DIMENSIONS} dimensions, each once, with commas between them.",
            _listed(GROUPS, MAX_DIMENSIONS),
            "route,method",
            required=True,
        ),
        query_parameter(
            "measures",
            "The figures of a row, each once, with commas between them.",
            {**_listed(MEASURES, len(MEASURES)), "default": ",".join(DEFAULT_MEASURES)},
            "requests,errors,errorRate,p95Ms",
        ),
        query_parameter(
            "sort",
            "The measure that sorts, or with `compare` the change of one.",
            {"type": "string", "enum": [*MEASURES, *CHANGES], "default": "requests"},
            "p95Ms",
        ),
        query_parameter(
            "order",
            "Largest first, or smallest first.",
            {"type": "string", "enum": list(ORDERS), "default": ORDERS[0]},
            "desc",
        ),
        ref("parameters", "Limit"),
        ref("parameters", "Offset"),
        query_parameter(
            "search",
            "Only rows whose first dimension contains this text, in small or capital letters.",
            {"type": "string", "maxLength": MAX_SEARCH_CHARACTERS},
            "checkout",
        ),
        query_parameter(
            "series",
            "Buckets of a sparkline of requests in each row.",
            {"type": "integer", "minimum": 0, "maximum": MAX_BUCKETS, "default": 0},
            24,
        ),
        query_parameter(
            "having",
            "Only these consumers; with `by=consumer_id` alone.",
            {"type": "string", "enum": list(RESTRICTIONS)},
            "new",
        ),
    ]


def _listed(names: Iterable[str], most: int) -> Json:
    pattern = f"({'|'.join(names)})"
    return {"type": "string", "pattern": f"^{pattern}(,{pattern}){{0,{most - 1}}}$"}
