"""Read entries of JSON logs, and the members of an entry with their types. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from apimetry.cli.access_logs.lines import BadLine, read_size, read_status

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_HEX = re.compile(r"\\x([0-9A-Fa-f]{2})")
_LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class Entry:
    """One JSON object of a log. Its methods raise BadLine where a member has another type."""

    members: dict[str, Any]

    def text(self, name: str) -> str:
        """Return a member as text; empty where it is missing."""
        value = self.members.get(name)
        if value is None:
            return ""
        if isinstance(value, str):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return plain(value)
        raise BadLine(f"its {name} is no text")

    def whole(self, name: str) -> int:
        """Return a member as a whole number."""
        value = self.members.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _LARGEST:
            raise BadLine(f"its {name} is no whole number")
        return value

    def status(self, name: str) -> int:
        """Return a member as an HTTP status."""
        return read_status(self.text(name))

    def size(self, name: str) -> int | None:
        """Return a member as a number of bytes; None where it is missing."""
        text = self.text(name)
        return read_size(text) if text else None


def read_entry(text: str) -> Entry:
    r"""Decode a JSON object, also with nginx's `\xHH`, which JSON does not have; raise BadLine."""
    if not text.lstrip()[:1] == "{":
        raise BadLine("it is no JSON object")
    try:
        return Entry(_decode(text))
    except (msgspec.DecodeError, RecursionError, UnicodeError, ValueError):
        if "\\x" not in text:
            raise BadLine("it is no JSON object") from None
    try:
        return Entry(_decode(_HEX.sub(r"\\u00\1", text)))
    except (msgspec.DecodeError, RecursionError, UnicodeError, ValueError):
        raise BadLine("it is no JSON object") from None


def plain(number: float) -> str:
    """Return a number as digits without an exponent; raise BadLine for one that is out of range."""
    if isinstance(number, int):
        if abs(number) >= _LARGEST:
            raise BadLine("one of its numbers is out of range")
        return str(number)
    if not math.isfinite(number) or abs(number) >= _LARGEST:
        raise BadLine("one of its numbers is out of range")
    return f"{number:.9f}".rstrip("0").rstrip(".")
