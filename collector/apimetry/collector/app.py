"""The collector's aiohttp application. It owns the spool and the writer from start to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from importlib.metadata import version

from aiohttp import web

from apimetry.collector.call_limit import CallLimit
from apimetry.collector.failpoints import Failpoints
from apimetry.collector.handler import EventsHandler
from apimetry.collector.intake import Intake
from apimetry.collector.metrics import Metrics
from apimetry.collector.otlp_handler import OTLPHandler
from apimetry.collector.reporter import Reporter, figures_of, report_with_room
from apimetry.collector.settings import CollectorSettings
from apimetry.collector.spool.files import RealFiles
from apimetry.collector.spool.identity import name_in
from apimetry.collector.spool.journal import Journal
from apimetry.collector.spool.spool import Spool
from apimetry.collector.traffic.handler import TrafficHandler
from apimetry.collector.traffic.table import Traffic
from apimetry.collector.writer import Inserts, Writer
from apimetry.serving.background import in_background
from apimetry.serving.errors import error_middleware
from apimetry.serving.request_ids import request_id_marker, request_id_middleware
from apimetry.serving.service import add_service_routes, metrics_middleware, new_registry, no_store
from apimetry.store.accounts.directory import Directory
from apimetry.store.batches import find_owners, hold
from apimetry.store.calls import calls_of_month
from apimetry.store.client import Store
from apimetry.store.clock import utc_now
from apimetry.store.collectors import CollectorIdentity
from apimetry.store.hosts import Hosts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Control:
    """The settings of a running collector that can change: the spool's size and the rate limit."""

    journal: Journal
    intake: Intake

    def apply(self, settings: CollectorSettings) -> None:
        """Apply both from `settings`, and ignore the other settings."""
        self.journal.set_max_bytes(settings.spool.max_bytes)
        self.intake.set_rate(settings.events_per_s_per_key)


CONTROL = web.AppKey("control", Control)


def create_app(
    store: Store, directory: Directory, settings: CollectorSettings, *, hosts: Hosts | None = None
) -> web.Application:
    """Return the application. It opens the spool when it starts, and drains the spool when it stops.

    `drain_timeout_s` bounds the time of the drain. The caller opens and closes the store and the directory. Of the
    store's `hosts`, `/ready` and `/metrics` say which are away.
    """
    registry = new_registry()
    metrics = Metrics(registry)
    failpoints = Failpoints(os.environ.get("APIMETRY_FAILPOINTS"))
    journal = Journal(settings.spool, RealFiles(), clock_ns=time.time_ns, failpoints=failpoints)
    spool = Spool(journal)
    calls = CallLimit(partial(store.run_reserved, calls_of_month, store)) if settings.hard_call_limit else None
    writer = Writer(spool, _inserts_into(store), settings, metrics=metrics, calls=calls)
    traffic = Traffic()
    intake = Intake(directory, spool, settings, metrics, traffic=traffic, calls=calls)
    app = web.Application(
        middlewares=[request_id_middleware, metrics_middleware(registry, "collector"), error_middleware],
        # The collector inflates bodies itself, within a limit; aiohttp would inflate them without a limit.
        handler_args={"auto_decompress": False},
    )
    app.on_response_prepare.append(no_store)
    app.on_response_prepare.append(request_id_marker)
    app.add_routes(EventsHandler(intake, metrics).routes())
    app.add_routes(OTLPHandler(intake, metrics).routes())
    if settings.traffic_metrics:
        app.add_routes(TrafficHandler(directory, traffic).routes())

    async def ready() -> list[str]:
        return reasons_not_ready(spool, directory)

    add_service_routes(app, registry, ready, service="collector", hosts=hosts)
    app.cleanup_ctx.append(_Work(store, settings, spool, writer, metrics, calls).lifetime)
    app[CONTROL] = Control(journal, intake)
    return app


def _inserts_into(store: Store) -> Inserts:
    return Inserts(
        partial(store.run_reserved, store.insert_rows),
        partial(store.run_reserved, store.insert_sender_reports),
        # An embedded store belongs to this process: no other collector can hold one of its batches.
        None if store.embedded else partial(store.run_reserved, hold, store),
        None if store.embedded else partial(store.run_reserved, find_owners, store),
    )


@dataclass(frozen=True)
class _Work:
    """What the collector does beside its requests, from the application's start to its stop."""

    store: Store
    settings: CollectorSettings
    spool: Spool
    writer: Writer
    metrics: Metrics
    calls: CallLimit | None
    started_at: datetime = field(default_factory=utc_now)

    async def lifetime(self, _: web.Application) -> AsyncIterator[None]:
        """Open the spool, store its segments and report, and drain the spool in the end."""
        await self.spool.start()
        journal = self.spool.journal
        _log_recovered(journal)
        self.metrics.watch(journal)
        if self.calls is not None:
            self.calls.recovered(sealed.token for sealed in journal.sealed())
        task = asyncio.create_task(self.writer.run(), name="apimetry-writer")
        try:
            reporter = await self._reporter()
            async with in_background("apimetry-report", reporter.run()), _refreshing(self.calls):
                yield
        finally:
            await _stop(self.spool, self.writer, task, self.settings.drain_timeout_s)

    async def _reporter(self) -> Reporter:
        directory = self.settings.spool.directory
        name = await asyncio.to_thread(name_in, directory, RealFiles(), host=socket.gethostname())
        identity = CollectorIdentity(name, version("apimetry"), self.started_at)
        # Not in a reserved thread: those are for inserts and accounts.
        return Reporter(
            lambda: figures_of(self.spool, self.metrics, time.time_ns()),
            partial(self.store.run, report_with_room, self.store, identity, directory),
        )


@asynccontextmanager
async def _refreshing(calls: CallLimit | None) -> AsyncIterator[None]:
    """Keep the counts of the call limit fresh, if there is a limit."""
    if calls is None:
        yield
        return
    async with in_background("apimetry-calls", calls.run()):
        yield


def reasons_not_ready(spool: Spool, directory: Directory) -> list[str]:
    """Return why the collector would refuse batches now. A store that is away is no reason: the spool works."""
    reasons = []
    if spool.journal.broken:
        reasons.append("the spool's disk fails")
    if not spool.has_room:
        reasons.append("the spool is full")
    if not directory.loaded:
        reasons.append("the accounts could not be loaded yet")
    return reasons


def _log_recovered(journal: Journal) -> None:
    segments = journal.sealed()
    oldest = f", the oldest from {_utc(segments[0].created_ns)}" if segments else ""
    logger.info(
        "the spool in %s holds %d events in %d segments (%d bytes)%s; %d batch ids, %d pieces in the quarantine",
        journal.settings.directory, journal.rows, journal.segments, journal.size_bytes, oldest,
        len(journal.ids), len(journal.quarantine),
    )  # fmt: skip


def _utc(time_ns: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ns // 10**9))


async def _stop(spool: Spool, writer: Writer, task: asyncio.Task[None], drain_timeout_s: float) -> None:
    """Seal the active segment, let the writer drain the spool, and leave the rest to the next start."""
    await spool.stop_taking()
    if not writer.store_away:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(writer.drain(), drain_timeout_s)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    waiting_rows = spool.journal.rows
    await spool.close()
    if waiting_rows:
        logger.info("%d events wait in the spool for the next start", waiting_rows)
