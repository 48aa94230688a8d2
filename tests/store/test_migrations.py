"""Migrations resume wherever they were killed, agree with each other, and refuse what they cannot keep safe."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping

import pytest

from apimetry.store import migrations
from apimetry.store.client import Store
from apimetry.store.errors import SchemaError
from apimetry.store.layout import Layout
from tests.support.oracles.event_rows import encode_rows

NAMES = [
    "0001_events",
    "0002_accounts",
    "0003_rollups",
    "0004_counters",
    "0005_sender_reports",
    "0006_alerts",
    "0007_jobs",
    "0008_unknown_times",
    "0009_alert_channels",
    "0011_changes",
    "0012_reports",
    "0013_user_agent_family",
    "0014_days",
    "0015_alert_filters",
    "0016_tokens",
    "0017_minutes",
    "0018_rejections",
    "0019_batches",
    "0020_merges",
]

# Kills its own process before the command with the given number.
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
print("whole", flush=True)
os._exit(0)
"""


class Stopped(Exception):
    """The next command is not run."""


class OneCommandFurther(Store):
    """A store that stops before the second command that is new to it; `repeat` lets it go on for one more."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._known: set[str] = set()
        self._new = 0

    def repeat(self) -> None:
        self._new = 0

    def command(
        self,
        sql: str,
        parameters: Mapping[str, object] | None = None,
        *,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        command = repr((sql, parameters))
        self._new += command not in self._known
        if self._new == 2:
            raise Stopped
        super().command(sql, parameters, settings=settings)
        self._known.add(command)


@pytest.fixture
def empty_store(store_url: str) -> Iterator[Store]:
    store = Store(store_url)
    store.open()
    yield store
    store.close()


def schema(store: Store) -> list[tuple[object, ...]]:
    return store.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = {d:String} ORDER BY name",
        {"d": store.database},
    )


def test_migrating_twice_applies_once(empty_store: Store):
    assert [migration.name for migration in migrations.pending(empty_store)] == NAMES
    assert migrations.migrate(empty_store) == NAMES
    before = schema(empty_store)
    assert migrations.pending(empty_store) == []
    assert migrations.migrate(empty_store) == []
    assert schema(empty_store) == before
    migrations.check(empty_store)


def test_pending_changes_nothing(empty_store: Store):
    assert all(migration.statements for migration in migrations.pending(empty_store))
    assert schema(empty_store) == []


def test_every_statement_can_run_again(empty_store: Store):
    migrations.migrate(empty_store)
    before = schema(empty_store)
    for migration in migrations.migrations(Layout(empty_store.database)):
        for statement in migration.statements:
            empty_store.command(statement)
    assert schema(empty_store) == before


def test_a_migration_stopped_before_any_statement_resumes(embedded_store_url: str):
    store = OneCommandFurther(embedded_store_url)
    store.open()
    try:
        statements = [s for migration in migrations.migrations(Layout("apimetry")) for s in migration.statements]
        # Each run stops before the next one of these: a statement, a migration's record, the mark of a change.
        for _ in range(len(statements) + len(NAMES) + 1):
            with pytest.raises(Stopped):
                migrations.migrate(store)
            store.repeat()
        migrations.migrate(store)
        assert_whole(store)
    finally:
        store.close()


def test_a_migration_whose_processes_are_killed_resumes(embedded_store_url: str):
    longest = max(len(migration.statements) for migration in migrations.migrations(Layout("apimetry")))
    # Each process begins the killed one's migration again, and comes at least one statement further.
    command = [sys.executable, "-c", DIE_BEFORE, embedded_store_url, str(longest + 2)]
    kills = 0
    while (done := subprocess.run(command, capture_output=True, check=False)).returncode == -9:
        kills += 1
    assert (done.returncode, done.stdout, kills > 2) == (0, b"whole\n", True)
    store = Store(embedded_store_url)
    store.open()
    try:
        assert_whole(store)
    finally:
        store.close()


def assert_whole(store: Store) -> None:
    migrations.check(store)
    store.insert_rows("t", encode_rows(1))
    applied = store.query("SELECT name FROM schema_migrations FINAL ORDER BY name")
    assert [name for (name,) in applied] == NAMES


def test_processes_that_migrate_at_once_agree(clickhouse_url: str):
    stores = [Store(clickhouse_url) for _ in range(4)]
    start = threading.Barrier(len(stores))
    errors: list[Exception] = []

    def migrate(store: Store) -> None:
        start.wait()
        try:
            store.open()
            migrations.migrate(store)
            migrations.check(store)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
            errors.append(error)

    threads = [threading.Thread(target=migrate, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    applied = stores[0].query("SELECT name FROM schema_migrations FINAL ORDER BY name")
    for store in stores:
        store.close()
    assert not errors
    assert [name for (name,) in applied] == NAMES


def test_an_unmigrated_schema_is_refused_with_the_command(empty_store: Store):
    with pytest.raises(SchemaError, match=r"0001_events.*apimetry migrate"):
        migrations.check(empty_store)


def test_a_newer_schema_is_refused_untouched(store: Store):
    store.command("INSERT INTO schema_migrations (name) SELECT '9999_future'")
    before = schema(store)
    for refuse in (migrations.check, migrations.migrate):
        with pytest.raises(SchemaError, match=r"newer.*9999_future.*upgrade apimetry"):
            refuse(store)
    assert schema(store) == before


@pytest.mark.parametrize("window", [0, 100])
def test_a_table_that_forgets_tokens_is_refused_with_its_repair(store: Store, window: int):
    store.command(f"ALTER TABLE events MODIFY SETTING non_replicated_deduplication_window = {window}")
    with pytest.raises(SchemaError, match="store a retried insert twice") as caught:
        migrations.check(store)
    repair = re.search(r"ALTER TABLE .*", str(caught.value))
    assert repair
    store.command(repair.group())
    migrations.check(store)


def test_a_table_made_without_a_window_is_refused(store: Store):
    store.command("CREATE TABLE rollup (a UInt8) ENGINE = SummingMergeTree ORDER BY a")
    with pytest.raises(SchemaError, match=r"rollup would store"):
        migrations.check(store)


def test_on_a_cluster_every_statement_names_it():
    for migration in migrations.migrations(Layout("apimetry", cluster="prod")):
        for statement in migration.statements:
            # A row of a shared table reaches every node by itself.
            if statement.startswith("INSERT INTO apimetry.whole_"):
                continue
            assert " ON CLUSTER 'prod'" in statement
            assert "non_replicated" not in statement
            assert re.search(r" Replicated|Distributed\('prod', |^CREATE MATERIALIZED VIEW|^ALTER TABLE", statement)


def test_on_a_cluster_large_tables_are_sharded_and_small_ones_are_everywhere():
    whole = {migration.name: migration.statements for migration in migrations.migrations(Layout("d", cluster="c"))}
    local, front = whole["0001_events"]
    assert local.startswith("CREATE TABLE IF NOT EXISTS d.events_local ON CLUSTER 'c'")
    assert "ReplicatedMergeTree('/clickhouse/tables/{shard}/d/events_local', '{replica}')" in local
    assert "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 2419200" in local
    assert front.endswith("ENGINE = Distributed('c', 'd', 'events_local', sipHash64(application, timestamp, url))")
    assert all("'/clickhouse/tables/all/d/" in statement for statement in whole["0002_accounts"])


def test_a_view_reads_and_feeds_what_lies_on_its_own_node():
    view = {"source": "events", "target": "rollup", "select": "SELECT 1 FROM {source}"}
    assert Layout("d").view("v", **view) == [
        "CREATE MATERIALIZED VIEW IF NOT EXISTS d.v TO d.rollup AS\nSELECT 1 FROM d.events"
    ]
    assert Layout("d", "c").view("v", **view) == [
        "CREATE MATERIALIZED VIEW IF NOT EXISTS d.v ON CLUSTER 'c' TO d.rollup_local AS\nSELECT 1 FROM d.events_local"
    ]


def test_a_changed_column_changes_the_front_too():
    change = "ADD COLUMN IF NOT EXISTS a UInt8"
    assert Layout("d").alter("events", change) == [f"ALTER TABLE d.events {change}"]
    assert Layout("d", "c").alter("events", change) == [
        f"ALTER TABLE d.events_local ON CLUSTER 'c' {change}",
        f"ALTER TABLE d.events ON CLUSTER 'c' {change}",
    ]


def test_a_sharded_rollup_keeps_its_engines_arguments():
    statements = Layout("d", "c").sharded_table(
        "r", "a UInt8, n UInt64", order_by="a", shard_by="a", engine="SummingMergeTree", arguments="(n)"
    )
    assert "ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/d/r_local', '{replica}', (n))" in statements[0]
    single = Layout("d").sharded_table("r", "a UInt8", order_by="a", shard_by="a", engine="SummingMergeTree")
    assert "ENGINE = SummingMergeTree()" in single[0]
