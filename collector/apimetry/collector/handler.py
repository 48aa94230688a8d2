"""`POST /1/event/`: who is it, may it be read, what is in it, is it on disk; then 200."""

import asyncio
import time
from collections.abc import Callable

from aiohttp import web

from apimetry.collector import decode
from apimetry.collector.body.body import BodyReader, content_type_of, encoding_of
from apimetry.collector.calls import CallLimit
from apimetry.collector.decode import Batch
from apimetry.collector.errors import DecodeError, SpoolError, TooManyEventsError
from apimetry.collector.limits import RateLimiter
from apimetry.collector.metrics import Metrics
from apimetry.collector.reports import make_report
from apimetry.collector.rows import Target, make_target
from apimetry.collector.settings import CollectorSettings
from apimetry.collector.spool.batch_ids import batch_key
from apimetry.collector.spool.segment import Entry, Meta
from apimetry.collector.spool.spool import Spool
from apimetry.serving.credentials import ApplicationAccess, authorize_application
from apimetry.serving.errors import APIError, BadRequest, PayloadTooLarge, TooManyRequests, Unavailable
from apimetry.serving.service import json_response
from apimetry.store.accounts.accounts import Application, KeyKind
from apimetry.store.accounts.directory import Directory

MAX_BATCH_ID_CHARACTERS = 128
CONCURRENT_DECODES = 2


class EventsHandler:
    """Takes batches; one instance serves every request of an application."""

    def __init__(  # noqa: PLR0913 - everything that it is wired from
        self,
        directory: Directory,
        spool: Spool,
        settings: CollectorSettings,
        metrics: Metrics,
        *,
        calls: CallLimit | None = None,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._calls = calls
        self._directory = directory
        self._spool = spool
        self._settings = settings
        self._metrics = metrics
        self._clock_us = clock_us
        self._bodies = BodyReader(settings)
        self._limiter = RateLimiter(settings.events_per_s_per_key)
        self._decoding = asyncio.Semaphore(CONCURRENT_DECODES)

    def set_rate(self, events_per_s_per_key: float) -> None:
        """Hold every key to another rate from now on."""
        self._limiter.set_rate(events_per_s_per_key)

    async def post(self, request: web.Request) -> web.Response:
        """Answer 200 once everything that is valid is in the spool."""
        try:
            return await self._post(request)
        except APIError as error:
            self._metrics.refused(str(error.status))
            raise

    async def _post(self, request: web.Request) -> web.Response:
        access = await authorize_application(
            request, self._directory, KeyKind.write, KeyKind.admin, purpose="send events"
        )
        key = access.principal.key_id
        self._check_calls(access)
        content_type, encoding = content_type_of(request), encoding_of(request)
        header_id = _batch_id(request)
        wait_s = self._limiter.wait_s(key)
        if wait_s:
            await asyncio.sleep(min(wait_s, self._settings.hold_back_s))
            raise TooManyRequests("This key sends more events than it may", retry_after_s=wait_s)
        charged, events = self._limiter.charge(key), 0
        try:
            if not self._spool.has_room:
                raise self._unavailable("The spool is full")
            async with self._bodies.read(request, key, encoding) as body:
                batch = await self._decode(body, content_type, access.application)
                events = batch.accepted + batch.rejected_total
                # Within the block: rows that wait for a slow disk are still paid for.
                return await self._take(batch, access, batch.batch_id or header_id)
        finally:
            self._limiter.settle(key, charged, events)

    def _check_calls(self, access: ApplicationAccess) -> None:
        wait_s = self._calls.wait_s(access.organization) if self._calls is not None else 0.0
        if wait_s:
            limit = access.organization.plan.max_calls_per_month
            raise TooManyRequests(
                f"The organization has used the {limit} calls of its plan for this month", retry_after_s=wait_s
            )

    async def _decode(self, body: bytes, content_type: str, application: Application) -> Batch:
        target = make_target(
            application.id,
            application.retention_days,
            now_us=self._clock_us(),
            max_ahead_s=self._settings.max_ahead_s,
        )
        try:
            if len(body) <= self._settings.inline_decode_bytes:
                return self._decode_now(body, content_type, target)
            async with self._decoding:
                return await asyncio.to_thread(self._decode_now, body, content_type, target)
        except DecodeError as error:
            raise BadRequest(str(error)) from error
        except TooManyEventsError as error:
            raise PayloadTooLarge(str(error)) from error

    def _decode_now(self, body: bytes, content_type: str, target: Target) -> Batch:
        read = decode.decode_json if content_type == "application/json" else decode.decode_msgpack
        return read(body, target, max_events=self._settings.max_batch_events)

    async def _take(self, batch: Batch, access: ApplicationAccess, batch_id: bytes | None) -> web.Response:
        new, application = True, access.application.id
        if batch.accepted:
            key = batch_key(application, batch_id) if batch_id else None
            entry = Entry(
                Meta(key, application, self._clock_us(), make_report(batch)), batch.accepted, batch.row_bytes
            )
            new = await self._append(entry, access.organization.id)
        self._metrics.took(batch, new=new)
        self._metrics.heard(application, batch.sender)
        if batch.rejected_total and not batch.accepted:
            raise BadRequest(f"None of the {batch.rejected_total} events is valid", details=batch.details)
        answer: dict[str, object] = {"accepted": batch.accepted, "rejected": batch.rejected_total}
        if not new:
            answer["duplicate"] = True
        if batch.details:
            answer["details"] = batch.details
        return json_response(answer)

    async def _append(self, entry: Entry, organization: str) -> bool:
        new = False
        # Before it is in the spool, which the writer may empty before this goes on; undone where it is not taken.
        # A cancelled sender's batch is.
        if self._calls is not None:
            self._calls.took(organization, entry.meta.application, entry.rows)
        try:
            new = await self._spool.append(entry)
        except SpoolError as error:
            raise self._unavailable(str(error)) from error
        except asyncio.CancelledError:
            new = True
            raise
        finally:
            if self._calls is not None and not new:
                self._calls.took(organization, entry.meta.application, -entry.rows)
        return new

    def _unavailable(self, message: str) -> Unavailable:
        return Unavailable(message, retry_after_s=self._settings.retry_after_s)


def _batch_id(request: web.Request) -> bytes | None:
    sent = request.headers.get("X-Batch-Id", "").strip()
    if len(sent) > MAX_BATCH_ID_CHARACTERS:
        raise BadRequest(f"X-Batch-Id has {len(sent)} characters; at most {MAX_BATCH_ID_CHARACTERS} are allowed")
    return sent.encode(errors="surrogateescape") or None


async def expect_nothing(_: web.Request) -> None:
    """Leave `Expect: 100-continue` to the body's reader: aiohttp would ask for the body before the key is known."""
