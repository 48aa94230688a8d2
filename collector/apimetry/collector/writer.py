"""Sealed segments to the store, oldest first, each of them once.

A segment leaves the spool in this order: insert under its token, its senders' reports under another, batch ids to
their log, unlink. After a kill anywhere in between, the next start repeats the steps with the same bytes and the same
tokens, which the store recognizes.

While the store is away, the same insert is tried again for ever. What the store will never take is halved: batches
first, then rows, under tokens derived from the place. In the end the rejected rows are in the quarantine, and the
others are stored.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from apimetry.collector.call_limit import CallLimit
from apimetry.collector.metrics import Metrics
from apimetry.collector.reports import encode_reports
from apimetry.collector.segments import Contents, Part, load, split
from apimetry.collector.settings import CollectorSettings
from apimetry.collector.spool.quarantine import Origin
from apimetry.collector.spool.segment import Sealed
from apimetry.collector.spool.spool import Spool
from apimetry.store.errors import StoreRejected, is_transient

logger = logging.getLogger(__name__)

LOG_INTERVAL_S = 10.0
REPORTS_SUFFIX = "-senders"
Insert = Callable[[str, bytes | memoryview], Awaitable[None]]
"""Token, and blocks of rows."""
InsertReports = Callable[[str, bytes], Awaitable[None]]
"""Token, and a block of the store's SENDER_COLUMNS."""
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Inserts:
    """The store, as the writer sees it: both calls may be repeated with the same token and bytes."""

    rows: Insert
    reports: InsertReports | None = None


class Writer:
    """Drains a spool until it is cancelled, which it may be at any point."""

    def __init__(  # noqa: PLR0913 - everything that it is wired from
        self,
        spool: Spool,
        inserts: Inserts,
        settings: CollectorSettings,
        *,
        metrics: Metrics,
        calls: CallLimit | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._spool = spool
        self._insert = inserts.rows
        self._insert_reports = inserts.reports
        self._calls = calls
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
        quarantined = await self._insert_part(contents.whole, contents) if contents.whole.rows else Counter[int]()
        await self._store_reports(contents, quarantined)
        rejected = quarantined.total()

        def count() -> None:
            """Once, when the segment goes: until then everything above may have to be repeated."""
            self._metrics.finished(
                stored=contents.whole.rows - rejected,
                rejected=rejected,
                damaged=contents.damaged_rows,
                pieces=contents.damaged_pieces,
            )
            if self._calls is not None:
                self._calls.left_spool(contents.token, contents.records)

        await asyncio.to_thread(self._spool.finish, sealed, contents.keys, count)
        if not self._spool.journal.waiting:
            self._drained.set()

    async def _store_reports(self, contents: Contents, quarantined: Mapping[int, int]) -> None:
        body = encode_reports(contents.records, quarantined) if self._insert_reports else b""
        if not body or self._insert_reports is None:
            return
        token = f"{contents.token}{REPORTS_SUFFIX}"
        self._failpoints.hit("before_reports")
        try:
            await self._until_known(token, partial(self._insert_reports, token, body))
            self._failpoints.hit("after_reports")
        except StoreRejected as error:
            # They describe events, they are none: nothing may wait for them.
            self._complain("the senders' reports of %s are left out: %s", contents.token, error)

    async def _insert_part(self, part: Part, contents: Contents) -> Counter[int]:
        """Insert, or halve what is rejected until it is one row; returns the rows put aside of each record."""
        parts = [part]
        quarantined: Counter[int] = Counter()
        while parts:
            part = parts.pop()
            try:
                await self._insert_rows(part)
            except StoreRejected as error:
                halves = split(part, contents)
                if halves:
                    parts += reversed(halves)
                else:
                    await asyncio.to_thread(self._quarantine, part, contents, error)
                    quarantined[part.first if part.record is None else part.record] += part.rows
        return quarantined

    def _quarantine(self, part: Part, contents: Contents, error: StoreRejected) -> None:
        kept = self._spool.journal.quarantine.keep(
            f"{part.token}.rows",
            bytes(part.body),
            reason=f"the store rejected it: {error}",
            rows=part.rows,
            origin=_origin_of(part, contents),
        )
        if kept:
            logger.error("%d rows are in the quarantine as %s: %s", part.rows, part.token, error)

    async def _insert_rows(self, part: Part) -> None:
        async def insert() -> None:
            self._failpoints.hit("before_insert")
            began_s = time.monotonic()
            await self._insert(part.token, part.body)
            self._failpoints.hit("after_insert")
            self._metrics.inserted(time.monotonic() - began_s, len(part.body))

        await self._until_known(part.token, insert)

    async def _until_known(self, token: str, insert: Callable[[], Awaitable[None]]) -> None:
        """Try until the store took it or rejected it; the same token and bytes each time."""
        attempt = 0
        while True:
            try:
                await insert()
            except StoreRejected:
                self.store_away = False
                raise
            except Exception as error:  # noqa: BLE001 - see below
                # A worker's loop: whatever else went wrong, the rows are safe in the spool and are tried again.
                attempt += 1
                self.store_away = True
                self._metrics.insert_failed(transient=is_transient(error))
                self._complain("inserting %s failed, trying again: %s", token, error)
                await self._sleep(self._backoff_s(attempt))
            else:
                self.store_away = False
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
        logger.warning(f"{message} (and %d like it)", *values, self._suppressed)  # noqa: G004 - our own constants
        self._logged_s, self._suppressed = now_s, 0


def _origin_of(part: Part, contents: Contents) -> Origin:
    """Whose rows these are; a part that is put aside lies within one record."""
    meta = contents.records[part.first if part.record is None else part.record].meta
    instance = meta.report.instance if meta.report else ""
    return Origin(application=meta.application, received_us=meta.received_us, instance=instance)
