"""The formats of events and of spans, by content type. A new format needs a module and a line in its table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from apimetry.collector.formats import json, msgpack
from apimetry.collector.formats.batch import Batch
from apimetry.collector.formats.blocks import Target
from apimetry.collector.formats.otlp import responses as otlp
from apimetry.collector.formats.otlp.decode import decode_json, decode_protobuf
from apimetry.collector.formats.responses import respond_in_json
from apimetry.collector.outcome import Outcome
from apimetry.serving.errors import UnsupportedMediaType


class Decode(Protocol):
    """Decodes the bodies of one format."""

    def __call__(self, body: bytes, target: Target, *, max_events: int) -> Batch:
        """Return the batch in `body`; raise DecodeError or TooManyEventsError."""


@dataclass(frozen=True)
class Format:
    """One format: `decode` makes a batch from a body, `respond` makes a response from the batch's outcome."""

    decode: Decode
    respond: Callable[[Outcome], web.Response]


FORMATS = {
    json.CONTENT_TYPE: Format(json.decode_json, respond_in_json),
    msgpack.CONTENT_TYPE: Format(msgpack.decode_msgpack, respond_in_json),
}

SPAN_FORMATS = {
    otlp.PROTOBUF: Format(decode_protobuf, otlp.respond_in_protobuf),
    otlp.JSON: Format(decode_json, otlp.respond_in_json),
}


def format_of(request: web.Request, formats: Mapping[str, Format] = FORMATS) -> Format:
    """Return the format of a request's body; raise UnsupportedMediaType for an unknown content type."""
    format_ = formats.get(request.content_type) if "Content-Type" in request.headers else None
    if format_ is None:
        content_type = request.headers.get("Content-Type", "none")
        raise UnsupportedMediaType(f"Content type {content_type!r} is not known; allowed are {', '.join(formats)}")
    return format_
