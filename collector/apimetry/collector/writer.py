"""Insert sealed segments into the store: the oldest first, and every segment once.

A segment leaves the spool in four steps: insert its rows under its token, insert its senders' reports under a second
token, write its batch ids to their log, unlink its file. Where collectors share a store, a step comes before: agree
which batches another collector stores, and put the answer on the disk (`spool.plans`). After a kill between two
steps, the next start repeats the steps with the same bytes and the same tokens. The store recognizes the tokens.

While the store is away, the writer repeats the same insert for ever. An insert that the store rejects is split in
halves: first between batches, then between rows. The token of a half comes from its place in the segment. In the end
the rejected rows are in the quarantine, and the other rows are stored.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from apimetry.collector.call_limit import CallLimit
from apimetry.collector.metrics import Metrics
from apimetry.collector.reports import encode_reports
from apimetry.collector.segments import Contents, Part, load, split, without
from apimetry.collector.settings import CollectorSettings
from apimetry.collector.spool.quarantine import Origin
from apimetry.collector.spool.segment import Record, Sealed
from apimetry.collector.spool.spool import Spool
from apimetry.store.batches import HeldBatch
from apimetry.store.errors import StoreRejected, StoreUnavailable, is_transient

logger = logging.getLogger(__name__)

LOG_INTERVAL_S = 10.0
REPORTS_SUFFIX = "-senders"
Insert = Callable[[str, bytes | memoryview], Awaitable[None]]
"""Takes a token and blocks of rows."""
InsertReports = Callable[[str, bytes], Awaitable[None]]
"""Takes a token and a block of the store's SENDER_COLUMNS."""
Hold = Callable[[str, Sequence[HeldBatch]], Awaitable[None]]
"""Takes a segment's token, and writes down that the segment holds the batches."""
FindOwners = Callable[[str, Sequence[HeldBatch]], Awaitable[Mapping[bytes, str]]]
"""Takes the same, and returns the owner of every batch that other segments hold, too."""
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Inserts:
    """The store's functions that the writer uses. Both may be called again with the same token and bytes."""

    rows: Insert
    reports: InsertReports | None = None
    hold: Hold | None = None
    owners: FindOwners | None = None
    """Both or neither: None where no other collector can use the store."""


class Writer:
    """Moves segments from a spool to the store; `run` may be cancelled at any point."""

    def __init__(  # noqa: PLR0913 - its collaborators
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
        self._hold = inserts.hold
        self._find_owners = inserts.owners
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
        """Store segments as they are sealed, until cancelled."""
        failures = 0
        while True:
            has_failed = False
            for sealed in await self._spool.sealed():
                try:
                    await self._store(sealed)
                except OSError as error:
                    # A segment that the disk cannot read or remove now must not block the other segments.
                    has_failed = True
                    self._warn("segment %s stays in the spool: %s", sealed.token, error)
            failures = failures + 1 if has_failed else 0
            if has_failed:
                await self._sleep(self._backoff_s(failures))

    async def drain(self) -> None:
        """Return once no sealed segment waits. Call it at a stop, after the spool has sealed its active segment."""
        while self._spool.journal.waiting:
            self._drained.clear()
            await self._drained.wait()

    async def _store(self, sealed: Sealed) -> None:
        loaded = await asyncio.to_thread(load, self._spool.journal, sealed)
        contents = without(loaded, await self._left_out(sealed, loaded.records))
        quarantined = await self._insert_part(contents.whole, contents) if contents.whole.rows else Counter[int]()
        await self._store_reports(contents, quarantined)
        rejected = quarantined.total()

        def count() -> None:
            """Count the segment. This runs once, when the segment leaves the spool: all steps before may repeat."""
            self._metrics.finished(
                stored=contents.whole.rows - rejected,
                elsewhere=loaded.whole.rows - contents.whole.rows,
                rejected=rejected,
                damaged=contents.damaged_rows,
                pieces=contents.damaged_pieces,
            )
            if self._calls is not None:
                self._calls.left_spool(loaded.token, loaded.records)

        await asyncio.to_thread(self._spool.finish, sealed, contents.keys, count)
        if not self._spool.journal.waiting:
            self._drained.set()

    async def _left_out(self, sealed: Sealed, records: Sequence[Record]) -> frozenset[int]:
        """Return the offsets of the records whose batches another collector stores."""
        journal = self._spool.journal
        planned = await asyncio.to_thread(journal.plans.read, sealed.token)
        if planned is not None:
            return planned
        offsets = {record.meta.batch_key: record.offset for record in records if record.meta.batch_key is not None}
        if self._hold is None or self._find_owners is None or not offsets:
            return frozenset()
        held = [_held(record) for record in records if record.meta.batch_key is not None]
        owners = await self._agree(sealed.token, held, self._hold, self._find_owners)
        left_out = frozenset(offsets[key] for key, owner in owners.items() if owner != sealed.token)
        self._failpoints.hit("before_plan")
        await asyncio.to_thread(journal.plan, sealed, left_out)
        self._failpoints.hit("after_plan")
        return left_out

    async def _agree(
        self, token: str, held: Sequence[HeldBatch], hold: Hold, find_owners: FindOwners
    ) -> Mapping[bytes, str]:
        owners: dict[bytes, str] = {}

        async def agree() -> None:
            try:
                await hold(token, held)
                self._failpoints.hit("after_hold")
                owners.update(await find_owners(token, held))
            except StoreRejected as error:
                # The rows of these tables are our own: an operator must act, and until then the events wait.
                raise StoreUnavailable(f"the store refuses batch ids: {error}") from error

        await self._until_known(token, agree)
        return owners

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
            # Reports describe events and are no events: no segment waits for them.
            self._warn("the senders' reports of %s are left out: %s", contents.token, error)

    async def _insert_part(self, part: Part, contents: Contents) -> Counter[int]:
        """Insert the part, and split rejected parts down to one row; return the quarantined rows of every record."""
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
        is_stored = self._spool.journal.quarantine.add(
            f"{part.token}.rows",
            bytes(part.body),
            reason=f"the store rejected it: {error}",
            rows=part.rows,
            origin=_origin_of(part, contents),
        )
        if is_stored:
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
        """Insert until the store accepts or rejects the rows; every attempt has the same token and bytes."""
        attempt = 0
        while True:
            try:
                await insert()
            except StoreRejected:
                self.store_away = False
                raise
            except Exception as error:  # noqa: BLE001 - a worker's loop: the rows are safe in the spool and tried again
                attempt += 1
                self.store_away = True
                self._metrics.insert_failed(transient=is_transient(error))
                self._warn("inserting %s failed, trying again: %s", token, error)
                await self._sleep(self._backoff_s(attempt))
            else:
                self.store_away = False
                return

    def _backoff_s(self, attempt: int) -> float:
        longest_s = min(self._settings.max_backoff_s, self._settings.min_backoff_s * 2.0 ** min(attempt - 1, 16))
        return longest_s * random.uniform(0.5, 1.0)  # noqa: S311 - it spreads the attempts of collectors

    def _warn(self, message: str, *values: object) -> None:
        """Log a warning at most every 10 s, with the number of warnings left out since."""
        now_s = time.monotonic()
        if now_s - self._logged_s < LOG_INTERVAL_S:
            self._suppressed += 1
            return
        logger.warning(f"{message} (and %d like it)", *values, self._suppressed)  # noqa: G004 - the message is a constant of this module
        self._logged_s, self._suppressed = now_s, 0


def _held(record: Record) -> HeldBatch:
    return HeldBatch(record.meta.batch_key or b"", record.meta.received_us, record.meta.is_first)


def _origin_of(part: Part, contents: Contents) -> Origin:
    """Return the origin of a part's rows; a quarantined part lies within one record."""
    meta = contents.records[part.first if part.record is None else part.record].meta
    instance = meta.report.instance if meta.report else ""
    return Origin(application=meta.application, received_us=meta.received_us, instance=instance)
