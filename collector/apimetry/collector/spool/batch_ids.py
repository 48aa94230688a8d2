"""Which batches were taken already, so that a retry is stored once.

The window, in numbers: an id is recognized for `window_s` (a day by default) after it was acknowledged, or among the
newest `max_ids` (1,000,000, which a thousand batches a second reach in 17 minutes and eleven in a day), across
restarts and kills. While a batch is in the spool its record carries the id; before its segment is unlinked the id is
appended to a log here and fsync'd. A log entry has 28 bytes: the batch key, received_us u64, CRC-32. A log is
replaced after a quarter of a window or of `max_ids`, and removed when it is outside of both: 35 MB of logs at most.

Thread-safe: one lock guards the memory and the logs; looking up needs none.
"""

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
    """16 bytes that stand for one application's batch."""
    return blake2b(batch_id, digest_size=16, key=application.encode()[:64]).digest()


@dataclass(slots=True, eq=False)
class Log:
    """One log's file, and what is in it."""

    path: Path
    began_us: int = 0
    newest_us: int = 0
    entries: int = 0

    def note(self, entries: int, newest_us: int) -> None:
        """It has more of them."""
        self.entries += entries
        self.newest_us = max(self.newest_us, newest_us)


class BatchIds:
    """The ids of the window, in memory and on the disk."""

    def __init__(self, files: Files, folder: Path, *, window_s: float, max_ids: int) -> None:
        self._files = files
        self._folder = folder
        self._window_us = int(window_s * US_PER_S)
        self._max_ids = max_ids
        # The lock guards what follows.
        self._lock = threading.Lock()
        self._known = IdSet(window_us=self._window_us, max_ids=max_ids)
        self._current: tuple[int, Log] | None = None  # with its handle
        self._logs: list[Log] = []  # oldest first

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: bytes) -> bool:
        return key in self._known

    def load(self, now_us: int, in_spool: Iterable[tuple[bytes, int]]) -> None:
        """Read the logs, and take the ids of the segments that are still there."""
        self._files.make_folder(self._folder)
        with self._lock:
            for name in self._files.names(self._folder):
                log = Log(self._folder / name)
                self._logs.append(log)
                for key, received_us in _read_log(self._files.read(log.path)):
                    log.note(1, received_us)
                    self._known.add(key, received_us)  # twice in a log is rare, and harms nothing
            for key, received_us in in_spool:
                self._remember(key, received_us)
            self._known.forget(now_us)
            self._remove_old_logs(now_us)

    def add(self, key: bytes, received_us: int) -> None:
        """Recognize the id from now on; its record is on the disk."""
        with self._lock:
            self._remember(key, received_us)

    def keep(self, entries: Iterable[tuple[bytes, int]], now_us: int) -> None:
        """Write ids to the log, fsync'd, before their segment goes; raises OSError. Repeating it is harmless."""
        fresh = [entry for entry in entries if entry[1] > now_us - self._window_us]
        if not fresh:
            return
        data = b"".join(map(_encode_entry, fresh))
        with self._lock:
            handle, log = self._current_log(now_us)
            try:
                self._files.write(handle, data)
                self._files.sync(handle)
            except OSError:
                # What of it reached the disk is unknown: this log is closed, and the next attempt makes another.
                self._close_log()
                raise
            log.note(len(fresh), max(received_us for _, received_us in fresh))
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


def _encode_entry(entry: tuple[bytes, int]) -> bytes:
    packed = _ENTRY.pack(*entry)
    return packed + _CRC.pack(zlib.crc32(packed))


def _read_log(data: bytes | bytearray) -> Iterator[tuple[bytes, int]]:
    """Whole entries; a torn or damaged one is skipped."""
    for offset in range(0, len(data) - ENTRY_BYTES + 1, ENTRY_BYTES):
        packed = data[offset : offset + _ENTRY.size]
        if _CRC.unpack_from(data, offset + _ENTRY.size)[0] == zlib.crc32(packed):
            key, received_us = _ENTRY.unpack(packed)
            yield key, received_us
