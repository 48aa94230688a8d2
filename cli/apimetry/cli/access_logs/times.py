"""Read the times of logs as microseconds since the epoch. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from apimetry.cli.access_logs.lines import US_PER_S, BadLine

MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
_OFFSET = r"(?P<offset>Z|[+-]\d\d:?\d\d)"
_CLF = re.compile(
    rf"\A(?P<day>\d\d?)/(?P<month>[A-Z][a-z]{{2}})/(?P<year>\d{{4}})[: ](?P<clock>\d\d:\d\d:\d\d)"
    rf"(?:[.,](?P<fraction>\d{{1,9}}))?(?: {_OFFSET})?\Z"
)
_ISO = re.compile(
    r"\A(?P<year>\d{4})[-/](?P<month>\d\d)[-/](?P<day>\d\d)[T ](?P<clock>\d\d:\d\d:\d\d)"
    rf"(?:[.,](?P<fraction>\d{{1,9}}))?(?: ?{_OFFSET})?\Z"
)
_ASCTIME = re.compile(
    r"\A[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2}) {1,2}(?P<day>\d\d?) (?P<clock>\d\d:\d\d:\d\d) (?P<year>\d{4})"
    r"(?P<fraction>)(?P<offset>(?!))?\Z"
)
_NUMBER = re.compile(r"\A(\d{1,19})(?:\.(\d{1,9}))?\Z")
# Fewest and most digits before the point, and the unit, for times after 1973. More digits are nanoseconds.
_DIGITS_OF_UNIT = ((9, 11, US_PER_S), (12, 14, 1000), (15, 17, 1))
_UNREADABLE = "its time cannot be read"


def clf_time_us(text: str, zone: tzinfo | None = None) -> int:
    """Read `14/Oct/2014:16:00:00 +0200`; a time without an offset is in `zone`; raise BadLine."""
    return _read(_CLF, text, zone)


def iso_time_us(text: str, zone: tzinfo | None = None) -> int:
    """Read `2014-10-14T16:00:00.123+02:00` and similar; a time without an offset is in `zone`; raise BadLine."""
    return _read(_ISO, text, zone)


def asctime_us(text: str, zone: tzinfo) -> int:
    """Read `Thu Nov 26 14:43:04 2026`, the form of C's asctime, in `zone`; raise BadLine."""
    return _read(_ASCTIME, text, zone)


def any_time_us(value: object, zone: tzinfo | None = None) -> int:
    """Read a time of a JSON log: a number since the epoch, or a text in CLF or ISO form; raise BadLine."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return epoch_us(f"{value:.6f}" if isinstance(value, float) else str(value))
    if isinstance(value, str):
        if _NUMBER.match(value):
            return epoch_us(value)
        return clf_time_us(value, zone) if "/" in value[:3] else iso_time_us(value, zone)
    raise BadLine(_UNREADABLE)


def epoch_us(text: str) -> int:
    """Read a number since the epoch; its size shows whether it is in seconds, milli-, micro- or nanoseconds."""
    match = _NUMBER.match(text)
    if match is None:
        raise BadLine(_UNREADABLE)
    whole, fraction = match[1], match[2] or ""
    for fewest, most, unit_us in _DIGITS_OF_UNIT:
        if fewest <= len(whole) <= most:
            return int(whole) * unit_us + int(f"{fraction:0<9}") * unit_us // 10**9
    if len(whole) > _DIGITS_OF_UNIT[-1][1]:
        return int(whole) // 1000
    raise BadLine(_UNREADABLE)


def syslog_time_us(text: str, latest: datetime) -> int:
    """Read `Oct 14 16:00:00`, a time without a year: the last such time that is not after `latest`.

    Args:
        text: the month, the day and the time, with one space between them.
        latest: when the log was last written; the text is in its zone.
    """
    month, day, clock = text.split(" ")
    for year in (latest.year, latest.year - 1):
        try:
            time = _moment(str(year), MONTHS.get(month, 0), day, clock).replace(tzinfo=latest.tzinfo)
        except ValueError:
            continue
        # The clock of the log may be ahead of the clock of the file system.
        if time <= latest + timedelta(days=1):
            return int(time.timestamp()) * US_PER_S
    raise BadLine(_UNREADABLE)


def _read(pattern: re.Pattern[str], text: str, zone: tzinfo | None) -> int:
    match = pattern.match(text)
    if match is None:
        raise BadLine(_UNREADABLE)
    offset = match["offset"]
    if offset is None and zone is None:
        raise BadLine("its time names no zone")
    month = match["month"]
    number = int(month) if month.isdigit() else MONTHS.get(month, 0)
    whole_s = _whole_s(match["year"], number, match["day"], match["clock"], offset or zone)
    return whole_s * US_PER_S + int(f"{match['fraction'] or '':0<6}"[:6])


@lru_cache(maxsize=256)
def _whole_s(year: str, month: int, day: str, clock: str, zone: tzinfo | str | None) -> int:
    try:
        zone = _zone_of(zone) if isinstance(zone, str) else zone
        return int(_moment(year, month, day, clock).replace(tzinfo=zone).timestamp())
    except (ValueError, OverflowError):
        raise BadLine(_UNREADABLE) from None


def _moment(year: str, month: int, day: str, clock: str) -> datetime:
    hour, minute, second = map(int, clock.split(":"))
    return datetime(int(year), month, int(day), hour, minute, second, tzinfo=timezone.utc)


def _zone_of(offset: str) -> tzinfo:
    if offset == "Z":
        return timezone.utc
    minutes = int(offset[1:3]) * 60 + int(offset[-2:])
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
