"""The spool as handlers and the writer use it: asyncio outside, one committing thread inside.

Group commit: the thread takes every batch that waits, writes them with one call, fsyncs once, and then resolves
their futures. While it fsyncs, the next group gathers.
"""

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
    """Takes batches and hands out sealed segments; methods belong to the event loop's thread, `finish` excepted."""

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

    async def start(self) -> None:
        """Open the directory; raises SpoolError or OSError."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self.journal.open)
        if self.journal.sealed():
            self._new_segment.set()
        self._thread = threading.Thread(target=self._commit_forever, name="apimetry-spool", daemon=True)
        self._thread.start()

    async def stop_taking(self) -> None:
        """Commit what waits, seal, and end the thread; later batches are refused."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def close(self) -> None:
        """Stop, and give the directory up."""
        await self.stop_taking()
        await asyncio.to_thread(self.journal.close)

    @property
    def has_room(self) -> bool:
        """False while even a small batch would be refused."""
        return self.journal.size_bytes + self._pending_bytes + 64 * 1024 <= self.journal.settings.max_bytes

    async def append(self, entry: Entry) -> bool:
        """Return once the batch is safe: True if it is new, False if its id was stored before.

        Raises SpoolFullError or SpoolBrokenError; then nothing of it is stored, also not later.
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
        # Shielded: were this caller cancelled, the batch and those who wait for it go on.
        await asyncio.shield(future)
        return True

    async def sealed(self) -> list[Sealed]:
        """Wait until there is a segment to insert; the oldest comes first."""
        while True:
            self._new_segment.clear()
            segments = self.journal.sealed()
            if segments:
                return segments
            await self._new_segment.wait()

    def finish(
        self, sealed: Sealed, keys: Sequence[tuple[bytes, int]], gone: Callable[[], None] = lambda: None
    ) -> None:
        """Let a stored segment go, as Journal.remove does; blocking, for the writer's thread."""
        self.journal.remove(sealed, keys, gone)
        with self._condition:
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
                if not self._pending and not self._stopping:
                    self._condition.wait(wait_s)
                group, self._pending = self._pending, []
                stopping = self._stopping
            while group:
                group = self._commit_some(group)
            wait_s = self._upkeep(stopping=stopping)
            if stopping:
                return

    def _commit_some(self, group: list[Waiting]) -> list[Waiting]:
        """Commit as many as fit into one segment; return the rest."""
        error: Exception | None = None
        count = len(group)
        try:
            count = self.journal.fitting([waiting.entry for waiting in group])
            self.journal.append([waiting.entry for waiting in group[:count]], self._clock_s())
        except SpoolError as refused:
            error = refused
        except Exception as unexpected:
            # The thread must outlive anything: its batches are refused, and the next ones get their chance.
            logger.exception("a group of batches could not be written")
            error = SpoolBrokenError(str(unexpected))
        self._resolve(group[:count], error)
        return group[count:]

    def _resolve(self, done: Sequence[Waiting], error: Exception | None) -> None:
        with self._condition:
            self._pending_bytes -= sum(waiting.entry.record_bytes for waiting in done)
        self._call(_settle, done, error)

    def _upkeep(self, *, stopping: bool) -> float | None:
        """Sync and seal what is due; return when to look again, None for the next batch."""
        now_s = self._clock_s()
        try:
            due_in_s = self.journal.due_in_s(now_s)
            if stopping or (due_in_s == 0 and not self.journal.waiting):
                self.journal.seal()
                due_in_s = None
            elif due_in_s == 0:
                # The writer is behind: a larger segment later serves it better than another small one now.
                # Its next `finish` wakes this thread.
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


def _settle(done: Sequence[Waiting], error: Exception | None) -> None:
    for waiting in done:
        if waiting.future.done():
            continue
        if error is None:
            waiting.future.set_result(None)
        else:
            waiting.future.set_exception(error)
            waiting.future.exception()  # nobody may be left to hear it
