"""A request in a server's log, and the error for a line that cannot be read. Pure.

A parser returns None for a line that is not about a request. It raises BadLine for a line that it cannot read. The
message of a BadLine never contains text of the line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

US_PER_S = 1_000_000
_LARGEST = 2**53


class BadLine(ValueError):
    """A line that cannot be read; the message says why, without text of the line."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One request of a log; a value that the line does not have is None."""

    time_us: int | None
    """Microseconds since the epoch."""
    method: str
    """Empty where the request was not HTTP."""
    target: str
    """The path with its query, as the client sent it; empty where the request was not HTTP."""
    status: int
    response_us: int | None = None
    duration: str = ""
    """The field that has the response time, and its unit; empty without a response time."""
    request_bytes: int | None = None
    response_bytes: int | None = None
    address: str = ""
    user: str = ""
    user_agent: str = ""


Parser = Callable[[str], "LogLine | None"]


def read_status(text: str) -> int:
    """Return an HTTP status; raise BadLine."""
    if len(text) == 3 and text.isascii() and text.isdigit() and int(text) >= 100:
        return int(text)
    raise BadLine("its status is none of HTTP")


def read_size(text: str) -> int | None:
    """Return a number of bytes; 0 for `-`, as Apache writes 0; None where the number is not final; raise BadLine."""
    if text == "-":
        return 0
    if text.startswith("+"):
        # HAProxy wrote the line before the response ended.
        return None
    if len(text) <= 16 and text.isascii() and text.isdigit() and int(text) < _LARGEST:
        return int(text)
    raise BadLine("its number of bytes cannot be read")


def dash_as_empty(text: str) -> str:
    """Return the text; an empty text for `-`, which logs write for a missing value."""
    return "" if text == "-" else text
