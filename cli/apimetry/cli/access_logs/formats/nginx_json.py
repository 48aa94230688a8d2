"""Parse a log of JSON objects whose members have the names of nginx's variables, or similar names. Pure.

nginx has no JSON format of its own: people write one with `log_format … escape=json`. The parser reads names that
have one meaning only, and a response time whose name says the unit. Other logs need `--log-format`.
"""

from __future__ import annotations

from datetime import tzinfo

from apimetry.cli.access_logs.durations import Duration, labelled
from apimetry.cli.access_logs.formats.entries import Entry, read_entry
from apimetry.cli.access_logs.lines import LogLine, Parser, dash_as_empty
from apimetry.cli.access_logs.requests import origin_form, read_address, read_request
from apimetry.cli.access_logs.times import any_time_us

_TIMES = (
    "time_iso8601",
    "msec",
    "time_local",
    "@timestamp",
    "timestamp",
    "time",
    "start_time",
    "date",
    "datetime",
    "ts",
    "time_epoch",
)
_REQUESTS = ("request", "request_line")
_METHODS = ("request_method", "method", "requestMethod", "http_method", "verb")
_TARGETS = ("request_uri", "requestUrl", "request_url", "uri", "url", "path", "request_path")
_QUERIES = ("args", "query_string", "request_query", "query")
_STATUSES = ("status", "status_code", "response_status", "response_code", "statusCode", "code")
_SENT = ("body_bytes_sent", "bytes_sent", "responseSize", "response_size", "size", "bytes")
_RECEIVED = ("content_length", "request_length", "requestSize", "request_size")
_ADDRESSES = ("remote_addr", "client_ip", "remoteIp", "remote_ip", "client", "ip")
_USERS = ("remote_user", "user")
_AGENTS = ("http_user_agent", "user_agent", "userAgent", "agent")


def nginx_json(zone: tzinfo) -> Parser:
    """Return a parser of such objects; times without a zone are in `zone`."""
    return lambda text: _parse(text, zone)


def _parse(text: str, zone: tzinfo) -> LogLine | None:
    entry = read_entry(text)
    inner = entry.members.get("httpRequest")
    if isinstance(inner, dict):
        entry = Entry({**entry.members, **inner})
    status = _first(entry, _STATUSES)
    request, method, target = _first(entry, _REQUESTS), _first(entry, _METHODS), _first(entry, _TARGETS)
    if not status or not (request or (method and target)):
        return None
    if request:
        method_text, target_text = read_request(entry.text(request))
    else:
        method_text, target_text = dash_as_empty(entry.text(method)), origin_form(dash_as_empty(entry.text(target)))
        query = dash_as_empty(entry.text(_first(entry, _QUERIES)))
        if query and "?" not in target_text:
            target_text = f"{target_text}?{query}"
    response_us, duration = _read_duration(entry)
    return LogLine(
        time_us=any_time_us(entry.members.get(_first(entry, _TIMES)), zone),
        method=method_text,
        target=target_text if method_text else "",
        status=entry.status(status),
        response_us=response_us,
        duration=duration,
        request_bytes=_size(entry, _RECEIVED),
        response_bytes=_size(entry, _SENT),
        address=read_address(entry.text(_first(entry, _ADDRESSES))),
        user=dash_as_empty(entry.text(_first(entry, _USERS))),
        user_agent=dash_as_empty(entry.text(_first(entry, _AGENTS))),
    )


def _first(entry: Entry, names: tuple[str, ...]) -> str:
    """Return the first name with a value, else the first name with an empty value, else an empty text.

    An empty value counts, because nginx writes it for a request that it could not read.
    """
    present = [name for name in names if isinstance(entry.members.get(name), (str, int, float))]
    return next((name for name in present if entry.members[name] != ""), present[0] if present else "")


def _size(entry: Entry, names: tuple[str, ...]) -> int | None:
    name = _first(entry, names)
    return None if not name or entry.text(name) == "-" else entry.size(name)


def _read_duration(entry: Entry) -> Duration:
    for name, value in entry.members.items():
        if isinstance(value, str) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            duration = labelled(name, _as_written(name, value))
            if duration is not None:
                return duration
    return None, ""


def _as_written(name: str, value: str | float) -> str:
    """Return a value as nginx wrote it: a JSON number of `request_time` has lost its final zeros."""
    if isinstance(value, float) and name == "request_time" and round(value, 3) == value:
        return f"{value:.3f}"
    return value if isinstance(value, str) else Entry({name: value}).text(name)
