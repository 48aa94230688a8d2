"""Opens the store: the schema in order, a server that is away waited for without end, and the first keys made."""

from __future__ import annotations

import asyncio
import logging
import random
from pathlib import Path

from apimetry.cli import banner, data_dir
from apimetry.cli.settings import Settings
from apimetry.cli.start_error import StartError
from apimetry.store import migrations
from apimetry.store.accounts.accounts import Accounts
from apimetry.store.accounts.bootstrap import Credentials, bootstrap, has_admin_key
from apimetry.store.address import parse_address
from apimetry.store.client import Store
from apimetry.store.errors import StoreError, is_transient

log = logging.getLogger(__name__)

# Backoff while a ClickHouse server cannot be reached, in seconds.
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0


def store_of(settings: Settings) -> Store:
    """Return the store of the settings, not yet opened.

    Raises:
        StartError: a cluster was named and the store is embedded.
        StoreError: the store's URL cannot be used.
    """
    url = settings.store or f"chdb://{make_data_dir(settings) / 'store'}"
    if settings.cluster and parse_address(url).path is not None:
        raise StartError(
            f"the cluster {settings.cluster!r} needs a ClickHouse server, and the store is embedded:"
            " name a server with --store (APIMETRY_STORE), or leave --cluster (APIMETRY_CLUSTER) out"
        )
    return Store(url, cluster=settings.cluster or None)


async def open_store(store: Store, settings: Settings, away: asyncio.Event, *, generate: bool) -> Credentials | None:
    """Open the store with its schema in order, waiting without end for a server that is away; return its first keys.

    `away` is set with the first attempt that has to be repeated; `generate` makes keys that the settings do not give.

    Raises:
        StoreLocked: another process owns the embedded store.
        SchemaError: the schema does not fit this version.
    """
    wait_s, name = FIRST_WAIT_S, banner.store_name(settings)
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await loop.run_in_executor(None, _open_once, store, settings, generate)
        except StoreError as error:
            if not is_transient(error):
                raise
            away.set()
            log.warning("%s is not available, trying again in %.0f s: %s", name, wait_s, error)
        await asyncio.sleep(wait_s * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
        wait_s = min(wait_s * 2, LONGEST_WAIT_S)


def _open_once(store: Store, settings: Settings, generate: bool) -> Credentials | None:
    if store.embedded:
        store.open()
        return _prepare(store, settings, generate=generate)
    # Through a store of its own: a collector that listens already must not insert before the schema was checked.
    first = store_of(settings)
    first.open()
    try:
        made = _prepare(first, settings, generate=generate)
    finally:
        first.close()
    store.open()
    return made


def _prepare(store: Store, settings: Settings, *, generate: bool) -> Credentials | None:
    if settings.migrate:
        migrations.migrate(store)
    migrations.check(store)
    return first_keys(store, settings, generate=generate)


def make_data_dir(settings: Settings) -> Path:
    """Return the data directory, made with mode 0700 if it was not there."""
    folder = Path(settings.data_dir).expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"data directory {folder}: {error.strerror}") from error
    return folder


def first_keys(store: Store, settings: Settings, *, generate: bool) -> Credentials | None:
    """Make the first application and its keys on an empty store; None when there was nothing to make.

    Keys that the settings do not give are generated, and are in ``credentials.json`` (0600) before they exist: a
    start that is killed leaves none that nobody knows, and the next one takes them from there. With `generate` false
    nothing happens unless the settings give the application or a key.
    """
    given = {
        "application": settings.bootstrap_application,
        "admin_key": settings.bootstrap_admin_key,
        "write_key": settings.bootstrap_write_key,
        "read_key": settings.bootstrap_read_key,
    }
    if not generate and not any(given.values()):
        return None
    accounts = Accounts(store)
    complete = all(given.values())
    if not complete and not has_admin_key(accounts):
        kept = data_dir.read(data_dir.credentials_in(make_data_dir(settings)))
        given = {name: value or kept.get(name, "") for name, value in given.items()}

    def keep(made: Credentials) -> None:
        if not complete:
            path = credentials_path(settings)
            try:
                data_dir.write(path, banner.shown_credentials(made))
            except OSError as error:
                raise StartError(f"{path}: the first keys cannot be kept: {error.strerror}") from error

    made = bootstrap(accounts, keep=keep, **{name: value or None for name, value in given.items()})
    return None if complete else made


def credentials_path(settings: Settings) -> Path:
    """Return where ``credentials.json`` lies."""
    return data_dir.credentials_in(settings.data_dir)
