"""The spool on the disk: one active segment, the sealed segments, and their state after a crash.

Every call blocks; there are no threads here.

Invariants:

1. `append` returns once the records and the file's name are written, and with the policy `always` once both are
   fsync'd: a power loss then loses 0 of the records. If `append` raises, none of its records will be inserted.
2. A segment is inserted only after it is sealed. Its length stands in its name. So the rows of a token are the same
   bytes at every attempt, also after a restart.
3. After a failed fsync, or a write that cannot be undone, the segment is sealed at the end of its last acknowledged
   record. Nothing is appended anywhere before that seal is on the disk. So a refused record is never stored beside
   its repetition.
4. All segments together never exceed `max_bytes`. The size is known again right after a restart.
5. The spool has one owner: the kernel releases the lock when the owner's process ends. A newer format is refused
   before anything is changed.
6. 1 MiB of the disk is held in reserve. On a full disk, the reserve makes room for the ids of a stored segment (28
   bytes per id, at most 32,768 ids) and for its plan, so that the segment can be inserted and removed.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from apimetry.collector.errors import SpoolBrokenError, SpoolError
from apimetry.collector.failpoints import Failpoints
from apimetry.collector.settings import FsyncPolicy, SpoolSettings
from apimetry.collector.spool import segment
from apimetry.collector.spool.active import NO_ROOM, ActiveSegment, refusal
from apimetry.collector.spool.batch_ids import BatchIds
from apimetry.collector.spool.files import Files
from apimetry.collector.spool.plans import Plans
from apimetry.collector.spool.quarantine import Quarantine
from apimetry.collector.spool.recovery import Folders, recover, write_reserve
from apimetry.collector.spool.segment import Entry, Sealed

SETTLE_SHARE = 0.1
"""The first segment after a pause waits this share of a segment's age for further batches."""


class Journal:
    """Appends and seals in one thread; `read` and `remove` may run in another thread."""

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
        self.plans = Plans(files, self.folders.plans)
        self._files = files
        self._clock_ns = clock_ns
        self.failpoints = failpoints or Failpoints()
        self._active: ActiveSegment | None = None
        self._began_s = -math.inf  # the newest segment
        self._lock_handle: int | None = None
        # The lock guards the sealed segments: the committing thread adds them, and the writer's thread removes them.
        self._lock = threading.Lock()
        self._sealed: dict[str, Sealed] = {}
        self._sealed_bytes = 0
        self._sealed_rows = 0

    def open(self) -> None:
        """Lock the directory, and recover the segments of an earlier process; raises SpoolError or OSError."""
        window_ns = int((self.settings.batch_window_s + self.settings.segment_age_s) * 1e9)
        recovered = recover(self.folders, self._files, since_ns=self._clock_ns() - window_ns)
        self._lock_handle = recovered.lock_handle
        self.quarantine.open()
        self.plans.open({sealed.token for sealed in recovered.segments})
        for sealed in recovered.segments:
            self._add(sealed)
        self.ids.load(self._clock_ns() // 1000, recovered.keys)

    def close(self) -> None:
        """Seal the active segment, and unlock the directory. After a failed seal, the next start recovers it."""
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
        """Apply another limit on the spool's size from now on; its segments stay."""
        self.settings = replace(self.settings, max_bytes=max_bytes)

    @property
    def size_bytes(self) -> int:
        """Return the size of all segments."""
        active = self._active
        return self._sealed_bytes + (active.end if active else 0)

    @property
    def rows(self) -> int:
        """Return the number of acknowledged events that are not yet stored."""
        active = self._active
        return self._sealed_rows + (active.rows if active else 0)

    @property
    def segments(self) -> int:
        """Return the number of segments, with the active one."""
        return len(self._sealed) + (self._active is not None)

    @property
    def oldest_ns(self) -> int | None:
        """Return when the oldest segment was begun, in nanoseconds since the epoch; None without a segment."""
        active = self._active
        with self._lock:
            tokens = [*self._sealed, *([active.token] if active else [])]
        return min(map(segment.created_ns, tokens), default=None)

    @property
    def broken(self) -> bool:
        """Return whether a segment waits for its seal after a fault of the disk."""
        return self._active is not None and self._active.abandoned

    @property
    def waiting(self) -> bool:
        """Return whether a sealed segment waits for the store."""
        return bool(self._sealed)

    def sealed(self) -> list[Sealed]:
        """Return the segments that wait for the store, the oldest first."""
        with self._lock:
            return sorted(self._sealed.values())

    def fitting(self, entries: Sequence[Entry]) -> int:
        """Return how many of the entries the next `append` may take; seal the active segment if none fits into it."""
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
            return max(1, count)  # a record that is larger than a segment gets a segment of its own
        self.seal()
        return self.fitting(entries)

    def append(self, entries: Sequence[Entry], now_s: float) -> None:
        """Put all records on the disk, or none; raises SpoolFullError or SpoolBrokenError."""
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
        """Fsync the appended records once the interval is over (policy `interval`); raises SpoolBrokenError."""
        active = self._active
        if active is None or active.synced or active.abandoned:
            return
        if now_s >= active.synced_s + self.settings.fsync_interval_s:
            self._sync(active)
            active.synced_s = now_s

    def due_in_s(self, now_s: float) -> float | None:
        """Return the seconds until the active segment must be sealed; None without an active segment."""
        if self._active is None:
            return None
        return max(0.0, self._active.due_s - now_s)

    def seal(self) -> None:
        """Put the active segment's length into its name, and hand it to the writer; raises SpoolBrokenError."""
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
            # The segment's name is uncertain now. Nothing may be appended, to any segment, before a seal succeeds.
            active.abandoned = True
            raise SpoolBrokenError(f"a segment cannot be sealed: {error.strerror}") from error
        self.failpoints.hit("after_seal")
        with suppress(OSError):
            self._files.close(active.handle)
        self._active = None
        self._add(sealed)

    def read(self, sealed: Sealed) -> bytes | bytearray:
        """Return the first `length` bytes of a sealed segment, the valid ones; raises OSError."""
        return self._files.read(self.folders.segments / sealed.name, sealed.length)

    def remove(
        self, sealed: Sealed, keys: Sequence[tuple[bytes, int]], on_removed: Callable[[], None] = lambda: None
    ) -> None:
        """Remove a stored segment after its batch ids are in their log; raises OSError. A repeat is harmless.

        `on_removed` is called once, at the moment when the segment leaves the spool's size.
        """
        now_us = self._clock_ns() // 1000
        self.failpoints.hit("before_remember")
        self._in_reserve(lambda: self.ids.write(keys, now_us))
        self.failpoints.hit("after_remember")
        self.failpoints.hit("before_unlink")
        with suppress(FileNotFoundError):
            self._files.remove(self.folders.segments / sealed.name)
        self.failpoints.hit("after_unlink")
        with self._lock:
            if self._sealed.pop(sealed.token, None) is not None:
                on_removed()
                self._sealed_bytes -= sealed.file_bytes
                self._sealed_rows -= sealed.rows
        write_reserve(self._files, self.folders.reserve)
        self._files.sync_folder(self.folders.segments)
        self.plans.remove(sealed.token)

    def plan(self, sealed: Sealed, offsets: Iterable[int]) -> None:
        """Keep the offsets of the records that an insert of the segment leaves out; raises OSError."""
        left_out = list(offsets)
        self._in_reserve(lambda: self.plans.write(sealed.token, left_out))

    def _in_reserve(self, write: Callable[[], None]) -> None:
        """Write, on a full disk in the room of the reserve; `remove` makes the reserve again."""
        try:
            write()
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            with suppress(FileNotFoundError):
                self._files.remove(self.folders.reserve)
            write()

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
        active = ActiveSegment(token, path, handle, self._due_s(now_s), now_s)
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

    def _due_s(self, now_s: float) -> float:
        """Return when a segment that begins now must be sealed: soon after a pause, else at its full age."""
        age_s = self.settings.segment_age_s
        in_traffic = now_s - self._began_s < 2 * age_s
        self._began_s = now_s
        return now_s + (age_s if in_traffic else age_s * SETTLE_SHARE)

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
            # The kernel may have dropped the pages, and then reports the next fsync as a success. So no later fsync
            # of this file is trusted.
            if self.settings.fsync is FsyncPolicy.always:
                self._undo(active, failed=True)
            active.abandoned = True
            raise SpoolBrokenError(f"fsync failed: {error.strerror}") from error
        active.synced = True
        self.failpoints.hit("after_fsync")

    def _undo(self, active: ActiveSegment, *, failed: bool) -> None:
        """Cut the file back to its acknowledged records; if that fails, too, abandon the segment."""
        try:
            self._files.truncate(active.handle, active.good)
            active.end = active.good
            active.abandoned = active.abandoned or failed
        except OSError:
            with suppress(OSError):
                active.end = self._files.size(active.path)
            active.abandoned = True
