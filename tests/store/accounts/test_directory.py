"""The directory: new keys work at once, revoked ones stop, and a store that is away changes nothing."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta, timezone

import pytest

from apimetry.store import migrations
from apimetry.store.accounts.accounts import Accounts, KeyKind
from apimetry.store.accounts.bootstrap import Credentials, bootstrap
from apimetry.store.accounts.directory import USE_RESOLUTION, Directory, Principal
from apimetry.store.accounts.records import generate_key
from apimetry.store.client import Store
from apimetry.store.errors import StoreUnavailable
from tests.support.engine.clickhouse_server import ClickHouseServer


class Clock:
    """Both clocks of a directory, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.start = datetime.now(timezone.utc)

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)


def made_by_hand(accounts: Accounts, clock: Clock) -> Directory:
    """A directory that refreshes only when a test makes it."""
    return Directory(accounts, refresh_interval_s=3600, now=clock.now, monotonic=clock.monotonic)


def prepared(store: Store) -> tuple[Accounts, Credentials]:
    accounts = Accounts(store)
    credentials = bootstrap(accounts, application="shop")
    assert credentials is not None
    return accounts, credentials


async def test_each_kind_of_key_speaks_for_its_application(store: Store):
    accounts, credentials = prepared(store)
    directory = made_by_hand(accounts, Clock())
    await directory.start()
    principals = {
        kind: await directory.find(secret)
        for kind, secret in zip(
            KeyKind, (credentials.admin_key, credentials.write_key, credentials.read_key), strict=True
        )
    }
    ids = {key.kind: key.id for key, _ in accounts.keys_with_hashes()}
    organization = credentials.organization_id
    assert principals == {
        KeyKind.admin: Principal(KeyKind.admin, ids[KeyKind.admin], organization, None),
        KeyKind.write: Principal(KeyKind.write, ids[KeyKind.write], organization, "shop"),
        KeyKind.read: Principal(KeyKind.read, ids[KeyKind.read], organization, "shop"),
    }
    assert directory.application("shop") == accounts.application("shop")
    assert directory.application("nosuch") is None
    assert directory.organization(organization) == accounts.organization(organization)
    assert directory.applications_of(organization) == accounts.applications()
    assert directory.applications_of("nobody") == []
    await directory.close()


@pytest.mark.parametrize("secret", ["", "x", "apimetry_w_", "\0", "é", "\ud800", "a" * 100_000])
async def test_what_is_no_key_is_nobody(store: Store, secret: str):
    accounts, _ = prepared(store)
    directory = made_by_hand(accounts, Clock())
    await directory.start()
    assert await directory.find(secret) is None
    await directory.close()


async def test_a_new_key_works_at_once_and_unknown_ones_ask_once_a_second(store: Store):
    accounts, credentials = prepared(store)
    clock = Clock()
    directory = made_by_hand(accounts, clock)
    await directory.start()
    _, secret = accounts.create_key(credentials.organization_id, KeyKind.admin)
    assert await directory.find(secret) is None  # the snapshot is younger than a second
    clock.seconds = 1.0
    assert await asyncio.gather(*(directory.find(generate_key(KeyKind.read)) for _ in range(50))) == [None] * 50
    assert await directory.find(secret) is not None
    await directory.close()


async def test_a_revoked_key_stops_with_the_next_refresh(store: Store):
    accounts, credentials = prepared(store)
    directory = made_by_hand(accounts, Clock())
    await directory.start()
    principal = await directory.find(credentials.write_key)
    assert principal is not None
    accounts.revoke_key(principal.key_id)
    await directory.refresh()
    assert await directory.find(credentials.write_key) is None
    await directory.close()


async def test_the_background_refresh_sees_a_revocation(store: Store):
    accounts, credentials = prepared(store)
    directory = Directory(accounts, refresh_interval_s=0.01)
    await directory.start()
    principal = await directory.find(credentials.write_key)
    assert principal is not None
    await store.run(accounts.revoke_key, principal.key_id)
    while await directory.find(credentials.write_key) is not None:  # noqa: ASYNC110 - the suite's timeout is the limit
        await asyncio.sleep(0.01)
    await directory.close()


async def test_an_embedded_store_without_a_command_is_not_read_again(embedded_store: Store):
    accounts, credentials = prepared(embedded_store)
    loads = []

    class CountedAccounts(Accounts):
        def applications(self):
            loads.append(self.store.revision())
            return super().applications()

    directory = Directory(CountedAccounts(embedded_store), refresh_interval_s=0.001)
    await directory.start()
    await asyncio.sleep(0.1)
    assert len(loads) == 1
    application = accounts.create_application(credentials.organization_id, "Blog")
    while directory.application(application.id) is None:  # noqa: ASYNC110 - the suite's timeout is the limit
        await asyncio.sleep(0.001)
    assert len(loads) > 1
    await directory.close()


async def test_keys_expire_without_a_refresh(store: Store):
    accounts, credentials = prepared(store)
    clock = Clock()
    directory = made_by_hand(accounts, clock)
    await directory.start()
    principal = await directory.find(credentials.read_key)
    assert principal is not None
    _, secret = accounts.rotate_key(principal.key_id, 60)
    await directory.refresh()
    assert await directory.find(credentials.read_key) is not None
    assert await directory.find(secret) is not None
    clock.seconds = 120
    assert await directory.find(credentials.read_key) is None
    assert await directory.find(secret) is not None
    await directory.close()


async def test_keys_of_a_deleted_application_are_nobody(store: Store):
    accounts, credentials = prepared(store)
    directory = made_by_hand(accounts, Clock())
    await directory.start()
    accounts.delete_application("shop")
    await directory.refresh()
    assert await directory.find(credentials.write_key) is None
    assert await directory.find(credentials.admin_key) is not None
    assert directory.application("shop") is None
    await directory.close()


async def test_last_use_is_written_coarsely(store: Store):
    accounts, credentials = prepared(store)
    clock = Clock()
    directory = made_by_hand(accounts, clock)
    await directory.start()
    first = clock.now()
    principal = await directory.find(credentials.write_key)
    assert principal is not None
    await directory.close()
    last_use = accounts.key(principal.key_id).last_used_at
    assert last_use is not None
    assert abs(last_use - first) < timedelta(milliseconds=2)

    await directory.start()
    clock.seconds = USE_RESOLUTION.total_seconds() / 2
    await directory.find(credentials.write_key)
    await directory.close()
    assert accounts.key(principal.key_id).last_used_at == last_use

    await directory.start()
    clock.seconds = USE_RESOLUTION.total_seconds() + 1
    await directory.find(credentials.write_key)
    await directory.close()
    assert accounts.key(principal.key_id).last_used_at != last_use


async def test_while_the_store_is_away_the_last_snapshot_holds(
    server_store: Store, clickhouse_server: ClickHouseServer, caplog: pytest.LogCaptureFixture
):
    accounts, credentials = prepared(server_store)
    clock = Clock()
    directory = made_by_hand(accounts, clock)
    await directory.start()
    clickhouse_server.kill()
    with caplog.at_level(logging.WARNING, "apimetry.store.accounts.directory"):
        for second in range(2, 12, 2):
            clock.seconds = second
            assert await directory.find(generate_key(KeyKind.read)) is None
            assert await directory.find(credentials.write_key) is not None
    records = [record for record in caplog.records if record.name == "apimetry.store.accounts.directory"]
    assert len(records) == 1
    assert "the last ones hold" in records[0].getMessage()
    clickhouse_server.restart()
    clock.seconds = 20
    _, secret = await server_store.run(accounts.create_key, credentials.organization_id, KeyKind.admin)
    assert await directory.find(secret) is not None
    await directory.close()


async def test_without_a_first_snapshot_nobody_is_turned_away_wrongly(
    clickhouse_url: str, clickhouse_server: ClickHouseServer
):
    store = Store(clickhouse_url)
    store.open()
    migrations.migrate(store)
    accounts, credentials = prepared(store)
    clock = Clock()
    directory = made_by_hand(accounts, clock)
    clickhouse_server.kill()
    await directory.start()
    assert not directory.loaded
    with pytest.raises(StoreUnavailable):
        await directory.find(credentials.write_key)
    clickhouse_server.restart()
    clock.seconds = 2
    assert await directory.find(credentials.write_key) is not None
    assert directory.loaded
    await directory.close()
    await directory.close()
    store.close()
