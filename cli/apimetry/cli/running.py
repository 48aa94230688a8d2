"""Connect store, collector and query service, and run them until a signal stops them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from aiohttp import web

from apimetry.cli import banner, logs
from apimetry.cli.data_dir import store_addresses
from apimetry.cli.disk_room import keep_room
from apimetry.cli.notifying import READY, STOPPING, notify
from apimetry.cli.opening import make_data_dir, open_store, store_of
from apimetry.cli.origins import origins_in, unmatchable
from apimetry.cli.ports import cannot_listen, check_ports
from apimetry.cli.settings import Settings, SettingsError
from apimetry.cli.start_error import StartError
from apimetry.collector.app import CONTROL
from apimetry.collector.app import create_app as create_collector
from apimetry.collector.openapi import DEFAULT_PORT
from apimetry.collector.openapi import describe as describe_collector
from apimetry.collector.settings import CollectorSettings, FsyncPolicy, SpoolSettings
from apimetry.query_api.app import create_app as create_query_service
from apimetry.query_api.settings import QuerySettings, SmtpSettings
from apimetry.query_api.sharing.codes import SignInCode
from apimetry.serving.background import in_background
from apimetry.serving.descriptors import MAX_CONNECTIONS, connections_within, raise_descriptor_limit
from apimetry.serving.listening import Listener, listen
from apimetry.store.accounts.accounts import Accounts
from apimetry.store.accounts.bootstrap import Credentials
from apimetry.store.accounts.directory import Directory
from apimetry.store.accounts.tokens import Tokens
from apimetry.store.client import Store
from apimetry.store.private_files import keep_private

logger = logging.getLogger(__name__)

# How long open requests may take to finish after a signal; docs/operations.md: a stop takes 10 s at most.
REQUEST_GRACE_S = 3.0
# How long the store may take to end its calls. Together with the spool's drain this stays below 10 s.
CLOSE_GRACE_S = 1.5
# How long a collector waits for a store that hangs, before it listens without the store. It waits longer where it
# has no stored accounts: without accounts it can only say that it is not ready.
PATIENCE_S = 3.0
PATIENCE_WITHOUT_ACCOUNTS_S = 30.0
# How often the accounts are read again. Nobody else changes those of an embedded store.
REFRESH_S = 5.0
EMBEDDED_REFRESH_S = 30.0
# The settings that SIGHUP changes in a running process. All other settings need a restart.
RELOADABLE = frozenset({"log_level", "spool_max_bytes", "events_per_s_per_key"})
# Where only programs on this machine reach a service.
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

Reload = Callable[[], Settings]


@dataclass
class Services:
    """The running services of one process: their listeners, and the collector for a reload."""

    settings: Settings
    listeners: list[Listener] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)
    collector: web.Application | None = None
    sign_in_code: SignInCode | None = None
    """Opens the first session; None: this start has no code."""

    max_connections: int = MAX_CONNECTIONS
    """The limit of every listener."""

    async def start(self, name: str, app: web.Application, port: int) -> None:
        """Listen for one service; `name` is "collector" or "query"."""
        try:
            listener = await listen(
                app, self.settings.host, port, grace_s=REQUEST_GRACE_S, max_connections=self.max_connections
            )
        except OSError as error:
            raise cannot_listen(name, self.settings.host, port, error) from error
        self.listeners.append(listener)
        self.addresses[name] = banner.reachable(listener.url)

    async def close(self) -> None:
        """Stop the services. The collector is first: it stops accepting, and its events go into the store."""
        for listener in self.listeners:
            await listener.close()

    def reload(self, load: Reload) -> None:
        """Load the settings again and apply the reloadable ones; unreadable settings change nothing."""
        try:
            fresh = load()
        except SettingsError as error:
            logger.warning("the settings are not reloaded: %s", error)
            return
        changed = [name for name in fresh.__struct_fields__ if getattr(fresh, name) != getattr(self.settings, name)]
        reloaded = sorted(RELOADABLE.intersection(changed))
        # Other settings keep their values: a new data directory is not made.
        self.settings = msgspec.structs.replace(self.settings, **{name: getattr(fresh, name) for name in reloaded})
        logs.set_level(self.settings.log_level)
        if self.collector is not None:
            self.collector[CONTROL].apply(collector_settings(self.settings))
        logger.info("the settings were reloaded; changed: %s", ", ".join(reloaded) or "nothing")
        unapplied = sorted(set(changed) - RELOADABLE)
        if unapplied:
            logger.warning("changed settings that need a restart: %s", ", ".join(unapplied))


def collector_settings(settings: Settings) -> CollectorSettings:
    """Return the settings of the collector."""
    spool = SpoolSettings(
        directory=make_data_dir(settings) / "spool",
        max_bytes=settings.spool_max_bytes,
        fsync=FsyncPolicy(settings.fsync),
    )
    return CollectorSettings(
        spool=spool,
        events_per_s_per_key=settings.events_per_s_per_key,
        hard_call_limit=settings.hard_call_limit,
        traffic_metrics=settings.traffic_metrics,
    )


def query_settings(settings: Settings, collector_address: str | None = None) -> QuerySettings:
    """Return the settings of the query service.

    `collector_address` is that of a collector in the same process. Pages show it only where it is on the loopback:
    elsewhere applications may reach the collector by another name.
    """
    own_address = collector_address if settings.host in LOOPBACK else None
    return QuerySettings(
        allowed_origins=origins_in(settings.allowed_origins),
        public_url=settings.public_url.rstrip("/") or None,
        collector_url=settings.public_collector_url.rstrip("/") or own_address,
        trace_url=settings.trace_url or None,
        max_query_time_s=settings.max_query_time_s,
        max_query_memory_bytes=settings.max_query_memory_bytes,
        allow_private_webhooks=settings.allow_private_webhooks,
        smtp=SmtpSettings(
            settings.smtp_host,
            settings.smtp_port,
            settings.smtp_user,
            settings.smtp_password,
            settings.smtp_from,
            settings.smtp_security,
        ),
        plan_changes=settings.plan_changes,
        price_per_request=settings.price_per_request,
        price_per_byte=settings.price_per_byte,
    )


async def run(settings: Settings, *, collector: bool, query: bool, reload: Reload | None = None) -> None:
    """Run the services until SIGTERM or SIGINT; a second signal ends the process at once.

    Acknowledged events are on disk, so an end at once loses nothing. SIGHUP applies the settings that `reload`
    returns. A collector does not wait for a ClickHouse server that is away: it listens with the accounts that it
    stored last, and keeps events in its spool.

    Raises:
        StartError: a port is in use, or one service alone was to run over an embedded store.
        StoreError: the store cannot be used.
    """
    if not settings.store and not (collector and query):
        raise StartError(
            "an embedded store belongs to one process: run `apimetry serve`, "
            "or set APIMETRY_STORE to a ClickHouse server"
        )
    if settings.drop_oldest_below_bytes and not store_of(settings).embedded:
        raise StartError(
            "--drop-oldest-below-bytes (APIMETRY_DROP_OLDEST_BELOW_BYTES) is for an embedded store:"
            " the disk of a ClickHouse server is not this machine's"
        )
    # This is the first step, because the first keys are shown once: the start that makes them must be able to listen.
    await check_ports(settings, *(["collector"] if collector else []), *(["query"] if query else []))
    store, away = store_of(settings), asyncio.Event()
    if query:
        for text in unmatchable(settings.allowed_origins):
            logger.warning("%s", text)
    stopping = _stop_on_signals()
    services = _make_services(settings, reload, listeners=collector + query)
    opening = asyncio.create_task(open_store(store, settings, away, generate=collector and query))
    starts_without_store = collector and not store.embedded
    snapshot_path = make_data_dir(settings) / "accounts.json" if starts_without_store else None
    try:
        await _first_of(opening, asyncio.create_task(stopping.wait()), *_wait_limits(away, snapshot_path))
        if stopping.is_set():
            return
        tokens = Tokens(store) if query else None
        refresh_s = EMBEDDED_REFRESH_S if store.embedded else REFRESH_S
        accounts = Accounts(store)
        directory = Directory(accounts, tokens=tokens, snapshot_path=snapshot_path, refresh_interval_s=refresh_s)
        await directory.start()
        try:
            await _start(services, store, directory, collector=collector, query=query)
            async with in_background("apimetry-room", keep_room(store, settings.drop_oldest_below_bytes)):
                await _serve(services, directory, opening, stopping)
        finally:
            await services.close()
            await directory.close()
    finally:
        await _close(store, opening)


def _make_services(settings: Settings, reload: Reload | None, *, listeners: int) -> Services:
    """Return the services, not yet started: the data directory is private, and SIGHUP reloads the settings."""
    keep_private(make_data_dir(settings))
    descriptors = raise_descriptor_limit()
    services = Services(settings, max_connections=connections_within(descriptors, listeners=listeners))
    logger.info("%d descriptors: %d connections at most for each service", descriptors, services.max_connections)
    if reload is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, services.reload, reload)
    return services


def _wait_limits(away: asyncio.Event, snapshot_path: Path | None) -> list[asyncio.Task[object]]:
    """Return tasks that end the wait for the store; none where the services cannot start without the store."""
    if snapshot_path is None:
        return []
    patience_s = PATIENCE_S if snapshot_path.exists() else PATIENCE_WITHOUT_ACCOUNTS_S
    return [asyncio.create_task(away.wait()), asyncio.create_task(asyncio.sleep(patience_s))]


async def _first_of(opening: asyncio.Task[Credentials | None], *others: asyncio.Task[object]) -> None:
    """Wait for the first task to end, and cancel the others; raise the error of opening the store."""
    done, _ = await asyncio.wait({opening, *others}, return_when=asyncio.FIRST_COMPLETED)
    for other in others:
        other.cancel()
    if opening in done:
        opening.result()


async def _start(services: Services, store: Store, directory: Directory, *, collector: bool, query: bool) -> None:
    settings = services.settings
    if collector:
        services.collector = create_collector(store, directory, collector_settings(settings), hosts=store.hosts)
        await services.start("collector", services.collector, settings.collector_port)
    if query:
        # Beyond the loopback, and behind a proxy, a code would be a password that is in a log.
        if collector and settings.host in LOOPBACK:
            services.sign_in_code = SignInCode()
        # The document shows the default port where the system chooses the port. The banner shows the chosen one.
        collector_document = describe_collector(collector_settings(settings), settings.collector_port or DEFAULT_PORT)
        app = create_query_service(
            store,
            directory,
            query_settings(settings, services.addresses.get("collector")),
            collector=collector_document,
            sign_in_code=services.sign_in_code,
        )
        await services.start("query", app, settings.query_port)


async def _serve(
    services: Services, directory: Directory, opening: asyncio.Task[Credentials | None], stopping: asyncio.Event
) -> None:
    """Print the banner and wait for a signal; raise where a store that is reached late cannot be used."""
    settings = services.settings
    try:
        store_addresses(settings.data_dir, {f"{name}_url": url for name, url in services.addresses.items()})
    except OSError as error:
        logger.warning("the addresses cannot be kept for other commands: %s", error)
    credentials = opening.result() if opening.done() else None
    missing = "events wait in the spool" if directory.loaded else "nothing is taken, since the keys are in it"
    banner.show(
        settings,
        services.addresses,
        credentials,
        missing="" if opening.done() else missing,
        sign_in_code=services.sign_in_code.text if services.sign_in_code else None,
    )
    notify(READY)
    if not opening.done():
        await _first_of(opening, asyncio.create_task(stopping.wait()))
        credentials = opening.result() if opening.done() else None
        if opening.done():
            logger.info("the store is available")
        if credentials is not None:
            banner.show_keys(credentials, settings)
    await stopping.wait()
    notify(STOPPING)
    logger.info("stopping")


async def _close(store: Store, opening: asyncio.Task[Credentials | None]) -> None:
    """Close the store. If it hangs, end the process: a stop must not wait for its response."""
    was_opening = not opening.done()
    opening.cancel()
    closing = asyncio.get_running_loop().run_in_executor(None, store.close)
    done, _ = await asyncio.wait([closing], timeout=CLOSE_GRACE_S)
    if not done or was_opening:
        # A thread may still wait for a response, and the interpreter would wait for the thread.
        logger.warning("the store still does not answer; ending without it, what was acknowledged is on disk")
        os._exit(0)
    closing.result()


def _stop_on_signals() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> Callable[[], None]:
        def handle() -> None:
            if stopping.is_set():
                os._exit(128 + number)
            stopping.set()

        return handle

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop(number))
    return stopping
