"""The collector's part of the OpenAPI document, which the query service serves. Pure.

Its paths, members and limits come from the collector's own code.
"""

from __future__ import annotations

from apimetry.collector.body.inflate import ENCODINGS
from apimetry.collector.formats import msgpack
from apimetry.collector.formats.batch import MAX_DETAILS
from apimetry.collector.formats.event_structs import DATA_ENTRIES_LIMIT, STRING_LIMITS, LenientJSONEvent
from apimetry.collector.formats.otlp.responses import JSON, PROTOBUF
from apimetry.collector.formats.responses import Accepted
from apimetry.collector.handler import PATHS
from apimetry.collector.intake import MAX_BATCH_ID_CHARACTERS
from apimetry.collector.otlp_handler import PATH as SPANS_PATH
from apimetry.collector.settings import MIB, CollectorSettings
from apimetry.collector.traffic.exposition import PROTOBUF_MEDIA_TYPE
from apimetry.collector.traffic.handler import PATH as TRAFFIC_PATH
from apimetry.serving.openapi import (
    ALIAS_OF,
    Fragment,
    Json,
    answer,
    array,
    closed,
    errors,
    json_content,
    operation,
    ref,
    struct_schema,
)
from apimetry.serving.openapi import schema as schema_ref

DEFAULT_PORT = 7998
"""The port of a collector without a setting for it."""

_DESCRIPTION = """A write key, or an admin key that names the application. 200 means: the batch is on disk, and it
will be queryable exactly once.

Valid events are stored even where others are not: `details` names the first {details} that were rejected. A batch
without a valid event is a 400 with the same details, and nothing of it is stored; so is a body that cannot be read.
Strings over their limits are cut, unknown fields are ignored. A timestamp more than a day ahead, or older than the
application's retention, is rejected.

Send `X-Batch-Id`, and the batch is stored once, however often it comes within a day (or as long as its id is
among the newest million). The answer to one that was stored before says `"duplicate": true`.

`{msgpack}` is the middleware's own format. Bodies may be compressed with {encodings}; over {body_mib} MiB as they
are sent, over {inflated_mib} MiB inflated, or with over {events:,} events they are a 413."""
_EVENT: Json = {
    "timestamp": 1413378000,
    "consumer_id": "acme",
    "method": "GET",
    "url": "/v1/scores/7",
    "route": "/v1/scores/{identity}",
    "function": "show_score",
    "response_us": 1250,
    "status_code": 200,
}
_NAMES = ("sendEvents", "sendEventsWithoutSlash", "sendEventsPlural", "sendEventsPluralWithoutSlash")


def describe(settings: CollectorSettings, port: int = DEFAULT_PORT) -> Fragment:
    """Return the endpoint's paths and schemas, for a collector with `settings` that probably listens on `port`."""
    server = {
        "url": "http://{host}:{port}",
        "description": "The collector.",
        "variables": {"host": {"default": "127.0.0.1"}, "port": {"default": str(port)}},
    }
    description = _DESCRIPTION.format(
        details=MAX_DETAILS,
        msgpack=msgpack.CONTENT_TYPE,
        encodings=" or ".join(ENCODINGS),
        body_mib=settings.max_body_bytes // MIB,
        inflated_mib=settings.max_inflated_bytes // MIB,
        events=settings.max_batch_events,
    )
    paths: Json = {
        path: {"servers": [server], "post": _operation(name, path, description)}
        for path, name in zip(PATHS, _NAMES, strict=True)
    }
    paths[SPANS_PATH] = {"servers": [server], "post": _spans_operation()}
    paths[TRAFFIC_PATH] = {"servers": [server], "get": _traffic_operation()}
    return Fragment(paths, _schemas(settings.max_batch_events))


def _operation(name: str, path: str, description: str) -> Json:
    suffix = "" if path == PATHS[0] else f" (the same as `{PATHS[0]}`)"
    alias: Json = {ALIAS_OF: PATHS[0]} if suffix else {}
    accepted = json_content(Accepted, example={"accepted": 1, "rejected": 0})
    body = json_content("Events", example=[_EVENT])
    body[msgpack.CONTENT_TYPE] = {"schema": {"type": "string", "format": "binary"}}
    failures = errors(
        "BadRequest",
        "Unauthorized",
        "Forbidden",
        "NotFound",
        "TooSlow",
        "PayloadTooLarge",
        "UnsupportedMediaType",
        "TooManyRequests",
        "Unavailable",
    )
    return operation(
        name,
        f"Send events{suffix}",
        {"200": answer("On disk, and stored once.", accepted), **failures},
        description=description,
        tags=["Events"],
        parameters=[
            ref("parameters", "Application"),
            _header(
                "X-Batch-Id", "Names the batch.", {"type": "string", "maxLength": MAX_BATCH_ID_CHARACTERS}, "batch-1"
            ),
            _header("X-Batch-Attempt", "`1`: the batch was never sent before.", {"type": "string"}, "1"),
            _ENCODING,
        ],
        requestBody={"required": True, "content": body},
        **alias,
    )


def _spans_operation() -> Json:
    anything: Json = {"schema": {"type": "object"}}
    binary: Json = {"schema": {"type": "string", "format": "binary"}}
    status: Json = {
        "schema": closed({"message": {"type": "string"}}),
        "example": {"message": "The spool is full"},
    }
    refused: Json = {
        code: answer(f"{meaning} A `Status` of OTLP.", {JSON: status, PROTOBUF: binary})
        for code, meaning in _SPAN_REFUSALS.items()
    }
    example: Json = {"partialSuccess": {"rejectedSpans": "1", "errorMessage": "1 span was rejected"}}
    return operation(
        "sendSpans",
        "Send spans (OTLP)",
        {"200": answer(_SPANS_TAKEN, {JSON: {**anything, "example": example}, PROTOBUF: binary}), **refused},
        description=_SPANS_DESCRIPTION,
        tags=["Events"],
        parameters=[ref("parameters", "Application"), _ENCODING],
        requestBody={"required": True, "content": {PROTOBUF: binary, JSON: {**anything, "example": _SPANS}}},
    )


def _traffic_operation() -> Json:
    text: Json = {"type": "string"}
    series: Json = {"text/plain": {"schema": text}, PROTOBUF_MEDIA_TYPE: {"schema": {**text, "format": "binary"}}}
    return operation(
        "getTraffic",
        "Requests of your applications, for Prometheus",
        {
            "200": answer("Counters and histograms.", series),
            **errors("BadRequest", "Unauthorized", "Forbidden", "NotFound"),
        },
        description=_TRAFFIC,
        tags=["Events"],
        parameters=[ref("parameters", "Application")],
    )


_TRAFFIC = """A read key, or an admin key: of one application, or of all. The collector counts only where the operator
has set `--traffic-metrics`; elsewhere this is a 404. Prometheus chooses the format by its `Accept` header."""


def _header(name: str, description: str, shape: Json, example: str) -> Json:
    return {"name": name, "in": "header", "description": description, "schema": shape, "example": example}


_ENCODING = _header(
    "Content-Encoding",
    "How the body is compressed.",
    {"type": "string", "enum": ["identity", *ENCODINGS]},
    "identity",
)
_SPANS_TAKEN = "On disk, and stored once. `partial_success` counts the server spans that cannot be stored."
_SPANS_DESCRIPTION = """OTLP over HTTP: an `ExportTraceServiceRequest`, answered with an `ExportTraceServiceResponse`
in the same encoding. HTTP server spans become events, other spans are left out. docs/opentelemetry.md has the
attributes that are read, and the settings of exporters."""
_SPAN_REFUSALS = {
    "400": "The body cannot be read.",
    "401": "No key, or a wrong one.",
    "403": "A key of another kind.",
    "404": "No such application.",
    "413": "The body or the number of spans is over the limit.",
    "415": "Another content type or encoding.",
    "429": "Over a limit. `Retry-After` says when to send again.",
    "503": "Not now. `Retry-After` says when to send again.",
}
_SPANS: Json = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "checkout"}}]},
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": "0af7651916cd43dd8448eb211c80319c",
                            "spanId": "b7ad6b7169203331",
                            "name": "GET /v1/scores/{identity}",
                            "kind": 2,
                            "startTimeUnixNano": "1413378000000000000",
                            "endTimeUnixNano": "1413378000001250000",
                            "attributes": [
                                {"key": "http.request.method", "value": {"stringValue": "GET"}},
                                {"key": "url.path", "value": {"stringValue": "/v1/scores/7"}},
                                {"key": "http.response.status_code", "value": {"intValue": "200"}},
                            ],
                        }
                    ]
                }
            ],
        }
    ]
}


def _schemas(max_events: int) -> Json:
    return {
        "Events": array(schema_ref("Event"), maxItems=max_events),
        # Longer strings and further members are taken too: they are cut, or ignored.
        "Event": struct_schema(LenientJSONEvent, {name: _described(name) for name in _MEANINGS}),
    }


_MEANINGS = {
    "timestamp": "Seconds since the epoch.",
    "method": "One that nobody knows is `OTHER`, its text `data.method`.",
    "url": "Path and query string.",
    "consumer_id": "Who sent the request.",
    "function": "`unknown` where it is missing.",
    "route": "The template of the path.",
    "response_us": "Microseconds; null or absent where it was not measured.",
    "ttfb_us": "Until the first byte, microseconds.",
    "request_bytes": "Of the request's body; null: nobody counted.",
    "response_bytes": "Of the answer's body.",
    "error_type": "The class of the exception.",
    "source": "Which service, host or worker sent it.",
    "version": "The host application's.",
    "client_ip": "The client's address.",
    "user_agent": "The client's software.",
    "sample_weight": "How many requests it stands for.",
    "data": f"Whatever else; the first {DATA_ENTRIES_LIMIT} entries are kept.",
}


def _described(name: str) -> Json:
    cut = f" Cut at {STRING_LIMITS[name]} characters." if name in STRING_LIMITS else ""
    return {"description": f"{_MEANINGS[name]}{cut}"}
