"""Batches on disk that the collector did not take: what a killed host has here, the next process delivers.

Invariants:
- a folder of its own for each process, ``buffer_dir/<instance>/``, with a file ``lock`` that its owner holds by
  `flock`. The lock ends with the process, however it ends; who gets the lock of another's folder owns its batches.
- one file for each batch, ``<time>-<batch id>-<events>.batch``: the body as it is posted, written under another name
  and renamed, so that a file is whole or is not there. A batch keeps its id and its bytes: posted twice, it is one.
- all folders together stay under `max_bytes`; a batch that does not fit is not taken, and nothing is removed for it.
- a batch older than `max_age_s` is removed and counted.

A killed process loses nothing that is here. A power loss may: nothing is fsync'd, the collector's spool is for that.
A batch whose acknowledgement got lost (a kill, a hang-up, a time-out) is recognized by the collector within its
window for batch ids, a day by default. `max_age_s` is an hour less by default, so that no batch comes after it.
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
class KeptBatch:
    """A batch on disk."""

    path: Path
    batch_id: bytes
    events: int
    kept_at_ns: int
    is_own: bool
    """Whether this process counted its events."""


class Overflow:
    """The batches one process keeps on disk. For the exporter's thread alone, but for `abandon`.

    Mutable state: `_lock`, the descriptor that holds the folder's lock; `_own_ids`, of the batches made here.
    """

    def __init__(self, folder: str | os.PathLike[str], instance: str, *, max_bytes: int, max_age_s: float) -> None:
        self._root = Path(folder)
        self._own = self._root / instance
        self._max_bytes = max_bytes
        self._max_age_ns = int(max_age_s * 1e9)
        self._lock: int | None = None
        self._own_ids: set[bytes] = set()

    def open(self) -> None:
        """Make this process's folder and take over what ended processes have left.

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
        """Give up the lock; what is left is the next process's. An empty folder goes."""
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

    def keep(self, batch_id: bytes, body: bytes, events: int) -> bool:
        """Write a batch; False when it does not fit or cannot be written."""
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

    def oldest(self) -> KeptBatch | None:
        """Return the batch that has waited longest."""
        if self._lock is None:
            return None
        for path in sorted(self._own.glob(f"*{_SUFFIX}")):
            with contextlib.suppress(ValueError):  # another's file
                kept_at, hexadecimal, events = path.stem.split("-")
                batch_id = bytes.fromhex(hexadecimal)
                return KeptBatch(path, batch_id, int(events), int(kept_at), batch_id in self._own_ids)
        return None

    def is_expired(self, batch: KeptBatch) -> bool:
        """Tell whether a batch is older than batches may get."""
        return time.time_ns() - batch.kept_at_ns > self._max_age_ns

    def discard(self, batch: KeptBatch) -> None:
        """Remove a batch that was delivered or given up."""
        batch.path.unlink(missing_ok=True)
        self._own_ids.discard(batch.batch_id)

    def _folders(self) -> list[Path]:
        return sorted(folder for folder in self._root.iterdir() if (folder / "lock").exists())

    def _measure_bytes(self) -> int:
        total = 0
        for path in self._root.glob(f"*/*{_SUFFIX}"):
            with contextlib.suppress(OSError):  # its owner has delivered it
                total += path.stat().st_size
        return total

    def _remove(self, folder: Path) -> None:
        for path in (*folder.glob("*.part"), folder / "lock"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()


def _try_lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock, or None where another process does or the folder is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who took the folder over in between has removed the file that is locked here.
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
