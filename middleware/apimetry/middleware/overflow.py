"""Batches on disk that the collector did not take. The next process delivers the batches of a killed one.

Invariants:
- every process has its own folder, ``buffer_dir/<instance>/``, with a file ``lock`` that it holds by `flock`. The
  lock ends with the process, however it ends. The process that gets the lock of a folder owns its batches.
- one file per batch, ``<time>-<batch id>-<events>.batch``: the body of the post. It is written under another name and
  renamed: so a file is whole or absent. A batch keeps its id and its bytes: the collector counts it once if it is
  posted twice.
- all folders together stay under `max_bytes`; a batch that does not fit is refused, and no other batch is removed.
- a batch older than `max_age_s` is removed and counted.

A kill loses no batch on disk. A power loss may: nothing is fsync'd, as the collector's spool exists for that.
The collector recognizes a batch whose acknowledgement was lost (a kill, a hang-up, a time-out) within its window for
batch ids, a day by default. `max_age_s` is an hour less by default: so no batch is posted after the window.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows: `open` says so
    fcntl = None  # type: ignore[assignment]

_SUFFIX: Final = ".batch"


@dataclass(frozen=True)
class StoredBatch:
    """A batch on disk."""

    path: Path
    batch_id: bytes
    events: int
    stored_at_ns: int
    is_own: bool
    """Whether this process counted its events."""


class Overflow:
    """Store the batches of one process on disk. For the exporter's thread alone, except `abandon`.

    Mutable state: `_lock`, the descriptor that holds the folder's lock; `_own_ids`, the ids of its batches.
    """

    def __init__(self, folder: str | os.PathLike[str], instance: str, *, max_bytes: int, max_age_s: float) -> None:
        self._root = Path(folder)
        self._own = self._root / instance
        self._max_bytes = max_bytes
        self._max_age_ns = int(max_age_s * 1e9)
        self._lock: int | None = None
        self._own_ids: set[bytes] = set()

    def open(self) -> None:
        """Make this process's folder and take over the batches of ended processes.

        Raises:
            OSError: the folder cannot be written, or the system has no `flock`.
        """
        if fcntl is None:
            raise OSError("buffer_dir needs flock, which this system does not have")
        self._own.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _try_lock(self._own / "lock")
        if self._lock is None:
            raise OSError(f"{self._own} cannot be locked")
        self.adopt()

    def close(self) -> None:
        """Give up the lock, and remove an empty folder. The next process takes over the batches that remain."""
        if self._lock is not None:
            if not self.oldest():
                self._remove(self._own)
            self.abandon()

    def abandon(self) -> None:
        """Close the lock's descriptor, which a forked child has inherited, without giving up the parent's lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def adopt(self) -> None:
        """Take over the batches of processes that have ended."""
        for folder in self._folders():
            if folder == self._own or (lock := _try_lock(folder / "lock")) is None:
                continue
            try:
                for path in sorted(folder.glob(f"*{_SUFFIX}")):
                    path.rename(self._own / path.name)
                self._remove(folder)
            finally:
                os.close(lock)

    def store(self, batch_id: bytes, body: bytes, events: int) -> bool:
        """Write a batch; False if it does not fit or cannot be written."""
        if self._lock is None or self._measure_bytes() + len(body) > self._max_bytes:
            return False
        path = self._own / f"{time.time_ns():020d}-{batch_id.hex()}-{events}{_SUFFIX}"
        unfinished = path.with_suffix(".part")
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a Path opens no descriptor
                file.write(body)
            unfinished.rename(path)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            return False
        self._own_ids.add(batch_id)
        return True

    def oldest(self) -> StoredBatch | None:
        """Return the oldest batch; None without one."""
        if self._lock is None:
            return None
        for path in sorted(self._own.glob(f"*{_SUFFIX}")):
            with contextlib.suppress(ValueError):  # a foreign file
                stored_at, hexadecimal, events = path.stem.split("-")
                batch_id = bytes.fromhex(hexadecimal)
                return StoredBatch(path, batch_id, int(events), int(stored_at), batch_id in self._own_ids)
        return None

    def is_expired(self, batch: StoredBatch) -> bool:
        """Return whether a batch is older than `max_age_s`."""
        return time.time_ns() - batch.stored_at_ns > self._max_age_ns

    def discard(self, batch: StoredBatch) -> None:
        """Remove a batch that was delivered or dropped."""
        batch.path.unlink(missing_ok=True)
        self._own_ids.discard(batch.batch_id)

    def _folders(self) -> list[Path]:
        return sorted(folder for folder in self._root.iterdir() if (folder / "lock").exists())

    def _measure_bytes(self) -> int:
        total = 0
        for path in self._root.glob(f"*/*{_SUFFIX}"):
            with contextlib.suppress(OSError):  # its owner removed it meanwhile
                total += path.stat().st_size
        return total

    def _remove(self, folder: Path) -> None:
        for path in (*folder.glob("*.part"), folder / "lock"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()


def _try_lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock; None if another process holds it or the folder is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A process that took the folder over meanwhile removed the file of this descriptor.
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
