"""The spool's disk side: one active segment, the sealed ones, and what survives a crash. Blocking, no threads.

Invariants:

1. `append` returns after the records, the file's name and (policy `always`) an fsync of both are on the disk: a
   power loss then loses 0 of them. If it raises, none of its records will be inserted.
2. A segment is inserted only once it is sealed, and its length stands in its name: the rows behind a token are
   the same bytes at every attempt, also after a restart.
3. After a failed fsync or a write that cannot be undone, the segment is sealed at its last good offset; until
   that seal is on the disk nothing is appended anywhere, so no refused record can come back beside its retry.
4. All segments together never exceed `max_bytes`; the size is right again right after a restart.
5. One owner: a lock that dies with its process. A newer format is refused before anything is touched.
6. 1 MiB is held in reserve: with the disk full, ids (28 bytes each, at most 32,768 a segment) can still be
   written, so that segments can go and make room.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from apimetry.collector.errors import SpoolBrokenError, SpoolError
from apimetry.collector.failpoints import Failpoints
from apimetry.collector.settings import FsyncPolicy, SpoolSettings
from apimetry.collector.spool import segment
from apimetry.collector.spool.active import NO_ROOM, ActiveSegment, refusal
from apimetry.collector.spool.batch_ids import BatchIds
from apimetry.collector.spool.files import Files
from apimetry.collector.spool.quarantine import Quarantine
from apimetry.collector.spool.recovery import Folders, recover, write_reserve
from apimetry.collector.spool.segment import Entry, Sealed


class Journal:
    """Appends and seals in one thread; `read` and `remove` may run in another."""

    def __init__(
        self,
        settings: SpoolSettings,
        files: Files,
        *,
        clock_ns: Callable[[], int],
        failpoints: Failpoints | None = None,
    ) -> None:
        self.settings = settings
        self.folders = Folders(settings.directory)
        self.ids = BatchIds(
            files, self.folders.ids, window_s=settings.batch_window_s, max_ids=settings.batch_window_ids
        )
        self.quarantine = Quarantine(files, self.folders.quarantine, max_bytes=settings.quarantine_max_bytes)
        self._files = files
        self._clock_ns = clock_ns
        self.failpoints = failpoints or Failpoints()
        self._active: ActiveSegment | None = None
        self._lock_handle: int | None = None
        # The lock guards the sealed segments, which the committing thread adds and the writer's removes.
        self._lock = threading.Lock()
        self._sealed: dict[str, Sealed] = {}
        self._sealed_bytes = 0
        self._sealed_rows = 0

    def open(self) -> None:
        """Take the directory, and find what an earlier process left; raises SpoolError or OSError."""
        window_ns = int((self.settings.batch_window_s + self.settings.segment_age_s) * 1e9)
        recovered = recover(self.folders, self._files, since_ns=self._clock_ns() - window_ns)
        self._lock_handle = recovered.lock_handle
        self.quarantine.open()
        for found in recovered.segments:
            self._add(found)
        self.ids.load(self._clock_ns() // 1000, recovered.keys)

    def close(self) -> None:
        """Seal what is open, and give the directory up. What cannot be sealed is recovered by the next start."""
        with suppress(SpoolError):
            self.seal()
        if self._active is not None:
            with suppress(OSError):
                self._files.close(self._active.handle)
            self._active = None
        self.ids.close()
        if self._lock_handle is not None:
            self._files.close(self._lock_handle)
            self._lock_handle = None

    def set_max_bytes(self, max_bytes: int) -> None:
        """Hold the spool to another size from now on; what is in it stays."""
        self.settings = replace(self.settings, max_bytes=max_bytes)

    @property
    def size_bytes(self) -> int:
        """Of all segments."""
        active = self._active
        return self._sealed_bytes + (active.end if active else 0)

    @property
    def rows(self) -> int:
        """Acknowledged events that are not yet stored."""
        active = self._active
        return self._sealed_rows + (active.rows if active else 0)

    @property
    def segments(self) -> int:
        """Files, the active one included."""
        return len(self._sealed) + (self._active is not None)

    @property
    def broken(self) -> bool:
        """True while a failed segment waits for its seal."""
        return self._active is not None and self._active.abandoned

    @property
    def waiting(self) -> bool:
        """True while a sealed segment waits for the store."""
        return bool(self._sealed)

    def sealed(self) -> list[Sealed]:
        """Segments that wait for the store, oldest first."""
        with self._lock:
            return sorted(self._sealed.values())

    def fitting(self, entries: Sequence[Entry]) -> int:
        """How many of these may go into the next `append`; seals first if none would."""
        active = self._active
        room = self.settings.segment_bytes - (active.end if active else segment.HEADER_BYTES)
        slots = self.settings.segment_records - (active.records if active else 0)
        count = 0
        for entry in entries[:slots]:
            room -= entry.record_bytes
            if room < 0:
                break
            count += 1
        if count or active is None or not active.records:
            return max(1, count)  # a record larger than a segment gets one of its own
        self.seal()
        return self.fitting(entries)

    def append(self, entries: Sequence[Entry], now_s: float) -> None:
        """Put records on the disk, all or none; raises SpoolFullError or SpoolBrokenError."""
        if self._active is not None and self._active.abandoned:
            self.seal()
        active = self._active or self._begin(now_s)
        data, offset = [], active.end
        for entry in entries:
            record = segment.encode_record(entry, active.token, offset)
            data.append(record)
            offset += len(record)
        self.failpoints.hit("before_append")
        self._write(active, b"".join(data))
        self.failpoints.hit("after_append")
        if self.settings.fsync is FsyncPolicy.always:
            self._sync(active)
        active.good = active.end
        active.rows += sum(entry.rows for entry in entries)
        active.records += len(entries)
        for entry in entries:
            if entry.meta.batch_key is not None:
                self.ids.add(entry.meta.batch_key, entry.meta.received_us)

    def sync_if_due(self, now_s: float) -> None:
        """Bring what was appended to the disk (policy `interval`); raises SpoolBrokenError."""
        active = self._active
        if active is None or active.synced or active.abandoned:
            return
        if now_s >= active.synced_s + self.settings.fsync_interval_s:
            self._sync(active)
            active.synced_s = now_s

    def due_in_s(self, now_s: float) -> float | None:
        """Seconds until the active segment must be sealed; None if there is none."""
        if self._active is None:
            return None
        return max(0.0, self._active.began_s + self.settings.segment_age_s - now_s)

    def seal(self) -> None:
        """Fix the active segment's length in its name and hand it to the writer; raises SpoolBrokenError."""
        active = self._active
        if active is None:
            return
        if not active.synced and not active.abandoned:
            self._sync(active)
        self.failpoints.hit("before_seal")
        sealed = Sealed(active.token, active.good, active.rows, max(active.good, active.end))
        target = self.folders.segments / sealed.name
        try:
            if active.path != target:
                self._files.rename(active.path, target)
                active.path = target
            self._files.sync_folder(self.folders.segments)
        except OSError as error:
            # Its name is uncertain now: nothing may be appended to it or beside it until a seal succeeds.
            active.abandoned = True
            raise SpoolBrokenError(f"a segment cannot be sealed: {error.strerror}") from error
        self.failpoints.hit("after_seal")
        with suppress(OSError):
            self._files.close(active.handle)
        self._active = None
        self._add(sealed)

    def read(self, sealed: Sealed) -> bytes | bytearray:
        """The bytes that count of a sealed segment; raises OSError."""
        return self._files.read(self.folders.segments / sealed.name, sealed.length)

    def remove(
        self, sealed: Sealed, keys: Sequence[tuple[bytes, int]], gone: Callable[[], None] = lambda: None
    ) -> None:
        """Forget a stored segment, after its batch ids are safe; raises OSError. Repeating it is harmless.

        `gone` is called once, at the moment the segment leaves the spool's size.
        """
        now_us = self._clock_ns() // 1000
        self.failpoints.hit("before_remember")
        try:
            self.ids.keep(keys, now_us)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            with suppress(FileNotFoundError):
                self._files.remove(self.folders.reserve)
            self.ids.keep(keys, now_us)
        self.failpoints.hit("after_remember")
        self.failpoints.hit("before_unlink")
        with suppress(FileNotFoundError):
            self._files.remove(self.folders.segments / sealed.name)
        self.failpoints.hit("after_unlink")
        with self._lock:
            if self._sealed.pop(sealed.token, None) is not None:
                gone()
                self._sealed_bytes -= sealed.file_bytes
                self._sealed_rows -= sealed.rows
        write_reserve(self._files, self.folders.reserve)
        self._files.sync_folder(self.folders.segments)

    def _add(self, sealed: Sealed) -> None:
        with self._lock:
            self._sealed[sealed.token] = sealed
            self._sealed_bytes += sealed.file_bytes
            self._sealed_rows += sealed.rows

    def _begin(self, now_s: float) -> ActiveSegment:
        created_ns = self._clock_ns()
        token = segment.new_token(created_ns)
        path = self.folders.segments / segment.open_name(token)
        try:
            handle = self._files.create(path)
        except OSError as error:
            raise refusal(error) from error
        active = ActiveSegment(token, path, handle, now_s, now_s)
        self._active = active
        try:
            self._write(active, segment.encode_header(created_ns))
            self._files.sync_folder(self.folders.segments)
        except OSError as error:
            active.abandoned = True
            raise refusal(error) from error
        except SpoolError:
            active.abandoned = True
            raise
        active.good = active.end
        return active

    def _write(self, active: ActiveSegment, data: bytes) -> None:
        active.synced = False
        try:
            self._files.write(active.handle, data)
        except OSError as error:
            self._undo(active, failed=error.errno not in NO_ROOM)
            raise refusal(error) from error
        active.end += len(data)

    def _sync(self, active: ActiveSegment) -> None:
        self.failpoints.hit("before_fsync")
        try:
            self._files.sync(active.handle)
        except OSError as error:
            # The kernel may have dropped the pages and will call the next fsync a success: believe none.
            if self.settings.fsync is FsyncPolicy.always:
                self._undo(active, failed=True)
            active.abandoned = True
            raise SpoolBrokenError(f"fsync failed: {error.strerror}") from error
        active.synced = True
        self.failpoints.hit("after_fsync")

    def _undo(self, active: ActiveSegment, *, failed: bool) -> None:
        """Cut the file back to its acknowledged records; if that fails too, no byte is added to it any more."""
        try:
            self._files.truncate(active.handle, active.good)
            active.end = active.good
            active.abandoned = active.abandoned or failed
        except OSError:
            with suppress(OSError):
                active.end = self._files.size(active.path)
            active.abandoned = True
