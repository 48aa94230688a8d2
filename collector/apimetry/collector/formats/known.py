"""The formats that the collector takes, by content type. A new one is a module beside this and a line here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from apimetry.collector.formats import json, msgpack
from apimetry.collector.formats.answers import answer_in_json
from apimetry.collector.formats.batch import Batch
from apimetry.collector.formats.blocks import Target
from apimetry.collector.outcome import Outcome
from apimetry.serving.errors import UnsupportedMediaType


class Decode(Protocol):  # noqa: D101 - the next line says it
    def __call__(self, body: bytes, target: Target, *, max_events: int) -> Batch:
        """Return what `body` holds; raise DecodeError or TooManyEventsError."""


@dataclass(frozen=True)
class Format:
    """One format: bytes to a batch, and what became of the batch to an answer."""

    decode: Decode
    answer: Callable[[Outcome], web.Response]


FORMATS = {
    json.CONTENT_TYPE: Format(json.decode_json, answer_in_json),
    msgpack.CONTENT_TYPE: Format(msgpack.decode_msgpack, answer_in_json),
}


def format_of(request: web.Request) -> Format:
    """Return the format of a request's body; raise UnsupportedMediaType for one that is not known."""
    found = FORMATS.get(request.content_type) if "Content-Type" in request.headers else None
    if found is None:
        sent = request.headers.get("Content-Type", "none")
        raise UnsupportedMediaType(f"Content type {sent!r} is not known; allowed are {', '.join(FORMATS)}")
    return found
