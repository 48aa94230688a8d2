"""The endpoints of single events in the OpenAPI document; their enumerations are those that the parser uses."""

from __future__ import annotations

from apimetry.query_api.events.live import CONTENT_TYPE
from apimetry.query_api.events.params import DEFAULT_LIMIT, FIELDS, MAX_LIMIT, ORDERS
from apimetry.query_api.events.response import EventsPage, StoredEvent
from apimetry.query_api.http.json_values import Json
from apimetry.query_api.http.query_string import MAX_TIME_S
from apimetry.query_api.openapi.filters import described_filters
from apimetry.serving.openapi import answer, errors, json_content, operation, query_parameter, ref

_PAGE = """Single events of one application in `[start, end)`, a page at a time, the newest first.

Send `next` of an answer as `cursor`, beside the same parameters, for the page that follows. The pages together have
every event once that was stored when the first page was asked for. An event that arrives later is on a page only if
its time is not on the pages that were answered. Events at the same microsecond come in an order that never changes.

A search for a page ends after about two seconds, or 20 million events. Then `complete` is false, there may be fewer
events or none, `searched` says which part of the range was searched, and `next` goes on behind it."""
_EVENT = """One event by the `id` that a page of events has; 404 where the retention or a deletion took it."""
_LIVE = """Server-sent events: a `request` for each event that passes the filters, in the order of arrival.

A client gets at most 50 requests for each second. Of more, these are chosen evenly, and `thinned` says of how many. A
client that comes back within 60 s with `Last-Event-ID` misses nothing. `end` says why the stream ends: after 15
minutes, when the key is not valid any more, when the service stops. A comment comes every 15 s. A process has 20
streams at most; the next gets a 503. A client that takes nothing for 10 s is cut off.

A browser's `EventSource` sends no header, so it cannot send a key: use `fetch`."""
_STREAM = """retry: 2000

event: request
id: AAYiD3PzEqEAfIEIBoA0ZwAAAAA
data: {"timestamp":1726662038.120417,"method":"POST","url":"/v1/checkout","status_code":502}

event: thinned
data: {"shown":50,"of":3400,"second":1726662038}

event: end
data: {"reason":"15 minutes are over"}

"""
_STORED: Json = {
    "id": "AAYiD3PzEqEAfIEIBoA0ZwAAAAA",
    "timestamp": 1726662038.120417,
    "method": "POST",
    "url": "/v1/checkout",
    "route": "/v1/checkout",
    "function": "checkout",
    "status_code": 502,
    "response_us": 2411032,
    "ttfb_us": 2410010,
    "request_bytes": 400,
    "response_bytes": None,
    "consumer_id": "globex-prod",
    "error_type": "UpstreamError",
    "source": "web-2",
    "version": "2.5.0",
    "user_agent": "",
    "client_ip": "",
    "sample_weight": 1,
    "data": {"region": "eu"},
}
_EXAMPLE: Json = {
    "events": [_STORED],
    "next": None,
    "searched": {"start": 1726662000, "end": 1726665600},
    "complete": True,
}


def paths() -> Json:
    """Return the paths of single events."""
    failures = errors("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable")
    page = operation(
        "listEvents",
        "Single events, the newest first",
        {"200": answer("A page of events.", json_content(EventsPage, example=_EXAMPLE)), **failures},
        description=_PAGE,
        tags=["Analytics"],
        parameters=[*_paging(), _fields(), *described_filters(), ref("parameters", "Application")],
    )
    event = operation(
        "getEvent",
        "One event",
        {"200": answer("The event.", json_content(StoredEvent, example=_STORED)), **failures},
        description=_EVENT,
        tags=["Analytics"],
        parameters=[ref("parameters", "EventId"), _fields(), ref("parameters", "Application")],
    )
    return {"/v1/events": {"get": page}, "/v1/events/live": {"get": _live()}, "/v1/events/{id}": {"get": event}}


def _live() -> Json:
    content: Json = {CONTENT_TYPE: {"schema": {"type": "string"}, "example": _STREAM}}
    header: Json = {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The `id` of the last message that the client got: the stream begins behind it.",
        "schema": {"type": "string"},
        "example": _STORED["id"],
    }
    return operation(
        "streamEvents",
        "Events as they arrive",
        {
            "200": answer("The stream.", content),
            **errors("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable"),
        },
        description=_LIVE,
        tags=["Analytics"],
        parameters=[header, _fields(), *described_filters(), ref("parameters", "Application")],
    )


def _paging() -> list[Json]:
    time: Json = {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_TIME_S}
    return [
        query_parameter("start", "First second, since the epoch, UTC; else 24 hours before `end`.", time, 1726660800),
        query_parameter("end", "The second after the last one; else now.", time, 1726664400),
        query_parameter(
            "order", "By time.", {"type": "string", "enum": list(ORDERS), "default": ORDERS[0]}, ORDERS[0]
        ),
        query_parameter(
            "limit",
            "Events in the page.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
            DEFAULT_LIMIT,
        ),
        query_parameter(
            "cursor",
            "`next` of the page before. `start` and `end` are the first page's if they are absent.",
            {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
            "AAYiD3PzEqEAfIEIBoA0ZwAAAAEAAAAAZuq8gAAAAABm6sqQ",
        ),
        query_parameter(
            "trace_id",
            "The events of this trace alone.",
            {"type": "string", "pattern": "^[0-9a-fA-F]{32}$"},
            "0af7651916cd43dd8448eb211c80319c",
        ),
    ]


def _fields() -> Json:
    return query_parameter(
        "fields",
        "Only these fields, in this order, separated by commas, and the `id`.",
        {"type": "array", "items": {"type": "string", "enum": list(FIELDS)}},
        ["timestamp", "route", "status_code"],
        style="form",
        explode=False,
    )
