"""Back up a store with what belongs to it, and restore it.

A backup of an embedded store is a folder: `store` is the engine's backup, `spool` has the ids of the batches that
were taken, `credentials.json` the first keys, and `backup.json` says what the store held. A backup of a server is the
engine's backup alone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import time
from importlib.metadata import version
from pathlib import Path

import click
import msgspec
from aiohttp import web

from apimetry.cli import data_dir
from apimetry.cli.opening import has_store, make_data_dir, store_of
from apimetry.cli.output import print_record
from apimetry.cli.running import collector_settings
from apimetry.cli.settings import Settings
from apimetry.collector.app import create_app as create_collector
from apimetry.collector.spool import inspection
from apimetry.store import backups, migrations
from apimetry.store.accounts.accounts import Accounts
from apimetry.store.accounts.directory import Directory
from apimetry.store.client import Store
from apimetry.store.private_files import keep_private

# As long as a spool of some gigabytes takes.
STORE_WHAT_WAITS_S = 3600.0


class Manifest(msgspec.Struct, frozen=True):
    """What a backup folder holds, and which version made it."""

    format: int
    version: str
    made_at: str
    database: str
    contents: backups.Contents


def backup(settings: Settings, destination: str, *, as_json: bool) -> None:
    """Back up the store of the settings, and print what was backed up.

    Raises:
        click.ClickException: there is no store, the destination exists or is in the data directory, or events of the
            spool cannot be stored.
        StoreError: the store cannot be used, or the engine cannot back it up.
    """
    folder = None
    if not settings.store:
        _check_data_dir(settings)
        folder = _new_folder(settings, destination)
    try:
        held = _backup_into(settings, destination, folder)
    except BaseException:
        # What is not whole is of no use, and would stand in the way of the next attempt.
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    print_record(msgspec.to_builtins(held), as_json=as_json)


def _backup_into(settings: Settings, destination: str, folder: Path | None) -> backups.Contents:
    store = store_of(settings, backups=folder)
    store.open()
    try:
        if not migrations.has_begun(store):
            raise click.ClickException(
                f"the store has no tables of apimetry in {store.database}: nothing is backed up"
            )
        migrations.migrate(store)
        migrations.check(store)
        if folder is None:
            return backups.backup(store, backups.checked_destination(destination))
        return _backup_embedded(settings, store, folder)
    finally:
        store.close()


def _check_data_dir(settings: Settings) -> None:
    """Raise ClickException where no store is: opening would make an empty one, and its backup would look well."""
    if not has_store(settings):
        raise click.ClickException(
            f"there is no store in {_data_dir(settings)}:"
            " --data-dir (APIMETRY_DATA_DIR) names that of `apimetry serve`"
        )


def _data_dir(settings: Settings) -> Path:
    return Path(settings.data_dir).expanduser().absolute()


def _new_folder(settings: Settings, text: str) -> Path:
    folder = Path(text).expanduser().absolute()
    if folder.resolve().is_relative_to(_data_dir(settings).resolve()):
        raise click.ClickException(f"{folder}: a backup is a folder outside the data directory")
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise click.ClickException(f"{folder}: a backup is a new folder: {error.strerror}") from error
    return folder


def _backup_embedded(settings: Settings, store: Store, folder: Path) -> backups.Contents:
    asyncio.run(_store_what_waits(settings, store))
    held = backups.backup(store, backups.folder(folder / "store"))
    # Nobody changes the spool: it belongs to the process that has the store.
    shutil.copytree(_spool(settings), folder / "spool")
    credentials = data_dir.credentials_in(settings.data_dir)
    if credentials.exists():
        shutil.copy2(credentials, data_dir.credentials_in(folder))
    made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    manifest = Manifest(backups.FORMAT, version("apimetry"), made_at, store.database, held)
    # Last: a folder with this file is whole.
    (folder / "backup.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    keep_private(folder)
    return held


def _spool(settings: Settings) -> Path:
    return make_data_dir(settings) / "spool"


async def _store_what_waits(settings: Settings, store: Store) -> None:
    """Store the events that wait in the spool, as a collector does that stops."""
    directory = Directory(Accounts(store))
    await directory.start()
    try:
        collector = dataclasses.replace(collector_settings(settings), drain_timeout_s=STORE_WHAT_WAITS_S)
        runner = web.AppRunner(create_collector(store, directory, collector))
        await runner.setup()
        await runner.cleanup()
    finally:
        await directory.close()
    waiting = inspection.status_of(_spool(settings)).events
    if waiting:
        raise click.ClickException(f"{waiting} events of the spool cannot be stored: start the service, and see why")


def restore(settings: Settings, source: str, *, as_json: bool) -> None:
    """Restore a backup into the empty store of the settings, bring its schema up to date, and print what it holds.

    Raises:
        click.ClickException: the source is no whole backup, or the restored store does not hold what was backed up.
        StoreError: the store is not empty or cannot be used, or the engine cannot restore the backup.
    """
    if settings.store:
        held = _restore_into(settings, source, None)
    else:
        folder = Path(source).expanduser().absolute()
        manifest = _manifest(folder)
        if any(make_data_dir(settings).iterdir()):
            raise click.ClickException(f"{make_data_dir(settings)} is not empty: restore into a new data directory")
        try:
            held = _restore_folder(settings, folder, manifest)
        except BaseException:
            # The directory was empty. What is not whole would stand in the way of the next attempt.
            _remove_all(make_data_dir(settings))
            raise
    print_record(msgspec.to_builtins(held), as_json=as_json)


def _remove_all(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _restore_folder(settings: Settings, folder: Path, manifest: Manifest) -> backups.Contents:
    held = _restore_into(settings, str(folder), manifest)
    if held != manifest.contents:
        raise click.ClickException(f"the restored store holds {held}, and the backup held {manifest.contents}")
    _restore_files(settings, folder)
    return held


def _restore_into(settings: Settings, source: str, manifest: Manifest | None) -> backups.Contents:
    """Restore into the store of the settings; `manifest` is that of a folder, and None of a server's backup."""
    folder = None if manifest is None else Path(source)
    store = store_of(settings, backups=folder)
    store.open()
    try:
        place = backups.checked_destination(source) if folder is None else backups.folder(folder / "store")
        backups.restore(store, place, database=manifest.database if manifest else store.database)
        migrations.migrate(store)
        migrations.check(store)
        return backups.contents(store)
    finally:
        store.close()


def _manifest(folder: Path) -> Manifest:
    try:
        manifest = msgspec.json.decode((folder / "backup.json").read_bytes(), type=Manifest)
    except OSError as error:
        raise click.ClickException(f"{folder} is no whole backup: backup.json: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise click.ClickException(f"{folder} is no whole backup: backup.json: {error}") from error
    if manifest.format > backups.FORMAT:
        raise click.ClickException(f"{folder} is a backup of a newer version: {manifest.version}")
    return manifest


def _restore_files(settings: Settings, folder: Path) -> None:
    shutil.copytree(folder / "spool", _spool(settings))
    credentials = data_dir.credentials_in(folder)
    if credentials.exists():
        shutil.copy2(credentials, data_dir.credentials_in(settings.data_dir))
    keep_private(make_data_dir(settings))
