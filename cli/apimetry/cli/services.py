"""Wires store, collector and query service together and runs them until a signal says stop."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from aiohttp import web

from apimetry.cli import banner
from apimetry.cli.output import print_rows
from apimetry.cli.settings import Settings
from apimetry.collector.app import create_app as create_collector
from apimetry.collector.settings import CollectorSettings, FsyncPolicy, SpoolSettings
from apimetry.query_api.app import create_app as create_query_service
from apimetry.query_api.settings import QuerySettings
from apimetry.store import migrations
from apimetry.store.accounts import Accounts
from apimetry.store.bootstrap import Credentials, bootstrap
from apimetry.store.client import Store
from apimetry.store.directory import Directory
from apimetry.store.errors import StoreError, is_transient

log = logging.getLogger(__name__)

# Backoff while a ClickHouse server cannot be reached at the start, in seconds.
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
# How long open requests may take to finish after a signal; guarantees.md, 16: within 10 s in all.
REQUEST_GRACE_S = 3.0
# How long the store may take to end what it is doing; together with the spool's drain under 10 s.
CLOSE_GRACE_S = 1.5


class StartError(Exception):
    """A service cannot start; the message says why and what to do."""


def store_of(settings: Settings) -> Store:
    """Return the store of the settings, not yet opened."""
    url = settings.store or f"chdb://{make_data_dir(settings) / 'store'}"
    return Store(url, cluster=settings.cluster or None)


def open_store(settings: Settings) -> Store:
    """Return the store, open and with its schema in order, waiting without end for a server that is away.

    Raises:
        StoreLocked: another process owns the embedded store.
        SchemaError: the schema does not fit this version.
    """
    store = store_of(settings)
    wait_s = FIRST_WAIT_S
    while True:
        try:
            store.open()
            if settings.migrate:
                migrations.migrate(store)
            migrations.check(store)
        except StoreError as error:
            if not is_transient(error):
                store.close()
                raise
            log.warning("the store is not available, trying again in %.0f s: %s", wait_s, error)
            time.sleep(wait_s * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
        else:
            return store


def make_data_dir(settings: Settings) -> Path:
    """Return the data directory, made with mode 0700 if it was not there."""
    data_dir = Path(settings.data_dir).expanduser().absolute()
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"data directory {data_dir}: {error.strerror}") from error
    return data_dir


def collector_settings(settings: Settings) -> CollectorSettings:
    """Return the collector's part of the settings."""
    spool = SpoolSettings(
        directory=make_data_dir(settings) / "spool",
        max_bytes=settings.spool_max_bytes,
        fsync=FsyncPolicy(settings.fsync),
    )
    return CollectorSettings(spool=spool, events_per_s_per_key=settings.events_per_s_per_key)


def query_settings(settings: Settings) -> QuerySettings:
    """Return the query service's part of the settings."""
    origins = (origin.strip() for origin in settings.allowed_origins.split(","))
    return QuerySettings(allowed_origins=tuple(origin for origin in origins if origin))


def first_keys(store: Store, settings: Settings, *, generate: bool) -> Credentials | None:
    """Make the first application and its keys on an empty store; None when there was nothing to make.

    Keys that the settings do not give are generated, and then left in ``credentials.json`` (0600). With `generate`
    false nothing happens unless the settings give the application or a key.
    """
    given = {
        "application": settings.bootstrap_application or None,
        "admin_key": settings.bootstrap_admin_key or None,
        "write_key": settings.bootstrap_write_key or None,
        "read_key": settings.bootstrap_read_key or None,
    }
    if not generate and not any(given.values()):
        return None
    made = bootstrap(Accounts(store), **given)
    if made is None or all(given.values()):
        return None
    path = credentials_path(settings)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(banner.shown_credentials(made), file, indent=2)
        file.write("\n")
    return made


def credentials_path(settings: Settings) -> Path:
    """Return where ``credentials.json`` lies."""
    return Path(settings.data_dir).expanduser().absolute() / "credentials.json"


async def run(settings: Settings, *, collector: bool, query: bool) -> None:
    """Run the asked services until SIGTERM or SIGINT; a second signal ends the process at once.

    What was acknowledged is on disk, so ending at once loses nothing.

    Raises:
        StartError: a port is taken, or a service alone was asked of an embedded store.
        StoreError: the store cannot be used.
    """
    if not settings.store and not (collector and query):
        raise StartError(
            "an embedded store belongs to one process: run `apimetry serve`, "
            "or set APIMETRY_STORE to a ClickHouse server"
        )
    stopping = _stop_on_signals()
    loop = asyncio.get_running_loop()
    store = await loop.run_in_executor(None, open_store, settings)
    try:
        made = await store.run(lambda: first_keys(store, settings, generate=collector and query))
        directory = Directory(Accounts(store))
        await directory.start()
        try:
            await _serve(settings, store, directory, stopping, made=made, collector=collector, query=query)
        finally:
            await directory.close()
    finally:
        await _close(store)


async def _close(store: Store) -> None:
    """Close the store; one that hangs is left behind, since a stop must not wait for its answer."""
    closing = asyncio.get_running_loop().run_in_executor(None, store.close)
    done, _ = await asyncio.wait([closing], timeout=CLOSE_GRACE_S)
    if not done:
        log.warning("the store still does not answer; ending without it, what was acknowledged is on disk")
        os._exit(0)
    closing.result()


async def _serve(  # noqa: PLR0913 - everything that was wired
    settings: Settings,
    store: Store,
    directory: Directory,
    stopping: asyncio.Event,
    *,
    made: Credentials | None,
    collector: bool,
    query: bool,
) -> None:
    runners: list[web.AppRunner] = []
    addresses: dict[str, str] = {}
    try:
        if collector:
            app = create_collector(store, directory, collector_settings(settings))
            addresses["collector"] = await _listen(app, settings.host, settings.collector_port, runners)
        if query:
            app = create_query_service(store, directory, query_settings(settings))
            addresses["query"] = await _listen(app, settings.host, settings.query_port, runners)
        banner.show(settings, addresses, made, credentials_path(settings))
        await stopping.wait()
        log.info("stopping")
    finally:
        # The collector first: it stops accepting, and what it still holds goes into the store.
        for runner in runners:
            await runner.cleanup()


async def _listen(app: web.Application, host: str, port: int, runners: list[web.AppRunner]) -> str:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=REQUEST_GRACE_S)
    await runner.setup()
    runners.append(runner)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise StartError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; another port can be set, 0 picks a free one"
        ) from error
    bound = runner.addresses[0]
    shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
    return f"http://{shown}:{bound[1]}"


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


def migrate(settings: Settings, *, dry_run: bool, as_json: bool) -> None:
    """Bring the schema up to date and make the first keys, or with `dry_run` print what would be done.

    Raises:
        StoreError: the store cannot be used; one that is away is not waited for.
    """
    store = store_of(settings)
    store.open()
    try:
        if dry_run:
            _print_pending(migrations.pending(store), as_json=as_json)
            return
        applied = migrations.migrate(store)
        migrations.check(store)
        made = first_keys(store, settings, generate=True)
    finally:
        store.close()
    print_rows([{"migration": name} for name in applied], ["migration"], as_json=as_json)
    if made is not None:
        banner.show_keys(made, credentials_path(settings), file=sys.stderr if as_json else sys.stdout)


def _print_pending(pending: Sequence[migrations.Migration], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"migration": step.name, "statements": step.statements} for step in pending]))
        return
    for step in pending:
        print(f"-- {step.name}")
        for statement in step.statements:
            print(f"{statement};\n")
