"""The segment that is being written, and what a failed write to it means."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from apimetry.collector.errors import SpoolBrokenError, SpoolError, SpoolFullError

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(slots=True)
class ActiveSegment:
    """The segment that is being written. `good` and `rows` are of acknowledged records only."""

    token: str
    path: Path
    handle: int
    began_s: float
    synced_s: float
    good: int = 0
    end: int = 0
    rows: int = 0
    records: int = 0
    synced: bool = True
    abandoned: bool = False


def refusal(error: OSError) -> SpoolError:
    """What a failed write means to a sender."""
    if error.errno in NO_ROOM:
        return SpoolFullError("the disk is full")
    return SpoolBrokenError(f"the disk refused a write: {error.strerror or os.strerror(errno.EIO)}")
