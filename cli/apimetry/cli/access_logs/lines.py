"""One line of an access log, taken apart: Apache's and nginx's combined, Caddy's JSON, uvicorn's. Pure.

A parser returns None for a line that is about something else than a request, and raises BadLine for one that it
cannot read. Sources: Apache's mod_log_config, nginx's log module, Caddy's `log` directive, uvicorn's logging.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo
from functools import lru_cache

import msgspec

US_PER_S = 1_000_000

_COMBINED = re.compile(
    r"^(?P<head>\S.*?) \[(?P<time>[^\]]+)\] \"(?P<request>(?:[^\"\\]|\\.)*)\" (?P<status>\d{3}) (?P<bytes>\d+|-)"
    r"(?: \"(?:[^\"\\]|\\.)*\" \"(?P<agent>(?:[^\"\\]|\\.)*)\")?(?P<rest>.*)$"
)
_REQUEST = re.compile(r"^(?P<method>[A-Za-z-]{1,32}) (?P<target>\S.*?)(?: HTTP/[0-9.]+)?$")
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)")
_NAMED = re.compile(r"(?:^|\s)(?:rt|request_time)=\"?(\d+(?:\.\d+)?)")
_BOTH = re.compile(r"^\s*\"?(\d+)/(\d+)\"?(?:\s|$)")
_TRAILING = re.compile(r"^\s*\"?(\d+(?:\.\d+)?)\"?(?:\s|$)")
_UVICORN = re.compile(
    r"^(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)?.*?"
    r"(?P<address>[0-9A-Fa-f.:\[\]]+):\d+ - \"(?P<method>[A-Z-]{1,32}) (?P<target>\S+) HTTP/[\d.]+\""
    r" (?P<status>\d{3})\b"
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS_US = {"ns": 0.001, "us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7, "h": 3.6e9}


class BadLine(ValueError):
    """A line that cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A request as a web server wrote it down; None where it did not say."""

    time_us: int
    method: str
    target: str
    status: int
    response_us: int | None = None
    request_bytes: int | None = None
    response_bytes: int | None = None
    address: str = ""
    user: str = ""
    user_agent: str = ""


Parser = Callable[[str], "LogLine | None"]


def combined_parser(unit_us: int | None) -> Parser:
    """Return a parser of the common and combined formats.

    Args:
        unit_us: what the number after the line's end counts, in microseconds; None: it is not a time.
    """

    def parse(text: str) -> LogLine | None:
        match = _COMBINED.match(text)
        if match is None:
            raise BadLine("it is not in the combined format")
        request = _REQUEST.match(_unescaped(match["request"]))
        if request is None:
            raise BadLine("its request is not one of HTTP")
        head = match["head"].split(" ")
        return LogLine(
            time_us=_clf_time_s(match["time"]) * US_PER_S,
            method=request["method"].upper(),
            target=request["target"],
            status=_status(int(match["status"])),
            response_us=None if unit_us is None else trailing_us(match["rest"], unit_us),
            response_bytes=0 if match["bytes"] == "-" else int(match["bytes"]),
            # With a virtual host in front, the address is the second word.
            address=head[1] if len(head) == 4 else head[0],
            user="" if head[-1] == "-" else _unescaped(head[-1]),
            user_agent="" if match["agent"] in (None, "-") else _unescaped(match["agent"]),
        )

    return parse


def trailing_us(rest: str, unit_us: int) -> int | None:
    """Return the time that follows a combined line, in microseconds; None where there is none.

    `rt=0.012` and `request_time=0.012` are seconds, `0/12345` is Apache's `%T/%D`, a fraction is seconds.
    """
    if both := _BOTH.match(rest):
        return int(both[2])
    if named := _NAMED.search(rest):
        return round(float(named[1]) * US_PER_S)
    found = _TRAILING.match(rest)
    if found is None:
        return None
    return round(float(found[1]) * (US_PER_S if "." in found[1] else unit_us))


def trailing_number(text: str) -> str | None:
    """Return what looks like a time after a combined line, as it is written; None where there is none."""
    match = _COMBINED.match(text)
    if match is None:
        return None
    if _BOTH.match(match["rest"]) or _NAMED.search(match["rest"]):
        return "0.0"
    found = _TRAILING.match(match["rest"])
    return found[1] if found else None


def parse_caddy(text: str) -> LogLine | None:
    """Parse a line of Caddy's JSON encoder; None for one of another logger."""
    try:
        entry = msgspec.json.decode(text)
        if "request" not in entry or "status" not in entry:
            return None
        request = entry["request"]
        duration_us = _duration_us(entry.get("duration", 0))
        agents = (request.get("headers") or {}).get("User-Agent") or [""]
        return LogLine(
            # Written when the answer was: the request came before.
            time_us=_caddy_time_us(entry["ts"]) - duration_us,
            method=str(request["method"]),
            target=str(request["uri"]),
            status=_status(int(entry["status"])),
            response_us=duration_us,
            request_bytes=int(entry.get("bytes_read", 0)),
            response_bytes=int(entry.get("size", 0)),
            address=str(request.get("client_ip") or request.get("remote_ip") or ""),
            user=str(entry.get("user_id") or ""),
            user_agent=str(agents[0]),
        )
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise BadLine("it is not an access log entry of Caddy") from error


def uvicorn_parser(zone: tzinfo) -> Parser:
    """Return a parser of uvicorn's lines with a time in front; `zone` is that of times that name none."""

    def parse(text: str) -> LogLine | None:
        match = _UVICORN.match(text)
        if match is None:
            return None
        if match["time"] is None:
            raise BadLine("it has no time: uvicorn writes one when its formatter has %(asctime)s")
        return LogLine(
            time_us=_iso_time_us(match["time"], zone),
            method=match["method"],
            target=match["target"],
            status=_status(int(match["status"])),
            address=match["address"].strip("[]"),
        )

    return parse


def _status(status: int) -> int:
    if not 100 <= status <= 599:
        raise BadLine(f"{status} is not a status of HTTP")
    return status


@lru_cache(maxsize=64)
def _clf_time_s(text: str) -> int:
    try:
        return int(datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").timestamp())
    except ValueError:
        raise BadLine(f"its time cannot be read: {text[:40]!r}") from None


def _iso_time_us(text: str, zone: tzinfo) -> int:
    whole, _, fraction = text.replace(",", ".").partition(".")
    digits = re.match(r"\d*", fraction)
    digits_text = digits[0] if digits else ""
    offset = fraction[len(digits_text) :]
    if not fraction and (found := re.search(r"(Z|[+-]\d\d:?\d\d)$", whole)):
        whole, offset = whole[: found.start()], found[0]
    try:
        time = datetime.strptime(whole.replace("T", " "), "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone)
        if offset:
            zoned = datetime.strptime(offset.replace(":", "").replace("Z", "+0000"), "%z").tzinfo
            time = time.replace(tzinfo=zoned)
    except ValueError:
        raise BadLine(f"its time cannot be read: {text[:40]!r}") from None
    return int(time.timestamp()) * US_PER_S + int(f"{digits_text:0<6}"[:6])


def _caddy_time_us(value: object) -> int:
    if isinstance(value, (int, float)):
        return round(value * US_PER_S)
    return _iso_time_us(str(value), timezone.utc)


def _duration_us(value: object) -> int:
    """Caddy writes seconds, or with `duration_format string` what Go prints: 1m2.5s, 1.2ms."""
    if isinstance(value, (int, float)):
        return round(value * US_PER_S)
    return round(sum(float(number) * _UNITS_US[unit] for number, unit in _DURATION.findall(str(value))))


def _unescaped(text: str) -> str:
    r"""Undo nginx's `\xHH` and Apache's `\"`, `\\` and `\xHH`: bytes, of which UTF-8 is made."""
    if "\\" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) == 3 else {"t": "\t", "n": "\n", "r": "\r"}.get(code, code)

    unescaped = _ESCAPE.sub(replace, text)
    try:
        return unescaped.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return unescaped
