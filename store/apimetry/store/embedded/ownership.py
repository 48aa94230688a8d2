"""The embedded store has one owner: a locked file in its data directory names it.

The lock is the kernel's (flock), so it ends with the process, however that ends; the pid in the file is only for the
message.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from apimetry.store.errors import StoreLocked

LOCK_NAME: Final = "apimetry.lock"


class Ownership:
    """The held lock of one data directory; `release` gives it up."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the directory up; harmless when repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def take_ownership(directory: Path) -> Ownership:
    """Make the directory (0700) where it is missing and lock it; raises StoreLocked naming the owner."""
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
