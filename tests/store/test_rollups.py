"""Rollups count what the events count: exactly once, nulls and weights included, and also what came before them."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable

import pytest

from apimetry.store import migrations
from apimetry.store.client import Store
from apimetry.store.errors import SchemaError, StoreUnavailable, is_transient
from apimetry.store.migrations import backfill
from apimetry.store.migrations.layout import Layout
from tests.store.test_repair import remove_newest_part, with_store
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.event_rows import encode_row, encode_rows, now_us
from tests.support.query_events import Event, insert_events, random_events

ROLLUPS = ("hourly_routes", "hourly_totals", "hourly_origins", "hourly_consumers")
HOUR_US = 3_600_000_000
START_S = 1_413_295_200
BEFORE_ROLLUPS = ("0001_events", "0002_accounts")

# Kills its own process before the command with the given number, as if the machine had gone.
DIE_BEFORE = """
import os, signal, sys
from apimetry.store import migrations
from apimetry.store.client import Store

class Mortal(Store):
    left = int(sys.argv[2])
    def command(self, sql, parameters=None, *, settings=None):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        super().command(sql, parameters, settings=settings)

store = Mortal(sys.argv[1])
store.open()
migrations.migrate(store)
print(int(sys.argv[2]) - store.left, flush=True)
os._exit(0)
"""


def requests(store: Store) -> dict[str, int]:
    """Requests by table; the totals' are those of the whole application."""
    counted = {"events": store.query("SELECT sum(sample_weight) FROM events")[0][0]}
    for name in ROLLUPS:
        where = "WHERE dimension = 'all'" if name == "hourly_totals" else ""
        ((counted[name],),) = store.query(f"SELECT sum(requests) FROM {name} {where}")
    return counted


def assert_all_count(store: Store, expected: int) -> None:
    assert requests(store) == dict.fromkeys(("events", *ROLLUPS), expected)


def migrate_to_before_rollups(store: Store) -> None:
    """What an installation without rollups has."""
    layout = Layout(store.database, store.cluster)
    for statement in migrations._record_table(layout):
        store.command(statement)
    for migration in migrations.migrations(layout):
        if migration.name in BEFORE_ROLLUPS:
            for statement in migration.statements:
                store.command(statement)
            migrations._record(store, migration)


@pytest.fixture
def old_store(store_url: str):
    """A store of before the rollups, with 600 events over a month, both ways."""
    store = Store(store_url)
    store.open()
    migrate_to_before_rollups(store)
    insert_events(store, random_events(3, 600, START_S, START_S + 30 * 86400))
    yield store
    store.close()


def test_a_token_counts_once_in_every_rollup(store: Store):
    rows = encode_rows(1_000, sample_weight=3)
    for _ in range(4):
        store.insert_rows("segment-1", rows)
    store.insert_rows("segment-2", encode_rows(10, timestamp=now_us() - 8 * 24 * HOUR_US))
    assert_all_count(store, 3_010)


def test_lost_answers_count_once_in_every_rollup(server_store: Store, clickhouse_server: ClickHouseServer):
    for number in range(6):
        clickhouse_server.fault("reset_after_commit", statement="INSERT INTO events")
        rows = encode_rows(50, consumer_id=str(number))
        with pytest.raises(StoreUnavailable):
            server_store.insert_rows(f"t{number}", rows)
        server_store.insert_rows(f"t{number}", rows)
    assert_all_count(server_store, 300)


@pytest.mark.parametrize("table", ROLLUPS)
def test_a_rollup_killed_before_its_part_was_in_place_is_mended_by_the_retry(embedded_store_url: str, table: str):
    rows = {token: encode_rows(20, consumer_id=token) for token in ("a", "b")}
    kill: list[Callable[[], None]] = []

    def insert(store: Store) -> None:
        for name in ("events", *ROLLUPS):
            store.command(f"SYSTEM STOP MERGES {name}")
        for token, body in rows.items():
            store.insert_rows(token, body)
        kill.append(remove_newest_part(store, table))

    def retry(store: Store) -> None:
        for token, body in rows.items():
            store.insert_rows(token, body)
        assert_all_count(store, 40)

    with_store(embedded_store_url, insert)
    kill[0]()
    with_store(embedded_store_url, retry)


def test_an_hour_has_exact_sums_and_leaves_nulls_out(store: Store):
    hour = now_us() // HOUR_US * HOUR_US
    store.insert_rows(
        "t",
        encode_row(timestamp=hour, response_us=10, ttfb_us=None, response_bytes=5, sample_weight=2)
        + encode_row(timestamp=hour + 61_000_000, response_us=2**63, ttfb_us=7, response_bytes=0, sample_weight=3)
        + encode_row(timestamp=hour + HOUR_US - 1, response_us=0, ttfb_us=9, response_bytes=None),
    )
    value = "{0}_weight, {0}_sum, {0}_min, {0}_max, {0}_buckets"
    for table in ("hourly_routes FINAL", "hourly_totals FINAL WHERE dimension = 'all'"):
        ((found, *measures),) = store.query(
            f"SELECT (toUnixTimestamp(time), requests, minutes, retention_days), {value.format('response_us')},"
            f" {value.format('ttfb_us')}, {value.format('request_bytes')}, {value.format('response_bytes')}"
            f" FROM {table}"
        )
        assert found == (hour // 1_000_000, 6, {0: 2, 1: 3, 59: 1}, 90)
        assert measures[:5] == [6, (20 + 3 * 2**63) % 2**64, 0, 2**63, {0: 1, 62: 2, 1134: 3}]
        assert measures[5:10] == [4, 30, 7, 9, {54: 3, 59: 1}]
        assert measures[10:15] == [0, 0, 2**64 - 1, 0, {}]
        assert measures[15:] == [5, 10, 0, 5, {0: 3, 46: 2}]


def test_expired_hours_go_with_their_events(store: Store):
    old = now_us() - 40 * 24 * HOUR_US
    store.insert_rows(
        "t", encode_row(timestamp=old, retention_days=30) + encode_row(timestamp=old, retention_days=60)
    )
    for name in ROLLUPS:
        store.command(f"OPTIMIZE TABLE {name} FINAL")
    # One hour, kept for the longer of the two.
    assert requests(store)["hourly_routes"] == 2
    store.insert_rows("u", encode_row(timestamp=old - 24 * HOUR_US, retention_days=30))
    for name in ROLLUPS:
        store.command(f"OPTIMIZE TABLE {name} FINAL")
        assert requests(store)[name] == 2


def test_events_of_before_are_rolled_up_once_however_often(old_store: Store):
    ((expected,),) = old_store.query("SELECT sum(sample_weight) FROM events")
    assert "0003_rollups" in migrations.migrate(old_store)
    assert_all_count(old_store, expected)
    backfill.fill_rollups(old_store, Layout(old_store.database))
    migrations.migrate(old_store)
    migrations.check(old_store)
    assert_all_count(old_store, expected)
    insert_events(old_store, [Event(timestamp=START_S * 1_000_000)], token="later")
    assert_all_count(old_store, expected + 1)


def test_a_fill_repeated_before_its_record_counts_once(old_store: Store):
    ((expected,),) = old_store.query("SELECT sum(sample_weight) FROM events")
    layout = Layout(old_store.database)
    (migration,) = (each for each in migrations.migrations(layout) if each.name == "0003_rollups")
    for _ in range(2):
        for statement in migration.statements:
            old_store.command(statement)
        backfill.fill_rollups(old_store, layout)
    assert_all_count(old_store, expected)


def test_a_backfill_killed_before_any_statement_resumes(embedded_store_url: str):
    def prepare(store: Store) -> None:
        migrate_to_before_rollups(store)
        rng = random.Random(5)
        days = [START_S + day * 86400 + rng.randrange(86400) for day in (0, 1, 6)]
        insert_events(store, [Event(timestamp=second * 1_000_000 + n) for second in days for n in range(20)])

    def finish(store: Store) -> None:
        migrations.migrate(store)
        migrations.check(store)
        assert_all_count(store, 60)

    def killed(url: str, survived: int) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-c", DIE_BEFORE, url, str(survived)], capture_output=True, check=False
        )

    def open_store(url: str, use: Callable[[Store], None]) -> None:
        store = Store(url)
        store.open()
        use(store)
        store.close()

    open_store(f"{embedded_store_url}-whole", prepare)
    commands = int(killed(f"{embedded_store_url}-whole", 1000).stdout)
    # The record's table, the pause, the rollups, three days of three tables, and their record.
    for survived in (2, 6, 11, 13, 18, min(commands, 20)):
        url = f"{embedded_store_url}-{survived}"
        open_store(url, prepare)
        assert killed(url, survived).returncode == -9
        open_store(url, finish)


def test_inserts_during_the_backfill_wait_and_are_counted_once(clickhouse_url: str):  # noqa: C901 - two kinds of threads
    store = Store(clickhouse_url)
    store.open()
    migrate_to_before_rollups(store)
    insert_events(store, random_events(4, 2_000, START_S, START_S + 20 * 86400))
    ((before,),) = store.query("SELECT sum(sample_weight) FROM events")
    inserted: list[int] = []
    refused: list[int] = []
    errors: list[Exception] = []
    done = threading.Event()

    def insert_for_ever() -> None:
        while not done.is_set():
            token = uuid.uuid4().hex
            body = encode_rows(7, consumer_id=token)
            while True:
                try:
                    store.insert_rows(token, body)
                    break
                except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
                    if not is_transient(error):
                        errors.append(error)
                        return
                    refused.append(1)
            inserted.append(7)

    def migrate(other: Store) -> None:
        try:
            migrations.migrate(other)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
            errors.append(error)

    writers = [threading.Thread(target=insert_for_ever) for _ in range(2)]
    others = [Store(clickhouse_url) for _ in range(2)]
    for other in others:
        other.open()
    migrators = [threading.Thread(target=migrate, args=(other,)) for other in others]
    for thread in (*writers, *migrators):
        thread.start()
    for thread in migrators:
        thread.join()
    count = len(inserted)
    while len(inserted) < count + 3 and not errors:
        done.wait(0.01)
    done.set()
    for thread in writers:
        thread.join()
    try:
        assert not errors
        assert refused
        assert_all_count(store, before + sum(inserted))
    finally:
        for each in (*others, store):
            each.close()


def test_a_pause_that_was_left_is_refused_and_lifted_by_migrating(store: Store):
    backfill.pause_inserts(store, Layout(store.database))
    with pytest.raises(StoreUnavailable):
        store.insert_rows("t", encode_rows(1))
    with pytest.raises(SchemaError, match="run `apimetry migrate`"):
        migrations.check(store)
    migrations.migrate(store)
    migrations.check(store)
    store.insert_rows("t", encode_rows(1))
    assert_all_count(store, 1)


def test_on_a_cluster_views_feed_the_nodes_own_rollups_and_the_pause_reaches_every_node():
    layout = Layout("d", cluster="c")
    (migration,) = (each for each in migrations.migrations(layout) if each.name == "0003_rollups")
    views = [statement for statement in migration.statements if statement.startswith("CREATE MATERIALIZED VIEW")]
    assert [view.split()[11] for view in views] == [
        f"d.{name}_local" for name in ("hourly_totals", "hourly_routes", "hourly_origins", "hourly_consumers")
    ]
    assert "FROM d.hourly_routes_local" in views[0]
    assert all("FROM d.events_local" in view for view in views[1:])
    assert layout.alter_stored("events", "X") == "ALTER TABLE d.events_local ON CLUSTER 'c' X"
