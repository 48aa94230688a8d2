"""The segment that is being written, and the error for a failed write to it."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from apimetry.collector.errors import SpoolBrokenError, SpoolError, SpoolFullError

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(slots=True)
class ActiveSegment:
    """The segment that is being written."""

    token: str
    path: Path
    handle: int
    due_s: float
    """When it must be sealed."""
    synced_s: float
    good: int = 0
    """Bytes up to the end of the last acknowledged record."""
    end: int = 0
    """Bytes in the file."""
    rows: int = 0
    """Of acknowledged records only."""
    records: int = 0
    synced: bool = True
    abandoned: bool = False
    """True after a fault of the disk: nothing is appended any more, and the segment waits for its seal."""


def refusal(error: OSError) -> SpoolError:
    """Return the error that a sender gets after a failed write."""
    if error.errno in NO_ROOM:
        return SpoolFullError("the disk is full")
    return SpoolBrokenError(f"the disk refused a write: {error.strerror or os.strerror(errno.EIO)}")
