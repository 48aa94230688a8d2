"""The patterns of a layout's fields, and the request made from their values. Pure."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo

from apimetry.cli.access_logs.durations import Duration, in_unit
from apimetry.cli.access_logs.layouts.template import Template, Values
from apimetry.cli.access_logs.lines import US_PER_S, BadLine, LogLine, Parser, dash_as_empty, read_size, read_status
from apimetry.cli.access_logs.requests import origin_form, read_address, read_request
from apimetry.cli.access_logs.times import clf_time_us, epoch_us, iso_time_us

NUMBER = re.compile(r"-|\d{1,16}(?:\.\d{1,9})?")
STATUS = re.compile(r"\d{3}|-")
CLF = re.compile(r"\d\d?/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}")
BRACKETED_CLF = re.compile(rf"\[{CLF.pattern}\]")
ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?")
MSEC = re.compile(r"\d{1,12}\.\d{3}")
# Values of several upstreams: separated by commas, and by colons after an internal redirect.
TIMES = re.compile(r"(?:-|\d{1,9}\.\d{3})(?:(?:, | : |,)(?:-|\d{1,9}\.\d{3})){0,64}")
LIST = re.compile(r"(?:[^\s,\"]{0,512})(?:(?:, | : )[^\s,\"]{1,512}){0,64}")
REQUEST = re.compile(r"[^\s\"]{1,64} \S{1,65536} HTTP/\d(?:\.\d)?|-(?= |\Z)")
WORD = re.compile(r"[^\s\"]{0,65536}")
HOST = re.compile(r"[^/\s\"]{0,1024}")
PATH = re.compile(r"[^?\s\"]{0,65536}")
ADDRESS = re.compile(r"[0-9A-Za-z:._%/\[\]-]{0,256}")
SCHEME = re.compile(r"[a-z]{0,16}|-")
QUESTION_MARK = re.compile(r"\??")
_SEPARATOR = re.compile(r", ?| : ")


def parser_of(template: Template, zone: tzinfo) -> Parser:
    """Return a parser of a layout's lines; times without a zone are in `zone`."""

    def parse(text: str) -> LogLine:
        return _read(template.match(text.rstrip()), zone)

    return parse


def _read(values: Values, zone: tzinfo) -> LogLine:
    def value(*meanings: str) -> str:
        return next((dash_as_empty(values[meaning][1]) for meaning in meanings if meaning in values), "")

    method, target = _read_request(values)
    response_us, duration = _read_duration(values)
    sent, received = value("body_bytes", "sent_bytes"), value("content_length", "request_length")
    return LogLine(
        time_us=_read_time(values, zone),
        method=method,
        target=target,
        status=read_status(value("status")),
        response_us=response_us,
        duration=duration,
        request_bytes=read_size(received) if received else None,
        response_bytes=read_size(sent) if sent else 0 if "body_bytes" in values else None,
        address=read_address(value("address", "forwarded").partition(",")[0]),
        user=value("user"),
        user_agent=value("agent"),
    )


def _read_request(values: Values) -> tuple[str, str]:
    if "request" in values:
        return read_request(values["request"][1])
    method = dash_as_empty(values["method"][1]) if "method" in values else ""
    target = dash_as_empty((values.get("target") or values["path"])[1])
    query = dash_as_empty(values["query"][1]).removeprefix("?") if "query" in values else ""
    if query and "?" not in target:
        target = f"{target}?{query}"
    return (method, origin_form(target)) if target else ("", "")


def _read_duration(values: Values) -> Duration:
    """Return the response time in the finest unit; the upstreams' time only without one of the whole request."""
    for meaning, unit_us, unit in (
        ("time_us", 1, "microseconds"),
        ("time_ms", 1000, "milliseconds"),
        ("time_s", US_PER_S, "seconds"),
    ):
        if meaning in values:
            name, text = values[meaning]
            response_us = in_unit(text, unit_us)
            return response_us, f"{name} ({unit})" if response_us is not None else ""
    if "upstream_s" not in values:
        return None, ""
    name, text = values["upstream_s"]
    times = [time_us for part in _SEPARATOR.split(text) if (time_us := in_unit(part, US_PER_S)) is not None]
    return (sum(times), f"{name} (seconds, of all upstreams together)") if times else (None, "")


def _read_time(values: Values, zone: tzinfo) -> int | None:
    if "epoch" in values:
        return epoch_us(values["epoch"][1])
    if "iso" in values:
        return iso_time_us(values["iso"][1], zone)
    if "clf" in values:
        return clf_time_us(values["clf"][1].strip("[]"), zone)
    if "strftime" in values:
        return _read_strftime(values, zone)
    return None


def _read_strftime(values: Values, zone: tzinfo) -> int:
    form, text = values["strftime"]
    fraction = values["fraction"][1] if "fraction" in values else ""
    if "offset" in values:
        form, text = f"{form} %z", f"{text} {values['offset'][1]}"
    try:
        time = datetime.strptime(text, form)  # noqa: DTZ007 - the zone is set where the text has none
    except ValueError:
        raise BadLine("its time cannot be read") from None
    time = time if time.tzinfo is not None else time.replace(tzinfo=zone)
    micros = int(f"{fraction:0<6}"[:6]) if fraction else time.microsecond
    return int(time.timestamp()) * US_PER_S + micros
