"""The users of `deploy/clickhouse/users.sql` can do what their services do, and nothing beyond."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timezone
from pathlib import Path

import pytest

from apimetry.store import migrations
from apimetry.store.accounts.accounts import Accounts
from apimetry.store.accounts.bootstrap import bootstrap
from apimetry.store.client import Store
from apimetry.store.erasure import carry_out
from apimetry.store.errors import StoreRejected
from apimetry.store.jobs import Job, JobKind
from tests.support.engine.clickhouse_server import ClickHouseServer
from tests.support.oracles.event_rows import encode_rows

SQL = (Path(__file__).parents[2] / "deploy" / "clickhouse" / "users.sql").read_text()
NAMES = re.findall(r"^CREATE USER IF NOT EXISTS (\w+) IDENTIFIED", SQL, re.MULTILINE)


def users_xml() -> str:
    """The file's users with its very grants; the test's engine makes users from XML only."""
    users = ""
    for name in NAMES:
        grants = "".join(
            f"<query>{grant}</query>" for grant in re.findall(rf"^(GRANT .*) TO {name};$", SQL, re.MULTILINE)
        )
        users += (
            f"<{name}><password>{name}</password><profile>default</profile><quota>default</quota>"
            f"<networks><ip>127.0.0.1</ip></networks><grants>{grants}</grants></{name}>"
        )
    return users


@pytest.fixture(scope="module")
def store_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Store]]:
    """Open the store as a user."""
    server = ClickHouseServer(tmp_path_factory.mktemp("users"), users=users_xml())
    server.start()
    with ExitStack() as stack:
        stack.callback(server.kill)

        def open_as(user: str) -> Store:
            store = Store(server.url("apimetry").replace("://", f"://{user}:{user}@"))
            store.open()
            stack.enter_context(closing(store))
            return store

        migrator = open_as("apimetry_migrator")
        migrations.migrate(migrator)
        bootstrap(Accounts(migrator), application="shop")
        yield open_as


def assert_refused(store: Store, *statements: str) -> None:
    for statement in statements:
        with pytest.raises(StoreRejected, match="ACCESS_DENIED"):
            store.command(statement)


def test_every_grant_of_the_file_is_given_by_the_test():
    assert len(re.findall(r"^GRANT", SQL, re.MULTILINE)) == users_xml().count("<query>") > len(NAMES) == 3


def test_the_writer_adds_rows_and_changes_none(store_of):
    store = store_of("apimetry_writer")
    migrations.check(store)
    store.insert_rows("segment", encode_rows(10))
    assert len(Accounts(store).working_keys_with_hashes()) == 3
    assert_refused(
        store, "DROP TABLE events", "ALTER TABLE events DELETE WHERE 1", "CREATE TABLE x (a Int8) ENGINE = Log"
    )


def test_the_reader_answers_and_carries_deletions_out_and_drops_nothing(store_of):
    store = store_of("apimetry_reader")
    migrations.check(store)
    store_of("apimetry_writer").insert_rows("another segment", encode_rows(10, consumer_id="a"))
    job = Job("job", "org", "shop", JobKind.delete_consumer, datetime.now(timezone.utc), consumer_id="a")
    carry_out(store, job, lambda _: None)
    assert store.query("SELECT count() FROM events WHERE consumer_id = 'a'") == [(0,)]
    assert store.query("SELECT sum(requests) FROM hourly_consumers WHERE consumer_id = 'a'") in ([(0,)], [(None,)])
    store.end_queries("nothing")
    assert_refused(store, "DROP TABLE events", "ALTER TABLE events ADD COLUMN a Int8", "CREATE USER eve")
