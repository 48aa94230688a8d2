"""The collector's endpoint in the OpenAPI document; it is another service, at an address of its own."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.openapi.parts import (
    COUNT,
    answer,
    array,
    closed,
    errors,
    json_content,
    operation,
    ref,
)
from apimetry.query_api.openapi.parts import schema as schema_ref
from apimetry.query_api.pages.reference import ALIAS_OF

PATHS = ("/1/event/", "/1/event", "/1/events/", "/1/events")

_DESCRIPTION = """A write key, or an admin key that names the application. 200 means: the batch is on disk, and it
will be queryable exactly once.

Valid events are stored even where others are not: `details` names the first hundred that were rejected. A batch
without a valid event is a 400 with the same details, and nothing of it is stored; so is a body that cannot be read.
Strings over their limits are cut, unknown fields are ignored. A timestamp more than a day ahead, or older than the
application's retention, is rejected.

Send `X-Batch-Id`, and the batch is stored once, however often it comes within a day (or as long as its id is
among the newest million). The answer to one that was stored before says `"duplicate": true`.

`application/msgpack` is the middleware's own format. Bodies may be compressed with gzip or zstd; over 8 MiB as
they are sent, over 16 MiB inflated, or with over 10,000 events they are a 413."""
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
_MAX_BYTES = 2**53
_MAX_US = 2**40 - 1


def paths(port: int) -> Json:
    """Return the endpoint's four paths; `port` is where the collector most likely listens."""
    server = {
        "url": "http://{host}:{port}",
        "description": "The collector.",
        "variables": {"host": {"default": "127.0.0.1"}, "port": {"default": str(port)}},
    }
    names = ("sendEvents", "sendEventsWithoutSlash", "sendEventsPlural", "sendEventsPluralWithoutSlash")
    return {
        path: {"servers": [server], "post": _operation(name, path)} for path, name in zip(PATHS, names, strict=True)
    }


def _operation(name: str, path: str) -> Json:
    same = "" if path == PATHS[0] else f" (the same as `{PATHS[0]}`)"
    alias: Json = {ALIAS_OF: PATHS[0]} if same else {}
    accepted = json_content("Accepted", example={"accepted": 1, "rejected": 0})
    body = json_content("Events", example=[_EVENT])
    body["application/msgpack"] = {"schema": {"type": "string", "format": "binary"}}
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
        f"Send events{same}",
        {"200": answer("On disk, and stored once.", accepted), **failures},
        description=_DESCRIPTION,
        tags=["Events"],
        parameters=[
            ref("parameters", "Application"),
            _header("X-Batch-Id", "Names the batch.", {"type": "string", "maxLength": 128}, "batch-1"),
            _header(
                "Content-Encoding",
                "How the body is compressed.",
                {"type": "string", "enum": ["identity", "gzip", "zstd"]},
                "identity",
            ),
        ],
        requestBody={"required": True, "content": body},
        **alias,
    )


def _header(name: str, description: str, shape: Json, example: str) -> Json:
    return {"name": name, "in": "header", "description": description, "schema": shape, "example": example}


def schemas() -> Json:
    """Return the schemas of events."""
    detail = closed({"index": COUNT, "field": {"type": "string"}, "message": {"type": "string"}})
    return {
        "Events": array(schema_ref("Event"), maxItems=10_000),
        "Event": {
            "type": "object",
            "properties": _fields(),
            "required": ["timestamp", "method", "url", "status_code"],
        },
        "Accepted": closed(
            {
                "accepted": COUNT,
                "rejected": COUNT,
                "duplicate": {"const": True, "description": "The batch was stored before: nothing new is stored."},
                "details": array(detail, maxItems=100),
            },
            optional=("duplicate", "details"),
        ),
    }


def _fields() -> Json:
    text: Json = {"type": ["string", "null"]}

    def optional(most: int, meaning: str, *, least: int = 0) -> Json:
        return {"type": ["integer", "null"], "minimum": least, "maximum": most, "description": meaning}

    return {
        "timestamp": {"type": "number", "description": "Seconds since the epoch."},
        "method": {"type": "string", "description": "One that nobody knows is `OTHER`, its text `data.method`."},
        "url": {"type": "string"},
        "response_us": optional(_MAX_US, "Microseconds; null or absent where it was not measured."),
        "status_code": {"type": "integer", "minimum": 100, "maximum": 999},
        "consumer_id": text,
        "function": {**text, "description": "`unknown` where it is missing."},
        "route": {**text, "description": "The template of the path."},
        "ttfb_us": optional(_MAX_US, "Until the first byte, microseconds."),
        "request_bytes": optional(_MAX_BYTES, "Of the request's body; null: nobody counted."),
        "response_bytes": optional(_MAX_BYTES, "Of the answer's body."),
        "error_type": {**text, "description": "The class of the exception."},
        "source": {**text, "description": "Which service, host or worker sent it."},
        "version": {**text, "description": "The host application's."},
        "client_ip": text,
        "user_agent": text,
        "sample_weight": optional(1_000_000, "How many requests it stands for.", least=1),
        "data": {
            "type": ["object", "null"],
            "additionalProperties": {"type": "string"},
            "description": "Whatever else; the first 64 entries are kept.",
        },
    }
