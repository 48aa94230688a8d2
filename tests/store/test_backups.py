"""A store that was restored from the engine's backup holds what it held, and takes events."""

from __future__ import annotations

import os

import pytest

from apimetry.store import backups, migrations
from apimetry.store.accounts.accounts import Accounts
from apimetry.store.accounts.bootstrap import bootstrap
from apimetry.store.client import Store
from apimetry.store.layout import Layout
from apimetry.store.pausing import inserts_paused
from tests.support.engine.fixtures_store import REAL_CLICKHOUSE
from tests.support.oracles.event_rows import encode_rows


def test_restored_store_holds_the_same_events_rollups_and_accounts_and_takes_more(tmp_path, embedded_store_url):
    folder = tmp_path / "backup"
    folder.mkdir()
    first = Store(embedded_store_url, backups=folder)
    first.open()
    try:
        migrations.migrate(first)
        bootstrap(Accounts(first), application="shop")
        first.insert_rows("before", encode_rows(9))
        held = backups.backup(first, backups.folder(folder / "store"))
        assert (held.events, held.requests, held.rolled_up, held.applications, held.keys) == (9, 9, 9, 1, 3)
        # Inserts go on after it.
        first.insert_rows("after", encode_rows(1))
        assert backups.contents(first).events == 10
        with pytest.raises(backups.BackupError, match="has tables already"):
            backups.restore(first, backups.folder(folder / "store"), database=first.database)
    finally:
        first.close()
    second = Store(f"chdb://{tmp_path}/restored", backups=folder)
    second.open()
    try:
        backups.restore(second, backups.folder(folder / "store"), database=second.database)
        assert backups.contents(second) == held
        migrations.migrate(second)
        migrations.check(second)
        second.insert_rows("more", encode_rows(1))
        more = backups.contents(second)
        assert (more.events, more.rolled_up) == (10, 10)
        assert more.digest != held.digest
    finally:
        second.close()


def test_a_server_backs_up_where_its_configuration_allows_and_inserts_go_on(http_store: Store):
    if os.environ.get(REAL_CLICKHOUSE):
        pytest.skip(f"the ClickHouse of {REAL_CLICKHOUSE} may allow no place for backups")
    place = f"File('{http_store.database}')"
    http_store.insert_rows("before", encode_rows(9))
    held = backups.backup(http_store, place)
    http_store.insert_rows("after", encode_rows(1))
    address = http_store.address
    url = f"http://{address.username}:{address.password}@{address.host}:{address.port}/{address.database}_restored"
    restored = Store(url)
    restored.open()
    try:
        backups.restore(restored, place, database=http_store.database)
        assert backups.contents(restored) == held
        migrations.check(restored)
    finally:
        restored.command(f"DROP DATABASE {restored.database}")
        restored.close()
    assert backups.contents(http_store).events == 10


def test_a_backup_that_cannot_be_made_says_why_and_inserts_go_on(tmp_path, embedded_store_url):
    store = Store(embedded_store_url, backups=tmp_path / "allowed")
    store.open()
    try:
        migrations.migrate(store)
        with pytest.raises(backups.BackupError, match=r"the engine says: .*allowed"):
            backups.backup(store, backups.folder(tmp_path / "elsewhere"))
        assert not inserts_paused(store, Layout(database=store.database, cluster=None))
    finally:
        store.close()


def test_places_that_clickhouse_would_not_take_are_refused():
    assert backups.checked_destination("Disk('backups', 'monday')") == "Disk('backups', 'monday')"
    for text in ("monday", "File('x'); DROP DATABASE apimetry", "Memory('x')", "File('a;b')"):
        with pytest.raises(backups.BackupError, match="is no place for a backup"):
            backups.checked_destination(text)
