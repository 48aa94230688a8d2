"""Sealed segments to the store, oldest first, each of them once.

A segment leaves the spool in this order: insert under its token, batch ids to their log, unlink. Killed anywhere,
the next start repeats the steps with the same bytes and the same token, which the store then recognizes. While the
store is away the same insert is tried again for ever; what the store will never take is halved (batches first, then
rows, under tokens derived from the place) until the poison is alone in the quarantine and the rest is stored.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial

from apimetry.collector.metrics import Metrics
from apimetry.collector.settings import CollectorSettings
from apimetry.collector.spool.segment import Sealed
from apimetry.collector.spool.spool import Spool
from apimetry.collector.unpack import Contents, Part, load, split
from apimetry.store.errors import StoreRejected, is_transient

log = logging.getLogger(__name__)

LOG_INTERVAL_S = 10.0
Insert = Callable[[str, bytes], Awaitable[None]]
Sleep = Callable[[float], Awaitable[None]]


class Writer:
    """Drains a spool until it is cancelled, which it may be at any point."""

    def __init__(
        self,
        spool: Spool,
        insert: Insert,
        settings: CollectorSettings,
        *,
        metrics: Metrics,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._spool = spool
        self._insert = insert
        self._settings = settings
        self._metrics = metrics
        self._sleep = sleep
        self._failpoints = spool.journal.failpoints
        self._drained = asyncio.Event()
        self._logged_s = float("-inf")
        self._suppressed = 0
        self.store_away = False

    async def run(self) -> None:
        """Store segments as they come."""
        failures = 0
        while True:
            failed: list[Sealed] = []
            for sealed in await self._spool.sealed():
                try:
                    await self._store(sealed)
                except OSError as error:
                    # A disk that cannot be read or written now must not hold up the other segments.
                    failed.append(sealed)
                    self._complain("segment %s stays in the spool: %s", sealed.token, error)
            failures = failures + 1 if failed else 0
            if failed:
                await self._sleep(self._backoff_s(failures))

    async def drain(self) -> None:
        """Return once nothing waits; for a stop, after the spool was sealed."""
        while self._spool.journal.waiting:
            self._drained.clear()
            await self._drained.wait()

    async def _store(self, sealed: Sealed) -> None:
        contents = await asyncio.to_thread(load, self._spool.journal, sealed)
        rejected = await self._insert_part(contents.whole, contents) if contents.whole.rows else 0
        # Counted once, when the segment goes: until then everything above may have to be repeated.
        count = partial(
            self._metrics.finished,
            stored=contents.whole.rows - rejected,
            rejected=rejected,
            damaged=contents.damaged_rows,
            pieces=contents.damaged_pieces,
        )
        await asyncio.to_thread(self._spool.finish, sealed, contents.keys, count)
        if not self._spool.journal.waiting:
            self._drained.set()

    async def _insert_part(self, part: Part, contents: Contents) -> int:
        """Insert, or halve what is rejected until it is one row; returns how many rows were put aside."""
        parts = [part]
        put_aside = 0
        while parts:
            part = parts.pop()
            try:
                await self._insert_until_known(part)
            except StoreRejected as error:
                halves = split(part, contents)
                if halves:
                    parts += reversed(halves)
                else:
                    await asyncio.to_thread(self._quarantine, part, error)
                    put_aside += part.rows
        return put_aside

    def _quarantine(self, part: Part, error: StoreRejected) -> None:
        self._spool.journal.quarantine.keep(
            f"{part.token}.rows", bytes(part.body), reason=f"the store rejected it: {error}", rows=part.rows
        )
        log.error("%d rows are in the quarantine as %s: %s", part.rows, part.token, error)

    async def _insert_until_known(self, part: Part) -> None:
        """Try until the store took it or rejected it; the same token and bytes each time."""
        attempt = 0
        while True:
            self._failpoints.hit("before_insert")
            began_s = time.monotonic()
            try:
                await self._insert(part.token, bytes(part.body))
            except StoreRejected:
                self.store_away = False
                raise
            except Exception as error:  # noqa: BLE001 - see below
                # A worker's loop: whatever else went wrong, the rows are safe in the spool and are tried again.
                attempt += 1
                self.store_away = True
                self._metrics.insert_failed(transient=is_transient(error))
                self._complain("inserting %s failed, trying again: %s", part.token, error)
                await self._sleep(self._backoff_s(attempt))
            else:
                self._failpoints.hit("after_insert")
                self.store_away = False
                self._metrics.inserted(time.monotonic() - began_s, len(part.body))
                return

    def _backoff_s(self, attempt: int) -> float:
        longest_s = min(self._settings.max_backoff_s, self._settings.min_backoff_s * 2.0 ** min(attempt - 1, 16))
        return longest_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads collectors, guards nothing

    def _complain(self, message: str, *values: object) -> None:
        """One line each 10 s, with the number of those left out."""
        now_s = time.monotonic()
        if now_s - self._logged_s < LOG_INTERVAL_S:
            self._suppressed += 1
            return
        log.warning(f"{message} (and %d like it)", *values, self._suppressed)  # noqa: G004 - our own constants
        self._logged_s, self._suppressed = now_s, 0
