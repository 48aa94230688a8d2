"""The export in the OpenAPI document; its enumerations are those that the parser uses."""

from __future__ import annotations

from apimetry.query_api.export.api import CONTENT_TYPES, RETENTION_HEADER
from apimetry.query_api.export.params import CSV_KINDS, FORMATS, MAX_LIMIT, ORDERS
from apimetry.query_api.http.json_values import Json
from apimetry.query_api.http.query_string import MAX_TIME_S
from apimetry.query_api.openapi.filters import described_filters
from apimetry.query_api.planning.event_fields import FIELDS
from apimetry.serving.openapi import answer, errors, operation, query_parameter, ref

_DESCRIPTION = """Every stored event of one application in `[start, end)`, in the order of time, as a file.

With `order=desc` the newest come first, and `limit` ends the file after so many events.

Without parameters it is everything there is. `ndjson` has one object a line, with the fields that the collector's
JSON format takes, in its order: `timestamp` in seconds with up to six decimals, numbers that were not measured as
null, `data` as an object. Made into an array, it can be posted to a collector as it is. `parquet` has the timestamp
as a time in UTC, and `data` as a map. `csv` has a heading, empty fields for null, and `data` as JSON. Its texts are
as they were sent, and a spreadsheet runs one like `=1+1` as a formula: with `csv=spreadsheet` an apostrophe comes
before those.

ndjson and csv are compressed with gzip for clients that accept it. The file is sent while it is read: when something
fails in its middle the connection is reset, so that a part never looks like the whole. Few exports run at once, and
a client that reads less than 16 KiB a second for a minute is cut off."""


def paths() -> Json:
    """Return the endpoint's path."""
    text: Json = {"type": "string"}
    file: Json = {"type": "string", "format": "binary"}
    shapes: Json = {CONTENT_TYPES[name]: {"schema": file if name == "parquet" else text} for name in FORMATS}
    file_answer = answer("The file.", shapes)
    file_answer["headers"] = {
        "Content-Disposition": {"description": "Names the file.", "schema": text},
        RETENTION_HEADER: {
            "description": "Days after which the application's events are deleted; 20000 is for ever.",
            "schema": {"type": "integer", "minimum": 1},
        },
    }
    responses: Json = {
        "200": file_answer,
        **errors("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable"),
    }
    described = operation(
        "exportEvents",
        "Your events, as a file",
        responses,
        description=_DESCRIPTION,
        tags=["Analytics"],
        parameters=[*_parameters(), ref("parameters", "Application")],
    )
    return {"/v1/export/events": {"get": described}}


def _parameters() -> list[Json]:
    time: Json = {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_TIME_S}
    return [
        query_parameter(
            "start", "First second, since the epoch, UTC; else from the first event on.", time, 1412605036
        ),
        query_parameter("end", "The second after the last one; else to the last event.", time, 1412691436),
        query_parameter(
            "format", "What the file is.", {"type": "string", "enum": list(FORMATS), "default": FORMATS[0]}, "csv"
        ),
        query_parameter(
            "csv",
            "For `format=csv`: texts as they are, or with an apostrophe before what a spreadsheet would run.",
            {"type": "string", "enum": list(CSV_KINDS), "default": CSV_KINDS[0]},
            "spreadsheet",
        ),
        query_parameter(
            "order",
            "By time: the oldest or the newest first.",
            {"type": "string", "enum": list(ORDERS), "default": ORDERS[0]},
            "desc",
        ),
        query_parameter(
            "limit",
            "The most events, of those that come first in the order; else all.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
            10_000,
        ),
        query_parameter(
            "fields",
            "Only these fields, in this order, separated by commas.",
            {"type": "array", "items": {"type": "string", "enum": list(FIELDS)}},
            ["timestamp", "route", "status_code"],
            style="form",
            explode=False,
        ),
        *described_filters(),
    ]
