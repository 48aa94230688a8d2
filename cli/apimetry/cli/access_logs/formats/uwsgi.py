"""Parse uWSGI's request lines. Pure.

Source: "Formatting uWSGI requests logs" in uWSGI's documentation. Their times are local.
"""

from __future__ import annotations

import re
from datetime import tzinfo

from apimetry.cli.access_logs.lines import BadLine, LogLine, Parser, read_size, read_status
from apimetry.cli.access_logs.requests import origin_form, read_address
from apimetry.cli.access_logs.times import asctime_us

_BEGIN = re.compile(
    r"\A\[pid: \d{1,10}\|app: [-\d]{1,10}\|req: [-\d]{1,12}/\d{1,12}\] (?P<address>\S{0,64})"
    r" \((?P<user>[^)]{0,256})\) \{\d{1,6} vars in \d{1,9} bytes\}"
    r" \[(?P<time>[A-Z][a-z]{2} [A-Za-z]{3} [ \d:]{16,20})\] (?P<method>\S{1,32}) "
)
_END = re.compile(
    r" => generated (?P<size>\d{1,16}) bytes in (?P<time>\d{1,12}) (?P<unit>msecs|micros)"
    r" \([^ )]{0,16} (?P<status>\d{3})\)"
)
_UNITS_US = {"msecs": (1000, "milliseconds"), "micros": (1, "microseconds")}


def uwsgi(zone: tzinfo) -> Parser:
    """Return a parser of uWSGI's default lines; their times are in `zone`."""

    def parse(text: str) -> LogLine | None:
        begin = _BEGIN.match(text)
        end_at = text.rfind(" => generated ") if begin else -1
        end = _END.match(text, end_at) if end_at >= 0 else None
        if begin is None or end is None:
            raise BadLine("it is not a request of uWSGI")
        unit_us, unit = _UNITS_US[end["unit"]]
        return LogLine(
            time_us=asctime_us(begin["time"], zone),
            method=begin["method"],
            target=origin_form(text[begin.end() : end_at]),
            status=read_status(end["status"]),
            response_us=int(end["time"]) * unit_us,
            duration=f"the time after `generated` ({unit})",
            response_bytes=read_size(end["size"]),
            address=read_address(begin["address"]),
            user=begin["user"],
        )

    return parse
