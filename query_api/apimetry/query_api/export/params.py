"""The parameters of an export: text in, one frozen `ExportQuery` out. Pure.

Source of the rules: docs/api.md, "Data out, data gone". The fields are those of the collector's JSON format, in its
order: the collector takes an exported ndjson file without changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from apimetry.query_api.http.query_string import MAX_TIME_S, collect, number_in, one_of, single, time_s
from apimetry.query_api.planning.event_fields import FIELDS, parse_fields
from apimetry.query_api.planning.filters import FILTER_PARAMETERS, AnyFilter, filters_of
from apimetry.serving.errors import BadRequest

FORMATS = ("ndjson", "csv", "parquet")
CSV_KINDS = ("plain", "spreadsheet")
ORDERS = ("asc", "desc")
MAX_LIMIT = 1_000_000
PARAMETERS = ("start", "end", "format", "csv", "fields", "order", "limit", *FILTER_PARAMETERS)


@dataclass(frozen=True)
class ExportQuery:
    """Events in `[start, end)`, seconds since the epoch, UTC, that pass all `filters`."""

    start: int = 0
    end: int = MAX_TIME_S
    format: str = "ndjson"
    csv: str = CSV_KINDS[0]
    fields: tuple[str, ...] = FIELDS
    filters: tuple[AnyFilter, ...] = ()
    newest_first: bool = False
    limit: int | None = None
    """The most events, of those that come first in the order; None: all."""


def parse_export(parameters: Iterable[tuple[str, str]]) -> ExportQuery:
    """Return the query of a query string; without parameters, all events.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    values = collect(parameters, PARAMETERS)
    start, end = single(values, "start"), single(values, "end")
    start_s = 0 if start is None else time_s("start", start)
    end_s = MAX_TIME_S if end is None else time_s("end", end)
    if start_s >= end_s:
        raise BadRequest(f"start must be before end: start is {start_s}, end is {end_s}")
    file_format = one_of("format", single(values, "format"), FORMATS) or "ndjson"
    csv = one_of("csv", single(values, "csv"), CSV_KINDS)
    if csv is not None and file_format != "csv":
        raise BadRequest(f"csv is {csv!r} and format is {file_format!r}; csv is for format=csv alone")
    limit = single(values, "limit")
    return ExportQuery(
        start_s,
        end_s,
        file_format,
        csv or CSV_KINDS[0],
        parse_fields(values["fields"]),
        filters_of(values),
        newest_first=one_of("order", single(values, "order"), ORDERS) == "desc",
        limit=None if limit is None else number_in("limit", limit, range(1, MAX_LIMIT + 1)),
    )
