"""The breakdown endpoint in the OpenAPI document; its enumerations are those that the parser uses."""

from __future__ import annotations

from collections.abc import Iterable

from apimetry.query_api.breakdown.measures import DEFAULT_MEASURES, MEASURES
from apimetry.query_api.breakdown.params import MAX_DIMENSIONS, MAX_SEARCH_CHARACTERS, ORDERS
from apimetry.query_api.breakdown.response import Breakdown
from apimetry.query_api.http.json_values import Json
from apimetry.query_api.http.query_string import MAX_TIME_S
from apimetry.query_api.openapi.filters import described_filters
from apimetry.query_api.planning.filters import GROUPS
from apimetry.serving.openapi import answer, errors, json_content, operation, query_parameter, ref

_DESCRIPTION = """One table about any dimension, of the events in `[start, end)`.

Every count is a sum of the events' `sample_weight`. Rates and shares are percents with one decimal, latencies are
milliseconds with one decimal, rounded half up. A latency is null where no request has a measured time. Such a row is
the last one in both orders, if the rows are sorted by latency. Rows with equal values are sorted by requests, then by
name. A measure that sorts need not be shown.

`total` is of all rows, also of the rows of other pages: the rest of a table is the difference. `search` counts as a
filter: totals and shares are of the rows whose first dimension contains the text.

Percentiles are exact, or estimates from logarithmic buckets (`estimated`): within 2 % of the exact value, and never
above the true maximum. A table of more than 100,000 rows is a 400."""
_EXAMPLE = {
    "by": ["route", "method"],
    "start": 1795670091,
    "end": 1795691691,
    "total": {"requests": 34929, "errors": 1607},
    "rows": [
        {"key": ["/v1/checkout", "POST"], "requests": 2117, "errors": 616, "errorRate": 29.1, "p95Ms": 3390.4},
        {"key": ["/v1/search", "GET"], "requests": 2020, "errors": 57, "errorRate": 2.8, "p95Ms": 534.0},
    ],
    "pagination": {"total": 9, "limit": 2, "offset": 0, "hasMore": True},
    "estimated": True,
    "source": "rollup",
}


def paths() -> Json:
    """Return the path."""
    get = operation(
        "getBreakdown",
        "One table about any dimension",
        {
            "200": answer("A page of the table.", json_content(Breakdown, example=_EXAMPLE)),
            **errors("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable"),
        },
        description=_DESCRIPTION,
        tags=["Analytics"],
        parameters=[*range_parameters(), *_parameters(), *described_filters(), ref("parameters", "Application")],
    )
    return {"/v1/breakdown": {"get": get}}


def range_parameters(default: str = "24 hours before `end`") -> list[Json]:
    """Return `start` and `end`; `default` says what `start` is if it is absent."""
    time: Json = {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_TIME_S}
    return [
        query_parameter("start", f"First second, since the epoch, UTC; absent: {default}.", time, 1795670091),
        query_parameter("end", "The second after the last one; absent: now.", time, 1795691691),
    ]


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
            "The measure that sorts.",
            {"type": "string", "enum": list(MEASURES), "default": "requests"},
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
    ]


def _listed(names: Iterable[str], most: int) -> Json:
    one = f"({'|'.join(names)})"
    return {"type": "string", "pattern": f"^{one}(,{one}){{0,{most - 1}}}$"}
