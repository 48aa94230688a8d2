"""The spool for handlers and the writer: an asyncio interface, and one thread that commits.

Group commit: the thread takes all waiting batches, writes them with one call, fsyncs once, and then resolves their
futures. During the fsync, the next group of batches gathers.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apimetry.collector.errors import SpoolBrokenError, SpoolError, SpoolFullError
from apimetry.collector.settings import FsyncPolicy
from apimetry.collector.spool.journal import Journal
from apimetry.collector.spool.segment import Entry, Sealed

logger = logging.getLogger(__name__)

RETRY_SEAL_S = 1.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch that waits for its commit."""

    entry: Entry
    future: asyncio.Future[None]


class Spool:
    """Appends batches and returns sealed segments. Call all methods but `finish` in the event loop's thread."""

    def __init__(self, journal: Journal, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.journal = journal
        self._clock_s = clock_s
        self._in_flight: dict[bytes, asyncio.Future[None]] = {}
        self._new_segment = asyncio.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # The condition guards what follows.
        self._condition = threading.Condition()
        self._pending: list[Waiting] = []
        self._pending_bytes = 0
        self._stopping = False
        # Whether a segment has left since the thread last looked: it may have left before the thread waits.
        self._has_left = False

    async def start(self) -> None:
        """Open the directory and start the thread; raises SpoolError or OSError."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self.journal.open)
        if self.journal.sealed():
            self._new_segment.set()
        self._thread = threading.Thread(target=self._commit_forever, name="apimetry-spool", daemon=True)
        self._thread.start()

    async def stop_taking(self) -> None:
        """Commit the waiting batches, seal the active segment, and end the thread; later batches are refused."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def close(self) -> None:
        """Stop, and unlock the directory."""
        await self.stop_taking()
        await asyncio.to_thread(self.journal.close)

    @property
    def has_room(self) -> bool:
        """Return whether a small batch would be accepted now."""
        return self.journal.size_bytes + self._pending_bytes + 64 * 1024 <= self.journal.settings.max_bytes

    async def append(self, entry: Entry) -> bool:
        """Return once the batch is safe: True if it is new, False if its id was accepted before.

        Raises SpoolFullError or SpoolBrokenError. After an error, no event of the batch is stored, now or later.
        """
        key = entry.meta.batch_key
        if key is None:
            await self._enqueue(entry)
            return True
        if key in self.journal.ids:
            return False
        first = self._in_flight.get(key)
        if first is not None:
            await asyncio.shield(first)
            return False
        future = self._enqueue(entry)
        self._in_flight[key] = future
        future.add_done_callback(lambda _: self._in_flight.pop(key, None))
        # Shielded: if this caller is cancelled, the batch is still committed, and other callers can wait for it.
        await asyncio.shield(future)
        return True

    async def sealed(self) -> list[Sealed]:
        """Wait for a sealed segment, and return all sealed segments, the oldest first."""
        while True:
            self._new_segment.clear()
            segments = self.journal.sealed()
            if segments:
                return segments
            await self._new_segment.wait()

    def finish(
        self, sealed: Sealed, keys: Sequence[tuple[bytes, int]], on_removed: Callable[[], None] = lambda: None
    ) -> None:
        """Remove a stored segment, as Journal.remove does; blocking, for the writer's thread."""
        self.journal.remove(sealed, keys, on_removed)
        with self._condition:
            self._has_left = True
            self._condition.notify()

    def _enqueue(self, entry: Entry) -> asyncio.Future[None]:
        if self._loop is None:
            raise SpoolBrokenError("the spool is not open")
        future: asyncio.Future[None] = self._loop.create_future()
        with self._condition:
            if self._stopping:
                raise SpoolBrokenError("the collector is stopping")
            size = self.journal.size_bytes + self._pending_bytes + entry.record_bytes
            if size > self.journal.settings.max_bytes:
                raise SpoolFullError(f"the spool is at its limit of {self.journal.settings.max_bytes} bytes")
            self._pending.append(Waiting(entry, future))
            self._pending_bytes += entry.record_bytes
            self._condition.notify()
        return future

    def _commit_forever(self) -> None:
        wait_s: float | None = None
        while True:
            with self._condition:
                if not (self._pending or self._stopping or self._has_left):
                    self._condition.wait(wait_s)
                self._has_left = False
                group, self._pending = self._pending, []
                stopping = self._stopping
            while group:
                group = self._commit_prefix(group)
            wait_s = self._upkeep(stopping=stopping)
            if stopping:
                return

    def _commit_prefix(self, group: list[Waiting]) -> list[Waiting]:
        """Commit the first batches, as many as fit into one segment; return the other batches."""
        error: Exception | None = None
        count = len(group)
        try:
            count = self.journal.fitting([waiting.entry for waiting in group])
            self.journal.append([waiting.entry for waiting in group[:count]], self._clock_s())
        except SpoolError as refused:
            error = refused
        except Exception as unexpected:
            # The thread must survive every error. These batches are refused, and the thread goes on with the next.
            logger.exception("a group of batches could not be written")
            error = SpoolBrokenError(str(unexpected))
        self._resolve(group[:count], error)
        return group[count:]

    def _resolve(self, batches: Sequence[Waiting], error: Exception | None) -> None:
        with self._condition:
            self._pending_bytes -= sum(waiting.entry.record_bytes for waiting in batches)
        self._call(_set_results, batches, error)

    def _upkeep(self, *, stopping: bool) -> float | None:
        """Fsync and seal if that is due; return the seconds until the next upkeep, None for "at the next batch"."""
        now_s = self._clock_s()
        try:
            due_in_s = self.journal.due_in_s(now_s)
            if stopping or (due_in_s == 0 and not self.journal.waiting):
                self.journal.seal()
                due_in_s = None
            elif due_in_s == 0:
                # The writer is behind: it inserts one larger segment later faster than one more small segment now.
                # The writer's next `finish` wakes this thread.
                due_in_s = None if self.journal.settings.fsync is FsyncPolicy.always else RETRY_SEAL_S
            if self.journal.settings.fsync is FsyncPolicy.interval and due_in_s is not None:
                self.journal.sync_if_due(now_s)
                due_in_s = min(due_in_s, self.journal.settings.fsync_interval_s)
        except SpoolError as error:
            logger.warning("the spool is not writable: %s", error)
            due_in_s = RETRY_SEAL_S
        if self.journal.waiting:
            self._call(self._new_segment.set)
        return due_in_s

    def _call(self, function: Callable[..., object], *args: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *args)


def _set_results(batches: Sequence[Waiting], error: Exception | None) -> None:
    for waiting in batches:
        if waiting.future.done():
            continue
        if error is None:
            waiting.future.set_result(None)
        else:
            waiting.future.set_exception(error)
            waiting.future.exception()  # the caller may be cancelled: asyncio would log an unread exception
