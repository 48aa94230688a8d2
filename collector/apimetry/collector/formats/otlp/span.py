"""A span as both encodings of OTLP give it: the parts that an event is made of.

Only the attributes that are named here are kept, with values of their type.
"""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Struct

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
STABLE_TEXTS: Final = (
    STABLE_METHOD,
    "http.route",
    "url.path",
    "url.query",
    "code.function.name",
    "error.type",
    "enduser.id",
    "enduser.pseudo.id",
    "user.id",
    "code.namespace",
    "code.function",
)
PRIVATE_TEXTS: Final = ("client.address", "user_agent.original", "http.client_ip", "http.user_agent")
"""They are read where the resource says so."""
STABLE_NUMBERS: Final = (STABLE_STATUS, "http.request.body.size", "http.response.body.size")
OTHER_TEXTS: Final = (
    "http.request.method_original",
    "url.full",
    "http.method",
    "http.target",
    "http.url",
)
"""The names before version 1.20 of the semantic conventions, and rare ones. A span that `is_stable` needs none."""
OTHER_NUMBERS: Final = ("http.status_code", "http.request_content_length", "http.response_content_length")
NUMBERS: Final = frozenset(STABLE_NUMBERS + OTHER_NUMBERS)
"""The attributes with whole numbers. All others have texts."""
RESOURCE_TEXTS: Final = (
    "service.name",
    "service.version",
    "apimetry.url",
    "apimetry.client_ip",
    "apimetry.user_agent",
)
EXCEPTION_TYPE: Final = "exception.type"
"""The attribute of a span's event."""


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


def is_stable(attributes: Attributes) -> bool:
    """Return whether these attributes suffice: the span follows the stable conventions, and has a usual method."""
    get = attributes.get
    return get(STABLE_STATUS) is not None and get("url.path") is not None and get(STABLE_METHOD, OTHER) != OTHER


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
        return int(value) if value.is_integer() and -_LARGEST <= value < _LARGEST else None
    if isinstance(value, str):
        return int(value) if _WHOLE.fullmatch(value) else None
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -_LARGEST <= value < _LARGEST else None
