"""Parse W3C extended logs of IIS and other servers. Pure, except for the fields of the last `#Fields` line.

Times are UTC. IIS writes `time-taken` in milliseconds. Other servers write seconds with a fraction; a whole number of
another server is not read.
Sources: the W3C working draft "Extended Log File Format"; "W3C Extended Log File Format" in the documentation of IIS.
"""

from __future__ import annotations

from datetime import timezone

from apimetry.cli.access_logs.durations import Duration, in_unit
from apimetry.cli.access_logs.lines import US_PER_S, BadLine, LogLine, dash_as_empty, read_size, read_status
from apimetry.cli.access_logs.requests import origin_form, read_address
from apimetry.cli.access_logs.times import iso_time_us

_MAX_FIELDS = 128
_IIS = "Microsoft Internet Information Services"


class W3C:
    """Parse the lines of one file. Mutable state: the fields of its lines, and whether IIS wrote it."""

    def __init__(self) -> None:
        self._fields: list[str] = []
        self._is_iis = False

    def __call__(self, text: str) -> LogLine | None:
        """Parse a line; return None for a directive; raise BadLine."""
        if text.startswith("#"):
            self._read_directive(text)
            return None
        if not self._fields:
            raise BadLine("no #Fields line stands before it")
        values = text.split("\t" if "\t" in text else " ", _MAX_FIELDS)
        if len(values) != len(self._fields):
            raise BadLine("it has not as many values as its #Fields line has names")
        return self._read(dict(zip(self._fields, map(dash_as_empty, values), strict=True)))

    def _read_directive(self, text: str) -> None:
        name, _, value = text.partition(":")
        if name == "#Fields":
            self._fields = value.split()[:_MAX_FIELDS]
        elif name == "#Software":
            self._is_iis = _IIS in value

    def _read(self, values: dict[str, str]) -> LogLine:
        date, time = values.get("date"), values.get("time")
        if not date or not time or "sc-status" not in values:
            raise BadLine("it has no date, time or status")
        target, query = values.get("cs-uri-stem") or values.get("cs-uri", ""), values.get("cs-uri-query")
        response_us, duration = self._duration(values.get("time-taken", ""))
        method = values.get("cs-method", "")
        return LogLine(
            time_us=iso_time_us(f"{date} {time}", timezone.utc),
            method=method if target else "",
            target=origin_form(f"{target}?{query}" if query else target),
            status=read_status(values["sc-status"]),
            response_us=response_us,
            duration=duration,
            request_bytes=_size(values.get("cs-bytes")),
            response_bytes=_size(values.get("sc-bytes")),
            address=read_address(values.get("c-ip", "")),
            user=values.get("cs-username", ""),
            user_agent=values.get("cs(User-Agent)", "").replace("+", " "),
        )

    def _duration(self, text: str) -> Duration:
        if self._is_iis and text.isdigit():
            return in_unit(text, 1000), "time-taken (milliseconds)"
        if "." in text:
            return in_unit(text, US_PER_S), "time-taken (seconds)"
        return None, ""


def _size(text: str | None) -> int | None:
    return read_size(text) if text else None
