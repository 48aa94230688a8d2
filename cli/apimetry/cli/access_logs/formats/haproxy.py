"""Parse HAProxy's HTTP log (`option httplog` and `option httpslog`). Pure.

Source: section 8.2.3 of HAProxy's configuration manual. The last of the five timers is the total time of the request,
in milliseconds. A `+` before it means that the line was written before the end of the request.
"""

from __future__ import annotations

import re
from datetime import tzinfo

from apimetry.cli.access_logs.lines import BadLine, LogLine, Parser, read_size, read_status
from apimetry.cli.access_logs.requests import read_address, read_request
from apimetry.cli.access_logs.times import clf_time_us

_LINE = re.compile(
    r"\A(?P<client>\S{1,64}):\d{1,5} \[(?P<time>[^\]]{20,32})\] \S{1,256} \S{1,512}"
    r" (?:-1|\d{1,9})/(?:-1|\d{1,9})/(?:-1|\d{1,9})/(?:-1|\d{1,9})/(?P<total>[+]?\d{1,9}|-1)"
    r" (?P<status>-1|\d{1,3}) (?P<size>[+]?\d{1,16}) \S{1,512} \S{1,512} (?P<state>\S{4})"
    r" [+\d]{1,9}/[+\d]{1,9}/[+\d]{1,9}/[+\d]{1,9}/[+\d]{1,9} \d{1,9}/\d{1,9} "
)
_MAX_CAPTURES = 8192


def haproxy(zone: tzinfo) -> Parser:
    """Return a parser of HAProxy's lines; their times are in `zone`."""

    def parse(text: str) -> LogLine | None:
        match = _LINE.match(text)
        if match is None:
            raise BadLine("it is not in HAProxy's HTTP format")
        if match["status"] in {"-1", "0"}:
            # The connection ended before the response.
            return None
        # Captured headers in braces precede the request. The request begins at the first quote.
        quote = text.find('"', match.end(), match.end() + _MAX_CAPTURES)
        if quote < 0:
            raise BadLine("it is not in HAProxy's HTTP format")
        end = text.rfind('"')
        method, target = read_request(text[quote + 1 : end if end > quote else None])
        total = match["total"]
        is_measured = total.isdigit()
        return LogLine(
            time_us=clf_time_us(match["time"], zone),
            method=method,
            target=target,
            status=read_status(match["status"]),
            response_us=int(total) * 1000 if is_measured else None,
            duration="the last of the five timers (milliseconds)" if is_measured else "",
            response_bytes=read_size(match["size"]),
            address=read_address(match["client"]),
        )

    return parse
