"""The way of a batch from the request to the disk: authorize the sender, read the body, decode it, spool the rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

from aiohttp import web

from apimetry.collector.body.body import BodyReader, encoding_of
from apimetry.collector.call_limit import CallLimit
from apimetry.collector.errors import DecodeError, SpoolError, TooManyEventsError
from apimetry.collector.formats.batch import Batch
from apimetry.collector.formats.blocks import make_target
from apimetry.collector.formats.event_structs import Sender
from apimetry.collector.formats.known import Format
from apimetry.collector.formats.user_agents import UserAgents
from apimetry.collector.limits import RateLimiter
from apimetry.collector.metrics import Metrics
from apimetry.collector.outcome import Outcome
from apimetry.collector.reports import make_report
from apimetry.collector.senders import Senders
from apimetry.collector.settings import CollectorSettings
from apimetry.collector.spool.batch_ids import batch_key
from apimetry.collector.spool.segment import Entry, Meta
from apimetry.collector.spool.spool import Spool
from apimetry.collector.traffic.table import Traffic
from apimetry.serving.credentials import ApplicationAccess, authorize_application
from apimetry.serving.errors import BadRequest, PayloadTooLarge, TooManyRequests, Unavailable
from apimetry.store.accounts.accounts import Application, KeyKind
from apimetry.store.accounts.directory import Directory

MAX_BATCH_ID_CHARACTERS = 128
CONCURRENT_DECODES = 2


class Intake:
    """Takes batches of every format; one instance serves all requests of the application."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        directory: Directory,
        spool: Spool,
        settings: CollectorSettings,
        metrics: Metrics,
        *,
        traffic: Traffic,
        calls: CallLimit | None = None,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._traffic = traffic
        self._calls = calls
        self._directory = directory
        self._spool = spool
        self._settings = settings
        self._metrics = metrics
        self._clock_us = clock_us
        self._senders = Senders()
        self._user_agents = UserAgents()
        self._bodies = BodyReader(settings)
        self._limiter = RateLimiter(settings.events_per_s_per_key)
        self._decoding = asyncio.Semaphore(CONCURRENT_DECODES)

    def set_rate(self, events_per_s_per_key: float) -> None:
        """Apply another rate limit from now on."""
        self._limiter.set_rate(events_per_s_per_key)

    async def admit(self, request: web.Request) -> ApplicationAccess:
        """Return the sender's key and its application; raise an APIError if the sender may not send."""
        access = await authorize_application(
            request, self._directory, KeyKind.write, KeyKind.admin, purpose="send events"
        )
        self._check_calls(access)
        return access

    async def take(self, request: web.Request, access: ApplicationAccess, format_: Format) -> Outcome:
        """Put all valid events of the batch into the spool, and return the outcome.

        Raises:
            APIError: no event of the batch was stored; the message says why.
        """
        encoding, header_id = encoding_of(request), _batch_id(request)
        key = access.principal.key_id
        await self._check_rate(key)
        charged, events = self._limiter.charge(key), 0
        try:
            if not self._spool.has_room:
                raise self._unavailable("The spool is full")
            async with self._bodies.read(request, key, encoding) as held:
                batch = await self._decode(held.body, format_, access.application)
                events = batch.accepted + batch.rejected_total
                # Within the block: the budget is charged for rows that wait for a slow disk, too.
                held.become(len(batch.row_bytes) + (batch.tally.size if batch.tally else 0))
                return await self._store(batch, access, batch.batch_id or header_id, is_first=_is_first(request))
        finally:
            self._limiter.settle(key, charged, events)

    async def _check_rate(self, key: str) -> None:
        wait_s = self._limiter.wait_s(key)
        if wait_s:
            await asyncio.sleep(min(wait_s, self._settings.hold_back_s))
            raise TooManyRequests("This key sends more events than it may", retry_after_s=wait_s)

    def _check_calls(self, access: ApplicationAccess) -> None:
        wait_s = self._calls.wait_s(access.organization) if self._calls is not None else 0.0
        if wait_s:
            limit = access.organization.plan.max_calls_per_month
            raise TooManyRequests(
                f"The organization has used the {limit} calls of its plan for this month", retry_after_s=wait_s
            )

    async def _decode(self, body: bytes, format_: Format, application: Application) -> Batch:
        target = make_target(
            application.id,
            application.retention_days,
            now_us=self._clock_us(),
            max_ahead_s=self._settings.max_ahead_s,
            user_agents=self._user_agents,
            counts_traffic=self._settings.traffic_metrics,
        )
        decode = partial(format_.decode, body, target, max_events=self._settings.max_batch_events)
        try:
            if len(body) <= self._settings.inline_decode_bytes:
                return decode()
            async with self._decoding:
                return await asyncio.to_thread(decode)
        except DecodeError as error:
            raise BadRequest(str(error)) from error
        except TooManyEventsError as error:
            raise PayloadTooLarge(str(error)) from error

    async def _store(
        self, batch: Batch, access: ApplicationAccess, batch_id: bytes | None, *, is_first: bool
    ) -> Outcome:
        is_new, application = True, access.application.id
        batch.sender = self._believed(application, batch.sender)
        if batch.accepted:
            key = batch_key(application, batch_id) if batch_id else None
            meta = Meta(key, application, self._clock_us(), make_report(batch), is_first)
            entry = Entry(meta, batch.accepted, batch.row_bytes)
            is_new = await self._append(entry, access.organization.id)
        self._metrics.record_batch(batch, new=is_new)
        if is_new and batch.tally is not None:
            self._traffic.add(application, batch.tally)
        if batch.sender is not None:
            self._senders.record(application, batch.sender)
        return Outcome(batch.accepted, batch.rejected_total, batch.details, is_duplicate=not is_new)

    def _believed(self, application: str, sender: Sender | None) -> Sender | None:
        believed = self._senders.believed(application, sender)
        if believed is None and sender is not None and sender.instance:
            self._metrics.disbelieved()
        return believed

    async def _append(self, entry: Entry, organization: str) -> bool:
        """Append the entry, and return whether its batch is new.

        Its calls are counted before the append: the writer may store the segment before the append returns.
        """
        if self._calls is None:
            return await self._append_to_spool(entry)
        is_counted = False
        self._calls.add(organization, entry.meta.application, entry.rows)
        try:
            is_counted = await self._append_to_spool(entry)
        except asyncio.CancelledError:
            # The sender has left. Its batch stays in the spool.
            is_counted = True
            raise
        finally:
            if not is_counted:
                self._calls.take_back(organization, entry.meta.application, entry.rows)
        return is_counted

    async def _append_to_spool(self, entry: Entry) -> bool:
        try:
            return await self._spool.append(entry)
        except SpoolError as error:
            raise self._unavailable(str(error)) from error

    def _unavailable(self, message: str) -> Unavailable:
        return Unavailable(message, retry_after_s=self._settings.retry_after_s)


def _is_first(request: web.Request) -> bool:
    """Return whether the sender says that it never sent the batch before; a sender that says nothing may have."""
    return request.headers.get("X-Batch-Attempt") == "1"


def _batch_id(request: web.Request) -> bytes | None:
    batch_id = request.headers.get("X-Batch-Id", "").strip()
    if len(batch_id) > MAX_BATCH_ID_CHARACTERS:
        raise BadRequest(f"X-Batch-Id has {len(batch_id)} characters; at most {MAX_BATCH_ID_CHARACTERS} are allowed")
    return batch_id.encode(errors="surrogateescape") or None
