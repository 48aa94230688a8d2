"""Which format a log has, by its first lines. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from apimetry.cli.access_logs.lines import (
    US_PER_S,
    BadLine,
    Parser,
    combined_parser,
    parse_caddy,
    trailing_number,
    uvicorn_parser,
)

FORMATS = ("combined", "combined-s", "combined-us", "caddy", "uvicorn")
AUTO = "auto"
# Whole numbers after a line are Apache's %T (seconds) or %D (microseconds). No server that works takes a hundred
# seconds for each of the first requests, and none answers all of them in a tenth of a millisecond.
_LONGEST_SECONDS = 100


def parser_of(name: str, zone: tzinfo) -> Parser:
    """Return the parser of one of FORMATS; `zone` is that of times that name none."""
    if name == "caddy":
        return parse_caddy
    if name == "uvicorn":
        return uvicorn_parser(zone)
    return combined_parser({"combined": None, "combined-s": US_PER_S, "combined-us": 1}[name])


def detect(lines: Sequence[str], zone: tzinfo) -> str | None:
    """Return the one of FORMATS that reads most of the first lines; None where none reads any."""
    scores = {name: sum(_reads(parser_of(name, zone), line) for line in lines) for name in FORMATS}
    best = max(scores, key=lambda name: scores[name])
    if not scores[best]:
        # uvicorn's lines without a time are its own: they deserve its reason.
        return "uvicorn" if any(_is_timeless(line, zone) for line in lines) else None
    return _with_time(lines) if best == "combined" else best


def _reads(parser: Parser, line: str) -> bool:
    try:
        return parser(line) is not None
    except BadLine:
        return False


def _is_timeless(line: str, zone: tzinfo) -> bool:
    try:
        uvicorn_parser(zone)(line)
    except BadLine:
        return True
    return False


def _with_time(lines: Sequence[str]) -> str:
    numbers = [number for line in lines if (number := trailing_number(line)) is not None]
    if not numbers:
        return "combined"
    if any("." in number for number in numbers):
        return "combined-s"
    return "combined-us" if max(map(int, numbers)) >= _LONGEST_SECONDS else "combined-s"
