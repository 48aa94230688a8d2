"""Give an embedded store one owner: the process that holds the lock on a file in the data directory.

The kernel holds the lock (flock), so the lock ends with the process, also after a kill. The pid in the file is only
for the message.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from apimetry.store.errors import StoreLocked

LOCK_NAME: Final = "apimetry.lock"


class Ownership:
    """The lock that this process holds on one data directory."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock; harmless when repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def take_ownership(directory: Path) -> Ownership:
    """Lock the directory, and make it (0700) where it is missing; raises StoreLocked, which names the owner."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise StoreLocked(
            f"another apimetry process (pid {owner}) owns {directory}: stop it, or use another data directory"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return Ownership(descriptor)
