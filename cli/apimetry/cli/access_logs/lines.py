"""A request as a server's log tells it, and why a line cannot be read. Pure.

A parser returns None for a line that is about something else than a request, and raises BadLine for one that it
cannot read. The message of a BadLine is one of few sentences: nothing of the line stands in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

US_PER_S = 1_000_000
_LARGEST = 2**53


class BadLine(ValueError):
    """A line that cannot be read; the message says why and repeats nothing of the line."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A request as a server wrote it down; None where the line does not say."""

    time_us: int | None
    """Microseconds since the epoch."""
    method: str
    """Empty where the request was none of HTTP."""
    target: str
    """The path with its query, as it was sent; empty where the request was none of HTTP."""
    status: int
    response_us: int | None = None
    duration: str = ""
    """Which field the response time was taken from, and its unit; empty where there is none."""
    request_bytes: int | None = None
    response_bytes: int | None = None
    address: str = ""
    user: str = ""
    user_agent: str = ""


Parser = Callable[[str], "LogLine | None"]


def read_status(text: str) -> int:
    """Return a status of HTTP; raises BadLine."""
    if len(text) == 3 and text.isascii() and text.isdigit() and int(text) >= 100:
        return int(text)
    raise BadLine("its status is none of HTTP")


def read_size(text: str) -> int | None:
    """Return a number of bytes, 0 for `-` as Apache writes it; None where it is not known; raises BadLine."""
    if text == "-":
        return 0
    if text.startswith("+"):
        # HAProxy wrote the line before the answer had ended.
        return None
    if len(text) <= 16 and text.isascii() and text.isdigit() and int(text) < _LARGEST:
        return int(text)
    raise BadLine("its number of bytes cannot be read")


def known(text: str) -> str:
    """Return the text, empty for `-`, which logs write for nothing."""
    return "" if text == "-" else text
