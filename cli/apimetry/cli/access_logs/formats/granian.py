"""Parse Granian's default format, which ends in the duration in milliseconds. Pure.

Source: "Access log format" in Granian's documentation. The time is the begin of the request, and has a zone.
"""

from __future__ import annotations

import re

from apimetry.cli.access_logs.lines import BadLine, LogLine, read_status
from apimetry.cli.access_logs.requests import read_address, read_request
from apimetry.cli.access_logs.times import iso_time_us

_LINE = re.compile(
    r"\A\[(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4})\] (?P<address>\S{0,64}) - \"(?P<request>[^\"]*)\""
    r" (?P<status>\d{3}) (?P<ms>\d{1,9}\.\d{3})\Z"
)


def granian(text: str) -> LogLine:
    """Parse a line of Granian; raise BadLine."""
    match = _LINE.match(text.rstrip())
    if match is None:
        raise BadLine("it is not a line of Granian")
    method, target = read_request(match["request"])
    return LogLine(
        time_us=iso_time_us(match["time"]),
        method=method,
        target=target,
        status=read_status(match["status"]),
        response_us=round(float(match["ms"]) * 1000),
        duration="the number at the end of Granian's lines (milliseconds)",
        address=read_address(match["address"]),
    )
