"""Parse Envoy's default format, and Istio's, which adds details between the flags and the sizes. Pure.

Sources: "Default Format String" in Envoy's documentation of access logging; Istio's "Envoy Access Logs".
"""

from __future__ import annotations

import re

from apimetry.cli.access_logs.lines import BadLine, LogLine, dash_as_empty, read_size, read_status
from apimetry.cli.access_logs.requests import read_address, read_request
from apimetry.cli.access_logs.times import iso_time_us

_LINE = re.compile(
    r"\A\[(?P<time>\d{4}-[^\]]{15,36})\] \"(?P<request>[^\"]*)\" (?P<status>\d{1,3}) (?P<flags>\S{1,64})"
    r"(?: \S{1,256} \S{1,256} \"[^\"]{0,2048}\")? (?P<received>\d{1,16}) (?P<sent>\d{1,16}) (?P<ms>\d{1,12}|-)"
    r" (?:\d{1,12}|-) \"(?P<forwarded>[^\"]*)\" \"(?P<agent>[^\"]*)\" \"[^\"]*\" \"[^\"]*\""
)
_CLIENT_CLOSED = 499


def envoy(text: str) -> LogLine | None:
    """Parse a line; return None for a TCP connection; raise BadLine."""
    match = _LINE.match(text)
    if match is None:
        raise BadLine("it is not in Envoy's default format")
    method, target = read_request(match["request"])
    status = match["status"]
    if status == "0":
        if "DC" not in match["flags"]:
            return None
        # The client closed the connection before the response.
        status = str(_CLIENT_CLOSED)
    is_measured = match["ms"] != "-"
    return LogLine(
        time_us=iso_time_us(match["time"]),
        method=method,
        target=target,
        status=read_status(status),
        response_us=int(match["ms"]) * 1000 if is_measured else None,
        duration="DURATION (milliseconds)" if is_measured else "",
        request_bytes=read_size(match["received"]),
        response_bytes=read_size(match["sent"]),
        address=read_address(match["forwarded"].partition(",")[0]),
        user_agent=dash_as_empty(match["agent"]),
    )
