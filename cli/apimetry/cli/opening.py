"""Opens the store: the schema in order, the first keys made, and a server that is away waited for without end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
from pathlib import Path

from apimetry.cli import banner
from apimetry.cli.settings import Settings
from apimetry.store import migrations
from apimetry.store.accounts.accounts import Accounts
from apimetry.store.accounts.bootstrap import Credentials, bootstrap
from apimetry.store.client import Store
from apimetry.store.errors import StoreError, is_transient

log = logging.getLogger(__name__)

# Backoff while a ClickHouse server cannot be reached, in seconds.
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0


class StartError(Exception):
    """A service cannot start; the message says why and what to do."""


def store_of(settings: Settings) -> Store:
    """Return the store of the settings, not yet opened."""
    url = settings.store or f"chdb://{make_data_dir(settings) / 'store'}"
    return Store(url, cluster=settings.cluster or None)


async def open_store(store: Store, settings: Settings, away: asyncio.Event, *, generate: bool) -> Credentials | None:
    """Open the store with its schema in order, waiting without end for a server that is away; return its first keys.

    `away` is set with the first attempt that has to be repeated; `generate` makes keys that the settings do not give.

    Raises:
        StoreLocked: another process owns the embedded store.
        SchemaError: the schema does not fit this version.
    """
    wait_s = FIRST_WAIT_S
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await loop.run_in_executor(None, _open_once, store, settings, generate)
        except StoreError as error:
            if not is_transient(error):
                raise
            away.set()
            log.warning("the store is not available, trying again in %.0f s: %s", wait_s, error)
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
    data_dir = Path(settings.data_dir).expanduser().absolute()
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"data directory {data_dir}: {error.strerror}") from error
    return data_dir


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
