"""The ids of accepted batches, so that a repeated batch is stored once.

An id is recognized while it is within a window, also after a restart or a kill:

- The window is `window_s` (a day by default) after the acknowledgement, and at least the newest `max_ids` ids
  (1,000,000: a thousand batches a second reach that in 17 minutes, eleven batches a second in a day).
- While a batch is in the spool, its record carries the id. Before the segment is unlinked, the id is appended to a
  log of this module, and the log is fsync'd.
- A log entry has 28 bytes: the batch key, received_us as u64, CRC-32.
- A log is replaced after a quarter of `window_s`, or of `max_ids`. It is removed when it is outside the window. So
  all logs together have 35 MB at most.

Thread-safe: one lock guards the memory and the logs. A lookup needs no lock.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from apimetry.collector.spool.files import Files
from apimetry.collector.spool.id_set import IdSet

_ENTRY = struct.Struct(">16sQ")
_CRC = struct.Struct(">I")
ENTRY_BYTES = _ENTRY.size + _CRC.size
US_PER_S = 1_000_000
LOGS = 4


def batch_key(application: str, batch_id: bytes) -> bytes:
    """Return the key of an application's batch: 16 bytes."""
    return blake2b(batch_id, digest_size=16, key=application.encode()[:64]).digest()


@dataclass(slots=True, eq=False)
class Log:
    """The file of one log, and a summary of its entries."""

    path: Path
    began_us: int = 0
    newest_us: int = 0
    entries: int = 0

    def note(self, entries: int, newest_us: int) -> None:
        """Note that entries were added, the newest of them received at `newest_us`."""
        self.entries += entries
        self.newest_us = max(self.newest_us, newest_us)


class BatchIds:
    """The ids within the window, in memory and on the disk."""

    def __init__(self, files: Files, folder: Path, *, window_s: float, max_ids: int) -> None:
        self._files = files
        self._folder = folder
        self._window_us = int(window_s * US_PER_S)
        self._max_ids = max_ids
        # The lock guards what follows.
        self._lock = threading.Lock()
        self._known = IdSet(window_us=self._window_us, max_ids=max_ids)
        self._current: tuple[int, Log] | None = None  # the handle, and the log
        self._logs: list[Log] = []  # oldest first

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: bytes) -> bool:
        return key in self._known

    def load(self, now_us: int, in_spool: Iterable[tuple[bytes, int]]) -> None:
        """Read the logs, and add the ids of the segments in the spool."""
        self._files.make_folder(self._folder)
        with self._lock:
            for name in self._files.names(self._folder):
                log = Log(self._folder / name)
                self._logs.append(log)
                for key, received_us in _read_log(self._files.read(log.path)):
                    log.note(1, received_us)
                    self._known.add(key, received_us)  # an id that is twice in a log is rare and harmless
            for key, received_us in in_spool:
                self._remember(key, received_us)
            self._known.forget(now_us)
            self._remove_old_logs(now_us)

    def add(self, key: bytes, received_us: int) -> None:
        """Recognize the id from now on; call it once the batch's record is on the disk."""
        with self._lock:
            self._remember(key, received_us)

    def write(self, entries: Iterable[tuple[bytes, int]], now_us: int) -> None:
        """Write ids to the log and fsync it, before their segment goes; raises OSError. A repeat is harmless."""
        recent = [(key, received_us) for key, received_us in entries if received_us > now_us - self._window_us]
        if not recent:
            return
        data = b"".join(_encode_entry(key, received_us) for key, received_us in recent)
        with self._lock:
            handle, log = self._current_log(now_us)
            try:
                self._files.write(handle, data)
                self._files.sync(handle)
            except OSError:
                # It is unknown how many bytes reached the disk. So this log is closed, and the next attempt makes
                # another log.
                self._close_log()
                raise
            log.note(len(recent), max(received_us for _, received_us in recent))
            self._remove_old_logs(now_us)

    def close(self) -> None:
        """Release the log's handle."""
        with self._lock:
            self._close_log()

    def _remember(self, key: bytes, received_us: int) -> None:
        if key not in self._known:
            self._known.add(key, received_us)

    def _current_log(self, now_us: int) -> tuple[int, Log]:
        if self._current is not None and self._is_full(self._current[1], now_us):
            self._close_log()
        if self._current is None:
            number = 1 + max((int(log.path.stem) for log in self._logs), default=0)
            log = Log(self._folder / f"{number:020d}.ids", began_us=now_us)
            self._current = (self._files.create(log.path), log)
            self._logs.append(log)
            try:
                self._files.sync_folder(self._folder)
            except OSError:
                self._close_log()
                raise
        return self._current

    def _is_full(self, log: Log, now_us: int) -> bool:
        return log.entries * LOGS >= self._max_ids or now_us - log.began_us > self._window_us // LOGS

    def _close_log(self) -> None:
        if self._current is not None:
            with suppress(OSError):
                self._files.close(self._current[0])
            self._current = None

    def _remove_old_logs(self, now_us: int) -> None:
        newer = 0
        for log in reversed(self._logs[:]):
            current = self._current is not None and log is self._current[1]
            if not current and (log.newest_us <= now_us - self._window_us or newer >= self._max_ids):
                with suppress(OSError):
                    self._files.remove(log.path)
                    self._logs.remove(log)
            newer += log.entries


def _encode_entry(key: bytes, received_us: int) -> bytes:
    packed = _ENTRY.pack(key, received_us)
    return packed + _CRC.pack(zlib.crc32(packed))


def _read_log(data: bytes | bytearray) -> Iterator[tuple[bytes, int]]:
    """Yield the whole entries; a torn or damaged entry is skipped."""
    for offset in range(0, len(data) - ENTRY_BYTES + 1, ENTRY_BYTES):
        packed = data[offset : offset + _ENTRY.size]
        if _CRC.unpack_from(data, offset + _ENTRY.size)[0] == zlib.crc32(packed):
            key, received_us = _ENTRY.unpack(packed)
            yield key, received_us
