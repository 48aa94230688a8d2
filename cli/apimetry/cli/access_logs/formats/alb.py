"""Parse access logs of AWS Application Load Balancers. Pure.

Source: "Access log entries" in the user guide of Elastic Load Balancing. Newer fields follow older ones, so only the
first fields are required. The response time is the sum of three times: receiving, the target, and sending. A time of
-1 was not measured.
"""

from __future__ import annotations

import re

from apimetry.cli.access_logs.lines import US_PER_S, BadLine, LogLine, dash_as_empty, read_size, read_status
from apimetry.cli.access_logs.requests import read_address, read_request, unescape
from apimetry.cli.access_logs.times import iso_time_us

_QUOTED = r"\"[^\"\\]*(?:\\.[^\"\\]*)*\""
_LINE = re.compile(
    r"\A(?:http|https|h2|grpcs|ws|wss) (?P<time>\S{20,40}) \S{1,512} (?P<client>\S{1,64}) \S{1,64}"
    r" (?P<times>(?:-1|\d{1,7}\.\d{1,6}) (?:-1|\d{1,7}\.\d{1,6}) (?:-1|\d{1,7}\.\d{1,6}))"
    r" (?P<status>\d{3}|-) (?:\d{3}|-) (?P<received>\d{1,16}|-) (?P<sent>\d{1,16}|-)"
    r" \"(?P<request>[^\"\\]*(?:\\.[^\"\\]*)*)\" \"(?P<agent>[^\"\\]*(?:\\.[^\"\\]*)*)\""
    rf"(?: \S{{1,128}} \S{{1,64}} \S{{1,512}} {_QUOTED} {_QUOTED} {_QUOTED} \S{{1,16}} (?P<begun>\S{{20,40}}))?",
    re.DOTALL,
)


def alb(text: str) -> LogLine:
    """Parse an entry; raise BadLine."""
    match = _LINE.match(text)
    if match is None:
        raise BadLine("it is not an entry of an Application Load Balancer")
    if match["status"] == "-":
        raise BadLine("it has no status: the connection ended before an answer")
    method, target = read_request(unescape(match["request"]))
    parts = match["times"].split(" ")
    is_measured = "-1" not in parts
    return LogLine(
        time_us=iso_time_us(match["begun"] or match["time"]),
        method=method if method != "-" else "",
        target=target if method != "-" else "",
        status=read_status(match["status"]),
        response_us=round(sum(map(float, parts)) * US_PER_S) if is_measured else None,
        duration="the three processing times together (seconds)" if is_measured else "",
        request_bytes=read_size(match["received"]),
        response_bytes=read_size(match["sent"]),
        address=read_address(match["client"]),
        user_agent=dash_as_empty(unescape(match["agent"])),
    )
