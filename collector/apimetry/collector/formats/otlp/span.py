"""A span as both encodings of OTLP give it: the parts that an event is made of.

Only the attributes that are named here are kept, with values of their type.
"""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Struct

from apimetry.collector.errors import DecodeError
from apimetry.collector.formats.decoding import MAX_EVENT_BYTES

_LARGEST: Final = 2**63
_WHOLE: Final = re.compile("-?[0-9]{1,19}")
SERVER: Final = 2
"""SPAN_KIND_SERVER."""
ERROR: Final = 2
"""STATUS_CODE_ERROR."""

Attributes = dict[str, Any]
"""Values by name: a number or None for NUMBERS, otherwise a text or None."""

OTHER: Final = "_OTHER"
"""The word of the conventions for what has no name there."""
STABLE_METHOD: Final = "http.request.method"
STABLE_STATUS: Final = "http.response.status_code"
EXCEPTION_TYPE: Final = "exception.type"
"""An attribute of a span's event."""
TEXTS: Final = frozenset(
    {
        STABLE_METHOD,
        "http.request.method_original",
        "http.route",
        "url.path",
        "url.query",
        "url.full",
        "code.function.name",
        "error.type",
        "enduser.id",
        "enduser.pseudo.id",
        "user.id",
        "client.address",
        "user_agent.original",
        # The names before version 1.20 of the semantic conventions.
        "http.method",
        "http.target",
        "http.url",
        "http.client_ip",
        "http.user_agent",
        "code.namespace",
        "code.function",
        # Of an exception, and of a resource.
        EXCEPTION_TYPE,
        "service.name",
        "service.version",
        "apimetry.url",
        "apimetry.client_ip",
        "apimetry.user_agent",
    }
)
"""The attributes with texts that an event may have."""
NUMBERS: Final = frozenset(
    {
        STABLE_STATUS,
        "http.request.body.size",
        "http.response.body.size",
        "http.status_code",
        "http.request_content_length",
        "http.response_content_length",
    }
)
"""The attributes with whole numbers that an event may have."""


class Span(Struct, gc=False):
    """A span of the kind SERVER, with the attributes of its exception. Times are ns since the epoch; 0 is unknown."""

    attributes: Attributes
    trace_id: bytes = b""
    span_id: bytes = b""
    trace_state: str = ""
    name: str = ""
    start_ns: int = 0
    end_ns: int = 0
    status: int = 0


Read = Span | Exception | None
"""A span that was read: None if its kind is not SERVER, or the error why it cannot be read."""


def too_large(body: bytes) -> DecodeError:
    """Return the error for a span of more than MAX_EVENT_BYTES."""
    return DecodeError(f"the span has {len(body)} bytes; at most {MAX_EVENT_BYTES} are allowed")


def as_text(value: object) -> str | None:
    """Return an attribute's value as a text, None for lists and maps. A number becomes one: an id of a user, say."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        return None
    return str(value) if isinstance(value, (int, float)) else None


def as_number(value: object) -> int | None:
    """Return an attribute's value as a whole number, None if it is none. It may be written as a text."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        return int(value) if _WHOLE.fullmatch(value) else None
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -_LARGEST <= value < _LARGEST else None
