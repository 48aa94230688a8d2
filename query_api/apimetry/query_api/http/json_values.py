"""Write times as in JSON, and name the type of a JSON object. Pure."""

from __future__ import annotations

from datetime import datetime, timezone

from apimetry.serving.openapi import Json

__all__ = ["Json", "iso_datetime", "iso_or_none", "iso_time", "iso_time_us"]


def iso_time(time_s: int) -> str:
    """Return seconds since the epoch as ISO 8601 in UTC, with whole seconds and a Z."""
    return _iso(datetime.fromtimestamp(time_s, timezone.utc))


def iso_datetime(time: datetime) -> str:
    """Return an aware time as ISO 8601 in UTC, with whole seconds and a Z."""
    return _iso(time.astimezone(timezone.utc))


def iso_time_us(time_us: int) -> str:
    """Return microseconds since the epoch as ISO 8601 in UTC, with a Z; a whole second has no fraction."""
    seconds, microseconds = divmod(time_us, 1_000_000)
    fraction = f".{microseconds:06}" if microseconds else ""
    return f"{iso_time(seconds).removesuffix('Z')}{fraction}Z"


def iso_or_none(time: datetime | None) -> str | None:
    """Return an aware time as ISO 8601 in UTC, with whole seconds and a Z; None for None."""
    return None if time is None else iso_datetime(time)


def _iso(time: datetime) -> str:
    # An answer has thousands of times, and `strftime` takes five times as long.
    return f"{time.isoformat(timespec='seconds')[:19]}Z"
