"""The responses of OTLP over HTTP: ExportTraceServiceResponse, and Status for errors, in the request's encoding.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp-response
"""

from __future__ import annotations

from aiohttp import web

from apimetry.collector.formats.otlp.messages import encode_partial_success, encode_status
from apimetry.collector.outcome import Outcome
from apimetry.serving.service import json_response

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
_MAX_MESSAGE_CHARACTERS = 1000


def respond_in_protobuf(outcome: Outcome) -> web.Response:
    """Return a 200: an empty response, or one with `partial_success`."""
    body = encode_partial_success(outcome.rejected, _describe(outcome)) if outcome.rejected else b""
    return web.Response(body=body, content_type=PROTOBUF)


def respond_in_json(outcome: Outcome) -> web.Response:
    """Return a 200: an empty object, or one with `partialSuccess`."""
    if not outcome.rejected:
        return json_response({})
    # A number of 64 bits is a text in protobuf's JSON.
    return json_response(
        {"partialSuccess": {"rejectedSpans": str(outcome.rejected), "errorMessage": _describe(outcome)}}
    )


def as_status(response: web.Response, message: str, content_type: str) -> web.Response:
    """Return an error as a Status with the message, and with the status code and headers of `response`."""
    headers = {
        name: value for name, value in response.headers.items() if name not in ("Content-Type", "Content-Length")
    }
    if content_type == JSON:
        return json_response({"message": message}, response.status, headers)
    return web.Response(status=response.status, body=encode_status(message), content_type=PROTOBUF, headers=headers)


def _describe(outcome: Outcome) -> str:
    """Return a text about the rejected spans, which exporters log."""
    spans = "span was" if outcome.rejected == 1 else "spans were"
    text = f"{outcome.rejected} {spans} rejected"
    if outcome.details:
        first = outcome.details[0]
        field = f"{first.field}: " if first.field else ""
        text = f"{text}; the first is number {first.index + 1} of the request: {field}{first.message}"
    return text[:_MAX_MESSAGE_CHARACTERS]
