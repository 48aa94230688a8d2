"""Parse Caddy's JSON. Pure.

Durations are seconds with a fraction. With `duration_format` they are whole milliseconds, whole nanoseconds, or text
with units. A whole number can have either unit, so it is read only where the name of the format says the unit.
Source: Caddy's `log` directive, and zap's encoders, which write the numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timezone

from apimetry.cli.access_logs.durations import LONGEST_US, Duration, with_unit
from apimetry.cli.access_logs.formats.entries import Entry, plain, read_entry
from apimetry.cli.access_logs.lines import US_PER_S, BadLine, LogLine, Parser
from apimetry.cli.access_logs.requests import origin_form, read_address
from apimetry.cli.access_logs.times import any_time_us

_TIMES = ("ts", "time", "timestamp", "@timestamp")


def caddy(text: str) -> LogLine | None:
    """Parse an entry of Caddy's JSON encoder; return None for an entry of another logger; raise BadLine.

    Durations are seconds with a fraction, or text with units; a whole number is not read.
    """
    return _parse(text, lambda _: (None, ""))


def caddy_in(unit_us: float, unit: str) -> Parser:
    """Return a parser of entries whose durations are whole numbers in one unit."""
    return lambda text: _parse(text, lambda value: (round(value * unit_us), f"duration ({unit})"))


caddy_ms = caddy_in(1000, "milliseconds")
caddy_ns = caddy_in(0.001, "nanoseconds")


def _parse(text: str, read_whole: Callable[[int], Duration]) -> LogLine | None:
    entry = read_entry(text)
    request = entry.members.get("request")
    if not isinstance(request, dict) or "status" not in entry.members or "uri" not in request:
        return None
    request_entry = Entry(request)
    response_us, duration = _read_duration(entry.members.get("duration"), read_whole)
    ended_us = any_time_us(
        next((entry.members[name] for name in _TIMES if name in entry.members), None), timezone.utc
    )
    return LogLine(
        # The entry has the time of the response. The request began earlier.
        time_us=ended_us - (response_us if response_us is not None and response_us <= LONGEST_US else 0),
        method=request_entry.text("method"),
        target=origin_form(request_entry.text("uri")),
        status=entry.status("status"),
        response_us=response_us,
        duration=duration,
        request_bytes=entry.size("bytes_read"),
        response_bytes=entry.size("size"),
        address=read_address(
            request_entry.text("client_ip") or request_entry.text("remote_ip") or request_entry.text("remote_addr")
        ),
        user=entry.text("user_id"),
        user_agent=_read_agent(request.get("headers")),
    )


def _read_duration(value: object, read_whole: Callable[[int], Duration]) -> Duration:
    if value is None or isinstance(value, bool):
        return None, ""
    if isinstance(value, str):
        response_us = with_unit(value)
        if response_us is None:
            raise BadLine("its duration cannot be read")
        return response_us, "duration (its own unit)"
    if isinstance(value, float):
        return round(float(plain(value)) * US_PER_S), "duration (seconds)"
    return read_whole(value) if isinstance(value, int) and 0 <= value < 2**62 else (None, "")


def _read_agent(headers: object) -> str:
    agents = headers.get("User-Agent") if isinstance(headers, dict) else None
    return str(agents[0]) if isinstance(agents, list) and agents else ""
