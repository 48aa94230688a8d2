"""Which batches were taken already, so that a retry is stored once.

The window, in numbers: an id is recognized for `window_s` (10 minutes by default) after it was acknowledged, up to
the newest `max_ids` (500,000), across restarts and kills. While a batch is in the spool its record carries the id;
before its segment is unlinked the id is appended to a log here and fsync'd. A log entry has 28 bytes: the batch
key, received_us u64, CRC-32. A log is replaced after half a window and removed when its last entry is outside it.

Thread-safe: one lock guards the memory and the current log.
"""

import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from apimetry.collector.spool.files import Files

_ENTRY = struct.Struct(">16sQ")
_CRC = struct.Struct(">I")
ENTRY_BYTES = _ENTRY.size + _CRC.size
US_PER_S = 1_000_000


def batch_key(application: str, batch_id: bytes) -> bytes:
    """16 bytes that stand for one application's batch."""
    return blake2b(batch_id, digest_size=16, key=application.encode()[:64]).digest()


class BatchIds:
    """The ids of the window, in memory and on the disk."""

    def __init__(self, files: Files, folder: Path, *, window_s: float, max_ids: int) -> None:
        self._files = files
        self._folder = folder
        self._window_us = int(window_s * US_PER_S)
        self._max_ids = max_ids
        # The lock guards what follows.
        self._lock = threading.Lock()
        self._received_us: dict[bytes, int] = {}
        self._log: tuple[int, Path, int] | None = None  # handle, path, begun at µs
        self._newest_us: dict[Path, int] = {}

    def __len__(self) -> int:
        return len(self._received_us)

    def __contains__(self, key: bytes) -> bool:
        return key in self._received_us

    def load(self, now_us: int, in_spool: Iterable[tuple[bytes, int]]) -> None:
        """Read the logs, and take the ids of the segments that are still there."""
        self._files.make_folder(self._folder)
        entries = list(in_spool)
        for name in self._files.names(self._folder):
            path = self._folder / name
            logged = list(_read_log(self._files.read(path)))
            self._newest_us[path] = max((received_us for _, received_us in logged), default=0)
            entries += logged
        with self._lock:
            for key, received_us in sorted(entries, key=lambda entry: entry[1]):
                self._received_us[key] = received_us
            self._forget(now_us)
            self._remove_old_logs(now_us)

    def add(self, key: bytes, received_us: int) -> None:
        """Recognize the id from now on; its record is on the disk."""
        with self._lock:
            self._received_us[key] = received_us
            self._forget(received_us)

    def keep(self, entries: Iterable[tuple[bytes, int]], now_us: int) -> None:
        """Write ids to the log, fsync'd, before their segment goes; raises OSError. Repeating it is harmless."""
        fresh = [entry for entry in entries if entry[1] > now_us - self._window_us]
        if not fresh:
            return
        data = b"".join(map(_encode_entry, fresh))
        with self._lock:
            handle, path = self._current_log(now_us)
            try:
                self._files.write(handle, data)
                self._files.sync(handle)
            except OSError:
                # What of it reached the disk is unknown: this log is closed, and the next attempt makes another.
                self._close_log()
                raise
            newest_us = max(received_us for _, received_us in fresh)
            self._newest_us[path] = max(self._newest_us.get(path, 0), newest_us)
            self._remove_old_logs(now_us)

    def close(self) -> None:
        """Release the log's handle."""
        with self._lock:
            self._close_log()

    def _forget(self, now_us: int) -> None:
        oldest_us = now_us - self._window_us
        while self._received_us:
            key = next(iter(self._received_us))
            if self._received_us[key] > oldest_us and len(self._received_us) <= self._max_ids:
                return
            del self._received_us[key]

    def _current_log(self, now_us: int) -> tuple[int, Path]:
        if self._log is not None and now_us - self._log[2] > self._window_us // 2:
            self._close_log()
        if self._log is None:
            number = 1 + max((int(path.stem) for path in self._newest_us), default=0)
            path = self._folder / f"{number:020d}.ids"
            handle = self._files.create(path)
            self._newest_us[path] = 0
            self._log = (handle, path, now_us)
            try:
                self._files.sync_folder(self._folder)
            except OSError:
                self._close_log()
                raise
        return self._log[0], self._log[1]

    def _close_log(self) -> None:
        if self._log is not None:
            with suppress(OSError):
                self._files.close(self._log[0])
            self._log = None

    def _remove_old_logs(self, now_us: int) -> None:
        current = self._log[1] if self._log else None
        for path, newest_us in list(self._newest_us.items()):
            if path != current and newest_us <= now_us - self._window_us:
                with suppress(OSError):
                    self._files.remove(path)
                    del self._newest_us[path]


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
