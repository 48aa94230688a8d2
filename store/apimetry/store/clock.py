"""The time, as records have it."""

from __future__ import annotations

from datetime import datetime, timezone


def utc_now() -> datetime:
    """Return now, aware, in UTC."""
    return datetime.now(timezone.utc)
