"""Parse uvicorn's access lines, also with a logging configuration of the user. Pure.

uvicorn writes `INFO:     127.0.0.1:5000 - "GET / HTTP/1.1" 200 OK`, without a time, and over a Unix socket without
the address. A formatter with `%(asctime)s` adds a time before the address.
"""

from __future__ import annotations

import re
from datetime import tzinfo

from apimetry.cli.access_logs.lines import BadLine, LogLine, Parser, read_status
from apimetry.cli.access_logs.requests import origin_form, read_address
from apimetry.cli.access_logs.times import iso_time_us

_MAX_PREFIX = 512
_ACCESS = re.compile(
    r"- \"(?P<method>[!-~]{1,64}) (?P<target>[^\s\"]{1,65536}) HTTP/\d(?:\.\d)?\""
    r" (?P<status>\d{3})(?: [A-Za-z' -]{0,40})?\Z"
)
_TIME = re.compile(r"(?<!\d)\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?[+-]\d\d:?\d\d|Z)?")


def uvicorn(zone: tzinfo) -> Parser:
    """Return a parser of uvicorn's lines; times without a zone are in `zone`."""

    def parse(text: str) -> LogLine | None:
        text = text.rstrip()
        position = text.find('- "', 0, _MAX_PREFIX)
        match = _ACCESS.match(text, position) if position >= 0 else None
        if match is None:
            return None
        prefix = text[:position].split()
        address = read_address(prefix[-1]) if prefix else ""
        times = _TIME.findall(text[:position])
        if len(times) > 1:
            raise BadLine("it has more than one time before the request")
        return LogLine(
            time_us=iso_time_us(times[0], zone) if times else None,
            method=match["method"],
            target=origin_form(match["target"]),
            status=read_status(match["status"]),
            address=address,
        )

    return parse
