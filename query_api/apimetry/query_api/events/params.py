"""The parameters of a page of events: text in, one frozen `EventsQuery` out. Pure.

Source of the rules: docs/api.md, "Single events".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from apimetry.query_api.events.positions import Cursor, Position, cursor_of
from apimetry.query_api.http.query_string import MAX_TIME_S, collect, number_in, one_of, refusal, single, time_s
from apimetry.query_api.planning.event_fields import parse_fields
from apimetry.query_api.planning.filters import FILTER_PARAMETERS, AnyFilter, filters_of
from apimetry.serving.errors import BadRequest

ORDERS = ("desc", "asc")
_TRACE_ID = re.compile("[0-9a-fA-F]{32}")
DEFAULT_LIMIT = 50
MAX_LIMIT = 500
DEFAULT_SPAN_S = 86_400
PARAMETERS = ("start", "end", "order", "limit", "cursor", "fields", "trace_id", *FILTER_PARAMETERS)
FIELDS = (
    "timestamp",
    "method",
    "url",
    "route",
    "function",
    "status_code",
    "response_us",
    "ttfb_us",
    "request_bytes",
    "response_bytes",
    "consumer_id",
    "error_type",
    "source",
    "version",
    "user_agent",
    "client_ip",
    "sample_weight",
    "data",
)
"""All fields, in the order in which people read them."""


@dataclass(frozen=True)
class EventsQuery:
    """Events in `[start, end)`, seconds since the epoch, that pass all `filters` and lie behind `after`."""

    start: int
    end: int
    filters: tuple[AnyFilter, ...] = ()
    newest_first: bool = True
    limit: int = DEFAULT_LIMIT
    after: Position | None = None
    fields: tuple[str, ...] = FIELDS
    trace_id: str | None = None
    """The events of one trace alone."""

    @property
    def is_filtered(self) -> bool:
        """Return whether some events of the range are left out."""
        return bool(self.filters or self.trace_id)


def parse_events(parameters: Iterable[tuple[str, str]], now: int) -> EventsQuery:
    """Return the query of a query string at `now`, seconds since the epoch.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    values = collect(parameters, PARAMETERS)
    cursor = _cursor(single(values, "cursor"))
    start, end = _range(single(values, "start"), single(values, "end"), cursor, now)
    return EventsQuery(
        start=start,
        end=end,
        filters=filters_of(values),
        newest_first=(one_of("order", single(values, "order"), ORDERS) or "desc") == "desc",
        limit=number_in("limit", single(values, "limit") or str(DEFAULT_LIMIT), range(1, MAX_LIMIT + 1)),
        after=cursor.position if cursor else None,
        fields=parse_fields(values["fields"], FIELDS),
        trace_id=_trace_id(single(values, "trace_id")),
    )


def _trace_id(text: str | None) -> str | None:
    if text is not None and _TRACE_ID.fullmatch(text) is None:
        raise refusal("trace_id", text, "32 hexadecimal digits")
    return text.lower() if text else None


def parse_one_event(parameters: Iterable[tuple[str, str]]) -> EventsQuery:
    """Return the query of a query string about one event, which may have the parameter `fields`.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    values = collect(parameters, ("fields",))
    return EventsQuery(0, MAX_TIME_S, fields=parse_fields(values["fields"], FIELDS))


def _cursor(text: str | None) -> Cursor | None:
    if text is None:
        return None
    cursor = cursor_of(text)
    if cursor is None or not cursor.start < cursor.end <= MAX_TIME_S:
        raise refusal("cursor", text, "the text that an answer has as `next`")
    return cursor


def _range(start: str | None, end: str | None, cursor: Cursor | None, now: int) -> tuple[int, int]:
    """Return the range of the parameters. A page after the first has the first page's range where they are absent."""
    end_s = cursor.end if cursor else now
    if end is not None:
        end_s = time_s("end", end)
    start_s = cursor.start if cursor else max(0, end_s - DEFAULT_SPAN_S)
    if start is not None:
        start_s = time_s("start", start)
    if start_s >= end_s:
        raise BadRequest(f"start must be before end: start is {start_s}, end is {end_s}")
    return start_s, end_s
