"""Read the ids of a W3C `traceparent` header, in the exporter's thread.

Source: https://www.w3.org/TR/trace-context/#traceparent-header
"""

from __future__ import annotations

import re
from typing import Final

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16


def read_traceparent(header: bytes | str) -> dict[str, str]:
    """Return ``trace_id`` and ``span_id``, in hexadecimal; empty if the header is not valid.

    The span is the caller's. A later version than 00 is read as far as version 00 goes.
    """
    text = header.decode("latin-1") if isinstance(header, bytes) else header
    match = _TRACEPARENT.fullmatch(text.strip(" \t"))
    if match is None:
        return {}
    version, trace_id, span_id, rest = match.groups()
    if version == "ff" or (version == "00" and rest) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return {}
    return {"trace_id": trace_id, "span_id": span_id}
