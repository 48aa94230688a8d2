"""The timeseries endpoint in the OpenAPI document; its enumerations are those that the parser uses."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.http.query_string import FLAGS, MAX_TIME_S
from apimetry.query_api.openapi.comparison import comparison_parameters, zone_parameter
from apimetry.query_api.openapi.filters import described_filters
from apimetry.query_api.openapi.presentation import nested_or_rows, presentation_parameters
from apimetry.query_api.planning.filters import GROUPS
from apimetry.query_api.planning.time_range import MAX_TIME_MS
from apimetry.query_api.settings import QuerySettings
from apimetry.query_api.timeseries.params import (
    CONSUMERS,
    FILLS,
    MAX_AGGREGATIONS,
    MAX_GROUPINGS,
    NAMED,
    PERCENTILE_PATTERN,
    SIMPLE_AGGREGATIONS,
    VALUES,
)
from apimetry.query_api.timeseries.response import Timeseries
from apimetry.serving.openapi import ALIAS_OF, answer, errors, operation, query_parameter, ref

PATH = "/1/timeseries/{start}/{end}"

_DESCRIPTION = """Counts or aggregates the events in `[start, end)`, in buckets of time and by groups.

Buckets are floored in UTC, so the first one's timestamp may lie before `start`; only events from `start` on count
in it. Days, weeks and months begin in the zone `tz`: a day on which its clocks change has 23 or 25 hours.
Without `granularity` there is one bucket, whose timestamp is `start`. An event that lacks the asked `value` is left
out.
Every count is a sum of the events' `sample_weight`, and means, sums and percentiles are weighted by it.

Up to five aggregations are read in one scan: then a point has a value for each of them, in the order of
`aggregations` in the answer. Beside `count`, the others are null where a bucket's events lack the value.

Percentile p is the smallest measured value such that at least p % of the weight is at or below it. Over ranges of up
to ten minutes it is exact. Over longer ones it may be an estimate from logarithmic buckets: within 2 % of the exact
value, and never above the true maximum.

With `format=rows` the answer is an array of flat records, one for each point: `time`, the fields of the group by
name, and `value`, or one value for each of several aggregations under its name. With `compare` a record also has
`previous_value`, or `previous_` before each name. Records of the rest have null for the group.

No data: with `granularity` one empty series; without, one point of 0 (count, sum) or null; with `group`, no groups.
An empty parameter counts as absent. An unknown one is a 400, so that a misspelt filter is not silently left out."""

_EXAMPLES = {
    "One bucket": {
        "groups": {"app": [[1412605036, 15420]]},
        "start": 1412605036,
        "end": 1412691436,
        "granularity": 86400000,
    },
    "By hour and consumer": {
        "groups": {"actorlist": [[1413378000, 3], [1413381600, 7]], "": [[1413378000, 1]]},
        "start": 1413295200,
        "end": 1413385200,
        "granularity": 3600000,
    },
    "The largest group": {
        "groups": {"GET": [[1413295200, 1820.5]]},
        "start": 1413295200,
        "end": 1413385200,
        "granularity": 90000000,
        "omitted_groups": 2,
    },
    "By day in a zone, two groups, two aggregations, and the rest": {
        "groups": {'["/v1/scores/{identity}","5xx"]': [[1413324000, 7, 81300]]},
        "start": 1413295200,
        "end": 1413385200,
        "granularity": 86400000,
        "aggregations": ["count", "sum"],
        "rest": [[1413237600, 12, 9000], [1413324000, 9, 7000]],
        "omitted_groups": 4,
    },
}
_ROWS = [
    {"time": 1413378000, "consumer_id": "actorlist", "value": 3},
    {"time": 1413381600, "consumer_id": "actorlist", "value": 7},
]


def paths(settings: QuerySettings) -> Json:
    """Return the endpoint's paths: with the last slash, and without."""
    return {
        f"{PATH}/": _item("getTimeseries", "Events over time", settings),
        PATH: _item(
            "getTimeseriesWithoutSlash",
            "Events over time (the same, without the last slash)",
            settings,
            **{ALIAS_OF: f"{PATH}/"},
        ),
    }


def _item(name: str, summary: str, settings: QuerySettings, **more: object) -> Json:
    responses: Json = {
        "200": answer("The series, by group.", nested_or_rows(Timeseries, examples=_EXAMPLES, rows=_ROWS)),
        **errors("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable"),
    }
    return {
        "parameters": [
            _time("start", "First second, since the epoch, UTC; in milliseconds with `unit=ms`.", 1412605036),
            _time("end", "The second after the last one, likewise.", 1412691436),
        ],
        "get": operation(
            name,
            summary,
            responses,
            description=_DESCRIPTION,
            tags=["Analytics"],
            parameters=[*_parameters(settings), ref("parameters", "Application")],
            **more,
        ),
    }


def _time(name: str, description: str, example: int) -> Json:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_TIME_MS},
        "example": example,
    }


def _parameters(settings: QuerySettings) -> list[Json]:
    return [
        *_points(),
        zone_parameter(),
        *_groups(settings),
        *described_filters(),
        *comparison_parameters(),
        *presentation_parameters(),
    ]


def _points() -> list[Json]:
    aggregations = [
        {"type": "string", "enum": [*SIMPLE_AGGREGATIONS, CONSUMERS]},
        {"type": "string", "pattern": f"^{PERCENTILE_PATTERN}$"},
    ]
    named = {"type": "string", "enum": list(NAMED)}
    seconds = {"type": "integer", "minimum": 1, "maximum": MAX_TIME_S}
    return [
        query_parameter(
            "aggregation",
            f"What each point is; `count` without it. Repeatable, up to {MAX_AGGREGATIONS}. A percentile is"
            " `percentile_1` to `percentile_99`, with a decimal if need be: `percentile_99.9`."
            f" `{CONSUMERS}` counts distinct consumers, and stands alone.",
            {"type": "array", "items": {"anyOf": aggregations}},
            [*SIMPLE_AGGREGATIONS[:3], "percentile_95", "percentile_99.9"],
            style="form",
            explode=True,
        ),
        query_parameter(
            "value",
            "What is aggregated; `count` ignores it.",
            {"type": "string", "enum": list(VALUES), "default": "response_us"},
            "response_us",
        ),
        query_parameter(
            "granularity",
            "Size of a bucket. `week` starts on Monday; a number of seconds is aligned to the epoch.",
            {"oneOf": [named, seconds]},
            "hour",
        ),
        query_parameter(
            "fill",
            "What empty buckets get, instead of being left out.",
            {"type": "string", "enum": list(FILLS)},
            "zero",
        ),
    ]


def _groups(settings: QuerySettings) -> list[Json]:
    return [
        query_parameter(
            "group",
            f"One series for each value. Repeatable, up to {MAX_GROUPINGS}: then one for each pair of values.",
            {"type": "array", "items": {"type": "string", "enum": list(GROUPS)}},
            list(GROUPS[:MAX_GROUPINGS]),
            style="form",
            explode=True,
        ),
        query_parameter(
            "limit",
            "Only the largest groups by count; `omitted_groups` in the answer says how many were left out.",
            {"type": "integer", "minimum": 1, "maximum": settings.max_groups},
            10,
        ),
        query_parameter(
            "rest",
            "1: the answer also has the groups beyond `limit`, added up. For counts and sums alone.",
            {"type": "string", "enum": list(FLAGS), "default": FLAGS[0]},
            "1",
        ),
    ]
