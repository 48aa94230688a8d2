"""The accounts on a collector's disk: whole, private, and used only while the store is away."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from apimetry.store.accounts.accounts import Accounts, KeyKind, Plan, RequestLimits
from apimetry.store.accounts.directory import Directory
from apimetry.store.accounts.records import generate_key
from apimetry.store.accounts.snapshot import Snapshot, read_snapshot, write_snapshot
from apimetry.store.client import Store
from apimetry.store.errors import StoreUnavailable
from tests.support.engine.clickhouse_server import ClickHouseServer


def make_accounts(store: Store) -> tuple[Accounts, str, str]:
    accounts = Accounts(store)
    organization = accounts.create_organization("Ours", Plan("small", max_applications=3))
    accounts.create_application(organization.id, "Shop", application_id="shop", limits=RequestLimits(per_minute=5))
    _, write = accounts.create_key(organization.id, KeyKind.write, application_id="shop")
    _, admin = accounts.create_key(organization.id, KeyKind.admin)
    accounts.rotate_key(accounts.keys(organization.id)[0].id, 60)
    return accounts, write, admin


async def test_a_directory_started_without_its_store_answers_as_before(
    server_store: Store, clickhouse_server: ClickHouseServer, tmp_path: Path
):
    accounts, write, admin = make_accounts(server_store)
    path = tmp_path / "accounts.json"
    before = Directory(accounts, snapshot_path=path)
    await before.start()
    known = [await before.find(secret) for secret in (write, admin)]
    await before.close()
    assert None not in known
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not any(secret in path.read_text() for secret in (write, admin))
    clickhouse_server.kill()
    after = Directory(accounts, snapshot_path=path, refresh_interval_s=3600)
    await after.start()
    assert [await after.find(secret) for secret in (write, admin)] == known
    assert after.application("shop") == before.application("shop")
    assert after.organization(known[0].organization_id) == before.organization(known[0].organization_id)
    with pytest.raises(StoreUnavailable, match="unknown"):
        await after.find(generate_key(KeyKind.write))
    clickhouse_server.restart()
    await after.refresh()
    assert await after.find(generate_key(KeyKind.write)) is None
    await after.close()


async def test_the_file_is_written_when_accounts_change_and_not_with_every_use(server_store: Store, tmp_path: Path):
    accounts, write, _ = make_accounts(server_store)
    path = tmp_path / "accounts.json"
    directory = Directory(accounts, snapshot_path=path, refresh_interval_s=3600)
    await directory.start()
    inode = path.stat().st_ino
    principal = await directory.find(write)
    assert principal is not None
    accounts.record_use({principal.key_id: directory._uses[principal.key_id]})
    await directory.refresh()
    assert path.stat().st_ino == inode
    accounts.revoke_key(principal.key_id)
    await directory.refresh()
    assert path.stat().st_ino != inode
    snapshot = read_snapshot(path)
    assert snapshot is not None
    assert principal.key_id not in {key.id for key in snapshot.keys.values()}
    await directory.close()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 2}', '{"version": 1, "keys": [{}]}', "\0"])
def test_a_file_that_cannot_be_read_counts_as_none(tmp_path: Path, text: str):
    path = tmp_path / "accounts.json"
    path.write_text(text)
    assert read_snapshot(path) is None


def test_no_file_is_no_snapshot_and_an_unfinished_one_is_replaced(tmp_path: Path):
    path = tmp_path / "accounts.json"
    assert read_snapshot(path) is None
    path.with_name("accounts.json.new").write_text("a kill left this")
    write_snapshot(path, Snapshot())
    assert read_snapshot(path) == Snapshot()
    assert [file.name for file in tmp_path.iterdir()] == ["accounts.json"]
