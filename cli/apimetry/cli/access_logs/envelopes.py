"""Remove what log systems add around a line: docker, Kubernetes, syslog, journald, compose, a time in front. Pure.

At most three envelopes are removed. A line without a time gets the time of the innermost envelope that has one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from apimetry.cli.access_logs.lines import BadLine
from apimetry.cli.access_logs.times import MONTHS, epoch_us, iso_time_us, syslog_time_us

_DEEPEST = 3
_ANSI = re.compile(r"\x1b\[[0-9;]{0,16}m")
_PRIORITY = re.compile(r"\A<\d{1,3}>")
# RFC 5424: version, time, host, application, process, message id, structured data.
_SYSLOG_5424 = re.compile(
    r"\A1 (?P<time>\S{1,40}) \S{1,255} \S{1,48} \S{1,128} \S{1,32} (?:-|(?:\[[^\]]{0,1000}\]){1,8})(?: \ufeff?|\Z)"
)
# RFC 3164, as syslogd, rsyslog and journalctl write it.
_SYSLOG_3164 = re.compile(
    r"\A(?P<month>[A-Z][a-z]{2}) {1,2}(?P<day>\d{1,2}) (?P<clock>\d\d:\d\d:\d\d)(?:\.\d{1,6})?"
    r" (?:\S{1,255} )?[A-Za-z_][^\s:\[\]]{0,64}(?:\[\d{1,10}\])?: "
)
_ISO = re.compile(
    r"\A(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)"
    r"(?: (?:stdout|stderr) [FP]| \S{1,255} [A-Za-z_][^\s:\[\]]{0,64}(?:\[\d{1,10}\])?:)? "
)
_COMPOSE = re.compile(r"\A[a-z0-9][a-zA-Z0-9_.-]{0,100} {1,64}\| ")


class _Docker(msgspec.Struct):
    """A line of docker's json-file driver."""

    log: str
    stream: Literal["stdout", "stderr"]
    time: str = ""


class _Journal(msgspec.Struct):
    """An entry of `journalctl -o json`."""

    message: str = msgspec.field(name="MESSAGE")
    written_us: str = msgspec.field(name="__REALTIME_TIMESTAMP")


_decode_docker = msgspec.json.Decoder(_Docker).decode
_decode_journal = msgspec.json.Decoder(_Journal).decode
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class Opened:
    """A line without its envelopes, and the time that an envelope had."""

    text: str
    time_us: int | None = None


def without_colours(text: str) -> str:
    """Remove the escape sequences for colours."""
    return _ANSI.sub("", text) if "\x1b" in text else text


def open_envelopes(text: str, latest: datetime) -> Opened:
    """Return the line inside all envelopes; a line without envelopes is returned unchanged.

    Args:
        text: the line.
        latest: when the log was last written; times without a zone are in its zone.
    """
    opened = Opened(text)
    for _ in range(_DEEPEST):
        inner = _open_one(opened.text, latest)
        if inner is None:
            break
        opened = Opened(without_colours(inner.text), inner.time_us if inner.time_us is not None else opened.time_us)
    return opened


def _open_one(text: str, latest: datetime) -> Opened | None:
    first = text[:1]
    try:
        if first == "{":
            return _open_json(text)
        if first == "<" and (match := _PRIORITY.match(text)):
            return _open_syslog(text[match.end() :], latest) or Opened(text[match.end() :])
        if first == "1" or text[:3] in MONTHS:
            return _open_syslog(text, latest)
        if first == "2" and (match := _ISO.match(text)):
            return Opened(text[match.end() :], iso_time_us(match["time"], latest.tzinfo))
    except BadLine:
        return None
    match = _COMPOSE.match(text)
    return None if match is None else Opened(text[match.end() :])


def _open_json(text: str) -> Opened | None:
    try:
        if '"MESSAGE"' in text:
            entry = _decode_journal(text)
            return Opened(entry.message, epoch_us(entry.written_us))
        if '"log"' in text:
            line = _decode_docker(text)
            return Opened(line.log.rstrip("\r\n"), iso_time_us(line.time) if line.time else None)
    except _UNREADABLE:
        return None
    return None


def _open_syslog(text: str, latest: datetime) -> Opened | None:
    match = _SYSLOG_5424.match(text)
    if match is not None:
        return Opened(text[match.end() :], None if match["time"] == "-" else iso_time_us(match["time"]))
    match = _SYSLOG_3164.match(text)
    if match is None:
        return None
    time_us = syslog_time_us(f"{match['month']} {match['day']} {match['clock']}", latest)
    return Opened(text[match.end() :], time_us)
