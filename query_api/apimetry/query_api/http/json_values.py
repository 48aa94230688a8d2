"""Write times as in JSON, and name the type of a JSON object. Pure."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

from apimetry.serving.openapi import Json

__all__ = ["Json", "iso_datetime", "iso_or_none", "iso_time", "iso_time_us"]

_DAY_S: Final = 86_400
_EPOCH: Final = date(1970, 1, 1)


def iso_time(time_s: int) -> str:
    """Return whole seconds since the epoch as ISO 8601 in UTC, with a Z."""
    # An answer has thousands of times, of few days. A `datetime` for each takes four times as long.
    day, second = divmod(time_s, _DAY_S)
    return f"{_date(day)}T{_time_of_day(second)}Z"


def iso_datetime(time: datetime) -> str:
    """Return an aware time as ISO 8601 in UTC, with whole seconds and a Z."""
    return f"{time.astimezone(timezone.utc).isoformat()[:19]}Z"


def iso_time_us(time_us: int) -> str:
    """Return microseconds since the epoch as ISO 8601 in UTC, with a Z; a whole second has no fraction."""
    seconds, microseconds = divmod(time_us, 1_000_000)
    fraction = f".{microseconds:06}" if microseconds else ""
    return f"{iso_time(seconds).removesuffix('Z')}{fraction}Z"


def iso_or_none(time: datetime | None) -> str | None:
    """Return an aware time as ISO 8601 in UTC, with whole seconds and a Z; None for None."""
    return None if time is None else iso_datetime(time)


@lru_cache(maxsize=1024)
def _date(day: int) -> str:
    return (_EPOCH + timedelta(day)).isoformat()


@lru_cache(maxsize=2048)
def _time_of_day(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
