"""The whole OpenAPI document."""

from __future__ import annotations

from importlib.metadata import version

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.http.listing import DEFAULT_PAGE, MAX_OFFSET, MAX_PAGE
from apimetry.query_api.openapi import (
    alerts,
    breakdown,
    collectors,
    events,
    explain,
    export,
    jobs,
    latency,
    management,
    me,
    overview,
    quality,
    sharing,
    summary,
    timeseries,
    usage,
    values,
    versions,
)
from apimetry.query_api.settings import QuerySettings
from apimetry.serving.errors import Error
from apimetry.serving.openapi import (
    PUBLIC,
    Fragment,
    answer,
    answer_schemas,
    classes_in,
    joined,
    json_content,
    operation,
    schema,
)
from apimetry.serving.service import Health, Readiness

_DESCRIPTION = """Self-hosted analytics for HTTP APIs: questions about the events that apimetry's middleware recorded.

A key may be sent in three ways, on every endpoint: `X-API-Key: KEY`, `Authorization: Bearer KEY`, or
`X-Auth-User: APPLICATION_ID` with `X-Auth-Key: KEY`. Read keys query one application; admin keys may do everything in
their organization, and name the application with `?application=ID` where an endpoint is about one.

While a shard of a ClickHouse cluster cannot be reached, questions are answered 503, with the shard's number. With
`?partial=1` questions about an application are answered from the other shards; the answer then has `missing_shards`.

Whole numbers are written without a fraction (5, not 5.0), names are of printable characters, and an empty parameter
counts as absent."""

_ERRORS = {
    "BadRequest": (
        "The message names the parameter, its value and what is allowed.",
        "fill is 'x'; allowed: zero, null",
    ),
    "Unauthorized": ("No key, or one that is not valid.", "Invalid or missing API key"),
    "Forbidden": ("A key of another kind, or more than the plan allows.", "Only Admin keys can manage applications"),
    "NotFound": ("Nothing of that name in this organization.", "No application 'x' in this organization"),
    "Conflict": ("It exists already, or its state forbids the change.", "'shop' exists already"),
    "PayloadTooLarge": ("The body is over the limit.", "The request body is too large"),
    "TooSlow": ("The body did not arrive in time.", "The body was not complete after 30 s"),
    "TooManyRequests": (
        "Over the limit of this key, or over the calls per month of its organization's plan.",
        "This key sends more events than it may",
    ),
    "UnsupportedMediaType": (
        "The body is of no known type.",
        "Content-Type is 'text/plain'; allowed: application/json",
    ),
    "Unavailable": ("Try again after Retry-After seconds.", "The store is not available"),
}
_REASONS = {
    "BadRequest": "Bad Request",
    "NotFound": "Not Found",
    "PayloadTooLarge": "Request Entity Too Large",
    "TooManyRequests": "Too Many Requests",
    "TooSlow": "Request Timeout",
    "UnsupportedMediaType": "Unsupported Media Type",
    "Unavailable": "Service Unavailable",
}


def build_document(settings: QuerySettings, collector: Fragment) -> Json:
    """Return the OpenAPI 3.1 document of a service with these settings, and of the `collector` beside it."""
    paths: Json = {
        **collector.paths,
        **me.paths(),
        **timeseries.paths(settings),
        **events.paths(),
        **summary.paths(),
        **latency.paths(),
        **quality.paths(),
        **export.paths(),
        **usage.paths(),
        **breakdown.paths(),
        **values.paths(),
        **versions.paths(),
        **explain.paths(),
        **overview.paths(),
        **management.paths(),
        **sharing.paths(),
        **collectors.paths(),
        **alerts.paths(),
        **jobs.paths(),
        **_service_paths(),
    }
    responses: Json = {name: _error(name) for name in _ERRORS}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "apimetry",
            "summary": "Self-hosted API analytics",
            "description": _DESCRIPTION,
            "version": version("apimetry"),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"apiKey": []}, {"bearer": []}, {"authUser": [], "authKey": []}],
        "tags": [
            {"name": "Events", "description": "What the collector takes; write keys."},
            {"name": "Analytics", "description": "Questions about recorded events."},
            {"name": "Management", "description": "The organization, its applications and keys; admin keys only."},
            {"name": "Access", "description": "Sessions and links: what stands for a key while somebody looks."},
            {
                "name": "Alerts",
                "description": "Rules that are evaluated every minute; admin keys, and read keys to look.",
            },
            {"name": "Deletion", "description": "Stored events are removed for good; admin keys only."},
            {"name": "Service", "description": "The service itself; no key needed."},
        ],
        "paths": paths,
        "components": {
            "securitySchemes": _security_schemes(),
            "parameters": _parameters(),
            "responses": responses,
            "schemas": _schemas((paths, responses), collector.schemas),
        },
    }


def _schemas(parts: object, of_collector: Json) -> Json:
    """Return every named schema: those of the answers that `parts` refer to, and those of requests."""
    answers = sorted(classes_in(parts), key=lambda shape: shape.__name__)
    return joined(answer_schemas(*answers), management.schemas(), sharing.schemas(), alerts.schemas(), of_collector)


def _error(name: str) -> Json:
    description, message = _ERRORS[name]
    example = {"error": _REASONS.get(name, name), "message": message}
    response = answer(description, json_content(Error, example=example))
    if name in ("Unavailable", "TooManyRequests"):
        response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return response


def _security_schemes() -> Json:
    def header(name: str, description: str) -> Json:
        return {"type": "apiKey", "in": "header", "name": name, "description": description}

    return {
        "apiKey": header("X-API-Key", "The key."),
        "bearer": {"type": "http", "scheme": "bearer", "description": "The key as a bearer token."},
        "authUser": header("X-Auth-User", "The application's id; together with X-Auth-Key."),
        "authKey": header("X-Auth-Key", "The key; together with X-Auth-User."),
    }


def _parameters() -> Json:
    def parameter(name: str, location: str, description: str, shape: Json, example: object) -> Json:
        return {
            "name": name,
            "in": location,
            "required": location == "path",
            "description": description,
            **({"allowEmptyValue": True} if location == "query" else {}),
            "schema": shape,
            "example": example,
        }

    text: Json = {"type": "string", "minLength": 1}
    return {
        "Application": parameter(
            "application", "query", "The application. A read key implies its own.", text, "shop"
        ),
        "ApplicationId": parameter("id", "path", "The application's id.", text, "shop"),
        "KeyId": parameter("id", "path", "The key's id (not the key).", text, "507f1f77bcf86cd799439011"),
        "TokenId": parameter("id", "path", "The id of the session or link.", text, "507f1f77bcf86cd799439015"),
        "AlertId": parameter("id", "path", "The alert rule's id.", text, "507f1f77bcf86cd799439012"),
        "EventId": parameter("id", "path", "The event's `id`.", text, "AAYiD3PzEqEAfIEIBoA0ZwAAAAA"),
        "Consumer": parameter("consumer", "path", "The consumer's id, percent-encoded.", text, "acme"),
        "JobId": parameter("id", "path", "The job's id.", text, "507f1f77bcf86cd799439014"),
        "Limit": parameter(
            "limit",
            "query",
            "Rows in the page.",
            {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE},
            100,
        ),
        "Offset": parameter(
            "offset",
            "query",
            "Rows before the page.",
            {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0},
            0,
        ),
    }


def _service_paths() -> Json:
    def page(name: str, summary: str, media_type: str, shape: Json) -> Json:
        responses: Json = {"200": answer(summary, {media_type: {"schema": shape}})}
        return {"get": operation(name, summary, responses, tags=["Service"], security=PUBLIC)}

    text: Json = {"type": "string"}
    ready = json_content(Readiness, example={"ready": True, "reasons": []})
    unready = json_content(Readiness, example={"ready": False, "reasons": ["the store is not available"]})
    return {
        "/": page("getStartPage", "The start page.", "text/html", text),
        "/docs": page("getReference", "This document as a page.", "text/html", text),
        "/openapi.json": page("getOpenAPI", "This document.", "application/json", {"type": "object"}),
        "/health": page("getHealth", "Answers while the process serves.", "application/json", schema(Health)),
        "/ready": {
            "get": operation(
                "getReadiness",
                "Whether questions can be answered now.",
                {"200": answer("They can.", ready), "503": answer("They cannot; says why.", unready)},
                tags=["Service"],
                security=PUBLIC,
            )
        },
        "/metrics": page("getMetrics", "Figures in the Prometheus text format.", "text/plain", text),
    }
