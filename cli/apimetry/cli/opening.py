"""Open the store: wait for a server that is away, migrate the schema, and make the first keys."""

from __future__ import annotations

import asyncio
import logging
import random
from pathlib import Path

from apimetry.cli import banner, data_dir
from apimetry.cli.settings import Settings
from apimetry.cli.start_error import StartError
from apimetry.store import migrations
from apimetry.store.accounts.accounts import Accounts, KeyKind
from apimetry.store.accounts.bootstrap import Credentials, bootstrap, check_given, has_admin_key
from apimetry.store.address import parse_address
from apimetry.store.client import Store
from apimetry.store.embedded.yielding import lower_priority_of_merges
from apimetry.store.errors import StoreError, is_transient

logger = logging.getLogger(__name__)

# Backoff while a ClickHouse server cannot be reached, in seconds.
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0


def store_of(settings: Settings, *, backups: Path | None = None) -> Store:
    """Return the store that the settings name, not yet opened. An embedded one may back up into `backups` alone.

    Raises:
        StartError: the settings name a cluster, and the store is embedded.
        StoreError: the store's URL cannot be used.
    """
    url = settings.store or f"chdb://{make_data_dir(settings) / 'store'}"
    if settings.cluster and parse_address(url).path is not None:
        raise StartError(
            f"the cluster {settings.cluster!r} needs a ClickHouse server, and the store is embedded:"
            " name a server with --store (APIMETRY_STORE), or leave --cluster (APIMETRY_CLUSTER) out"
        )
    return Store(url, cluster=settings.cluster or None, backups=backups)


async def open_store(store: Store, settings: Settings, away: asyncio.Event, *, generate: bool) -> Credentials | None:
    """Open the store, migrate its schema, and return its first keys; wait without limit for a server that is away.

    Args:
        store: the store to open.
        settings: those of the service.
        away: is set when the first attempt fails and is repeated.
        generate: whether to generate keys that the settings do not give.

    Raises:
        AccountInvalid: the settings give a first key of a wrong form; the store is untouched.
        StoreLocked: another process owns the embedded store.
        SchemaError: the schema does not fit this version.
    """
    check_first_keys(settings)
    wait_s, name = FIRST_WAIT_S, banner.store_name(settings)
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await loop.run_in_executor(None, _open_once, store, settings, generate)
        except StoreError as error:
            if not is_transient(error):
                raise
            away.set()
            logger.warning("%s is not available, trying again in %.0f s: %s", name, wait_s, error)
        await asyncio.sleep(wait_s * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
        wait_s = min(wait_s * 2, LONGEST_WAIT_S)


def _open_once(store: Store, settings: Settings, generate: bool) -> Credentials | None:
    if store.embedded:
        store.open()
        return _prepare(store, settings, generate=generate)
    # Another store object prepares the schema: a collector that listens must not insert before the check.
    preparing = store_of(settings)
    preparing.open()
    try:
        credentials = _prepare(preparing, settings, generate=generate)
    finally:
        preparing.close()
    store.open()
    return credentials


def _prepare(store: Store, settings: Settings, *, generate: bool) -> Credentials | None:
    if settings.migrate:
        migrations.migrate(store)
    migrations.check(store)
    if store.embedded:
        lower_priority_of_merges()
    return first_keys(store, settings, generate=generate)


def make_data_dir(settings: Settings) -> Path:
    """Return the data directory; make it with mode 0700 where it does not exist."""
    folder = Path(settings.data_dir).expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"data directory {folder}: {error.strerror}") from error
    return folder


def has_store(settings: Settings) -> bool:
    """Return whether the data directory has an embedded store."""
    return (Path(settings.data_dir).expanduser() / "store").is_dir()


def check_first_keys(settings: Settings) -> None:
    """Raise AccountInvalid where the settings give a first key of a wrong form."""
    given = {
        KeyKind.admin: settings.bootstrap_admin_key,
        KeyKind.write: settings.bootstrap_write_key,
        KeyKind.read: settings.bootstrap_read_key,
    }
    check_given({kind: secret or None for kind, secret in given.items()})


def first_keys(store: Store, settings: Settings, *, generate: bool) -> Credentials | None:
    """Make and return the first application and its keys on an empty store; None where nothing was generated.

    Keys that the settings do not give are generated, and written to ``credentials.json`` (0600) before the store has
    them. So no key is unknown after a killed start: the next start reads the keys from the file. With `generate`
    false nothing happens unless the settings give the application or a key.
    """
    configured = {
        "application": settings.bootstrap_application,
        "admin_key": settings.bootstrap_admin_key,
        "write_key": settings.bootstrap_write_key,
        "read_key": settings.bootstrap_read_key,
    }
    if not generate and not any(configured.values()):
        return None
    accounts = Accounts(store)
    is_complete = all(configured.values())
    if not is_complete and not has_admin_key(accounts):
        stored = data_dir.read(data_dir.credentials_in(make_data_dir(settings)))
        configured = {name: value or stored.get(name, "") for name, value in configured.items()}

    def keep(credentials: Credentials) -> None:
        if not is_complete:
            path = credentials_path(settings)
            try:
                data_dir.write(path, banner.shown_credentials(credentials))
            except OSError as error:
                raise StartError(f"{path}: the first keys cannot be kept: {error.strerror}") from error

    credentials = bootstrap(accounts, keep=keep, **{name: value or None for name, value in configured.items()})
    return None if is_complete else credentials


def credentials_path(settings: Settings) -> Path:
    """Return the path of ``credentials.json``."""
    return data_dir.credentials_in(settings.data_dir)
