"""Parse Traefik's two formats: its common log format, and JSON. Pure.

A line of the common format ends in a count of requests, the router, the server's URL and the duration in
milliseconds.
Source: "Access Logs" in Traefik's documentation.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from apimetry.cli.access_logs.formats.combined import read_common
from apimetry.cli.access_logs.formats.entries import Entry, read_entry
from apimetry.cli.access_logs.lines import BadLine, LogLine, dash_as_empty
from apimetry.cli.access_logs.requests import origin_form, read_address, unescape
from apimetry.cli.access_logs.times import any_time_us

_NS_PER_US = 1000
_QUOTED = r"\"[^\"\\]*(?:\\.[^\"\\]*)*\""
_TAIL = re.compile(
    rf" (?:{_QUOTED}|-) (?:\"(?P<agent>[^\"\\]*(?:\\.[^\"\\]*)*)\"|-) (?:\d{{1,12}}|-) (?:{_QUOTED}|-)"
    rf" (?:{_QUOTED}|-) (?P<ms>\d{{1,9}})ms\s{{0,16}}\Z",
    re.DOTALL,
)


def traefik(text: str) -> LogLine:
    """Parse a line of Traefik's common log format; raise BadLine."""
    line, end = read_common(text)
    match = _TAIL.match(text, end)
    if match is None:
        raise BadLine("it is not in Traefik's common log format")
    return replace(
        line,
        response_us=int(match["ms"]) * 1000,
        duration="the duration at the end of Traefik's lines (milliseconds)",
        user_agent=dash_as_empty(unescape(match["agent"] or "")),
    )


def traefik_json(text: str) -> LogLine | None:
    """Parse an entry of Traefik's JSON; return None for an entry of another log; raise BadLine."""
    entry = read_entry(text)
    if "DownstreamStatus" not in entry.members or "RequestMethod" not in entry.members:
        return None
    duration = entry.members.get("Duration")
    target = origin_form(entry.text("RequestPath"))
    return LogLine(
        time_us=any_time_us(_start(entry)),
        method=dash_as_empty(entry.text("RequestMethod")) if target not in {"", "-"} else "",
        target=dash_as_empty(target),
        status=entry.status("DownstreamStatus"),
        response_us=None if duration is None else entry.whole("Duration") // _NS_PER_US,
        duration="" if duration is None else "Duration (nanoseconds)",
        request_bytes=entry.size("RequestContentSize"),
        response_bytes=entry.size("DownstreamContentSize"),
        address=read_address(entry.text("ClientHost") or entry.text("ClientAddr")),
        user=dash_as_empty(entry.text("ClientUsername")),
        user_agent=dash_as_empty(entry.text("request_User-Agent")),
    )


def _start(entry: Entry) -> Any:  # noqa: ANN401 - JSON
    members = entry.members
    return members.get("StartUTC") or members.get("StartLocal") or members.get("time")
