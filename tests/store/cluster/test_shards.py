"""Two shards are one store: whatever node is asked, whatever is repeated, and whichever is gone."""

from __future__ import annotations

import re
import secrets
from dataclasses import astuple
from datetime import datetime, timezone
from typing import Any

import pytest

from apimetry.store import migrations
from apimetry.store.accounts.accounts import Accounts
from apimetry.store.accounts.bootstrap import bootstrap
from apimetry.store.backups import BackupError, backup
from apimetry.store.batches import HeldBatch, find_owners, hold
from apimetry.store.calls import calls_of_month
from apimetry.store.changes import versions, versions_in
from apimetry.store.client import Store
from apimetry.store.erasure import carry_out
from apimetry.store.errors import SchemaError, StoreError, StoreUnavailable
from apimetry.store.events import ROW_COLUMNS
from apimetry.store.jobs import Job, JobKind
from apimetry.store.mutations import unfinished_mutations
from apimetry.store.native import encode_block
from apimetry.store.pausing import inserts_paused, pause_inserts, resume_inserts
from apimetry.store.storage import StorageLocation, disk_usage
from tests.store.test_rollups import EVENT_TABLES, first_kept_us, requests
from tests.support.engine.cluster import Cluster
from tests.support.oracles.event_rows import encode_rows, now_us
from tests.support.oracles.query_events import Event, insert_events, random_events


def on_shards(store: Store, table: str, count: str) -> list[int]:
    """Return a figure of the rows that each shard holds, without shards that hold none."""
    rows = store.query(f"SELECT {count} FROM {table} GROUP BY _shard_num ORDER BY _shard_num")
    return [figure for (figure,) in rows]


def no_wait(_: float) -> None:
    """Ask again at once."""


def job_of(kind: JobKind, **details: object) -> Job:
    return Job("job", "org", "shop", kind, datetime.now(timezone.utc), **details)  # type: ignore[arg-type]


def test_services_that_start_at_once_agree_and_each_is_ready(migrated: list[list[str]], stores: list[Store]):
    assert len(migrated) >= 4
    for store in stores:
        assert migrations.pending(store) == []
        migrations.check(store)


def test_a_migration_killed_between_two_nodes_is_finished_by_the_next_service(cluster: Cluster):
    database = f"{cluster.database}_killed"
    urls = [url.replace(cluster.database, database) for url in cluster.urls]

    class Dying(Store):
        """A service whose last statement reaches one node alone."""

        def command(self, sql: str, *args: Any, **options: Any) -> None:
            nonlocal lives
            lives -= 1
            if lives == 0:
                cluster.nodes[attempt % 2].fault("first_node")
            super().command(sql, *args, **options)

    for attempt in range(1_000):
        store, lives = Dying(urls[attempt % 2], cluster=cluster.name), 1 + 7 * attempt
        store.open()
        try:
            migrations.migrate(store)
        except StoreUnavailable:
            continue
        else:
            break
        finally:
            store.close()
    assert attempt > 3
    tables = (
        "SELECT name, create_table_query FROM system.tables WHERE database = {d:String} AND name NOT LIKE '%_whole'"
    )
    first, second = (Store(url, cluster=cluster.name) for url in urls)
    for store in (first, second):
        store.open()
        migrations.check(store)
    assert sorted(first.query(tables, {"d": database})) == sorted(second.query(tables, {"d": database}))
    first.insert_rows("segment", encode_rows(50))
    assert requests(second) == dict.fromkeys(EVENT_TABLES, 50)
    for store in (first, second):
        store.close()


def test_a_token_through_any_node_counts_once_in_events_and_rollups_of_every_shard(stores: list[Store]):
    now_s = now_us() // 1_000_000
    events = random_events(5, 1_000, now_s - 8 * 86_400, now_s)
    for attempt in range(4):
        insert_events(stores[attempt % 2], events, token="segment")
    weight = sum(event.sample_weight for event in events)
    recent = sum(event.sample_weight for event in events if event.timestamp >= first_kept_us(stores[0]))
    # All events of a token are on one shard.
    assert on_shards(stores[1], "events", "sum(sample_weight)") == [weight]
    tokens = [f"segment {number}" for number in range(9)]
    for number, token in enumerate(tokens):
        insert_events(stores[number % 2], events, token=token)
    for store in stores:
        assert requests(store) == dict.fromkeys(EVENT_TABLES, 10 * weight) | {"minute_totals": 10 * recent}
    shards = on_shards(stores[0], "events", "sum(sample_weight)")
    assert len(shards) == 2
    # A rollup's rows are on the shard of their events.
    assert on_shards(stores[1], "hourly_consumers", "sum(requests)") == shards
    assert on_shards(stores[1], "hourly_totals", "sumIf(requests, dimension = 'all')") == shards


def test_blocks_of_an_older_version_are_stored_and_wrong_ones_refused(stores: list[Store]):
    def block(columns: dict[str, str]) -> bytes:
        return encode_block(columns, [[value] for value in (event[name] for name in columns)])

    event = dict(zip(ROW_COLUMNS, astuple(Event(timestamp=now_us(), sample_weight=3)), strict=True))
    older = {name: kind for name, kind in ROW_COLUMNS.items() if name != "user_agent_family"}
    stores[0].insert_rows("older", block(older))
    assert stores[1].query("SELECT user_agent_family, sample_weight FROM events") == [("", 3)]
    for wrong in ({**ROW_COLUMNS, "status_code": "UInt8"}, {**older, "more": "String"}):
        event["more"] = "x"
        with pytest.raises(StoreError):
            stores[0].insert_rows("wrong", block(wrong))
    assert requests(stores[0]) == dict.fromkeys(EVENT_TABLES, 3)


def test_an_insert_whose_answer_was_lost_is_repeated_through_another_node(cluster: Cluster, stores: list[Store]):
    rows = encode_rows(500, consumer_id="a")
    cluster.nodes[0].fault("reset_after_commit", statement="INSERT INTO events")
    with pytest.raises(StoreUnavailable):
        stores[0].insert_rows("lost", rows)
    stores[1].insert_rows("lost", rows)
    assert requests(stores[0]) == dict.fromkeys(EVENT_TABLES, 500)


def test_segments_agree_on_a_batch_through_any_nodes(stores: list[Store]):
    keys = [secrets.token_bytes(16) for _ in range(20)]
    batches = [HeldBatch(key, now_us(), is_first=False) for key in keys]
    for store, segment in zip(stores, ("one", "other"), strict=True):
        hold(store, segment, batches)
    # Each proposes the other; the first proposal counts for both.
    owners = [find_owners(store, segment, batches) for store, segment in zip(stores, ("one", "other"), strict=True)]
    assert owners == [dict.fromkeys(keys, "other")] * 2
    assert len(on_shards(stores[0], "batch_owners", "uniqExact(key)")) == 2


def test_a_shard_that_was_gone_during_an_insert_gets_its_rows_once_from_the_retry(
    cluster: Cluster, stores: list[Store]
):
    rows = encode_rows(500)
    cluster.nodes[1].kill()
    try:
        with pytest.raises(StoreUnavailable):
            stores[0].insert_rows("segment", rows)
        # An answer never leaves a shard out in silence.
        with pytest.raises(StoreUnavailable):
            stores[0].query("SELECT count() FROM events")
        migrations.pending(stores[0])
    finally:
        cluster.nodes[1].restart()
    for _ in range(2):
        stores[0].insert_rows("segment", rows)
    assert requests(stores[0]) == dict.fromkeys(EVENT_TABLES, 500)


def test_accounts_are_the_same_through_every_node(stores: list[Store]):
    credentials = bootstrap(Accounts(stores[0]), application="shop")
    assert credentials is not None
    first, second = (Accounts(store) for store in stores)
    assert first.keys_with_hashes() == second.keys_with_hashes()
    assert [application.name for application in second.applications()] == ["shop"]


@pytest.mark.parametrize("kind", [JobKind.delete_consumer, JobKind.change_retention])
def test_a_job_reaches_every_shard_and_rollups_agree(stores: list[Store], kind: JobKind):
    for consumer in ("a", "b"):
        stores[0].insert_rows(consumer, encode_rows(300, consumer_id=consumer))
    carry_out(stores[1], job_of(kind, consumer_id="a", retention_days=30), no_wait)
    requests_left = 600 if kind is JobKind.change_retention else 300
    assert requests(stores[0]) == dict.fromkeys(EVENT_TABLES, requests_left)
    remaining = stores[0].query("SELECT DISTINCT consumer_id, retention_days FROM events ORDER BY consumer_id")
    expected = [("a", 30), ("b", 30)] if kind is JobKind.change_retention else [("b", 90)]
    assert remaining == expected
    assert unfinished_mutations(stores[0]) == []


def test_inserts_are_paused_and_resumed_on_every_shard(stores: list[Store]):
    layout = migrations._layout(stores[0])
    pause_inserts(stores[0], layout)
    assert inserts_paused(stores[1], layout)
    with pytest.raises(StoreUnavailable):
        stores[1].insert_rows("paused", encode_rows(100))
    resume_inserts(stores[1], layout)
    stores[0].insert_rows("paused", encode_rows(100))
    assert requests(stores[0]) == dict.fromkeys(EVENT_TABLES, 100)


def test_the_calls_of_a_month_are_those_of_all_shards(stores: list[Store]):
    stores[0].command(f"TRUNCATE TABLE counters_local ON CLUSTER '{stores[0].cluster}'")
    accounts = Accounts(stores[0])
    organization = accounts.create_organization("Counted")
    accounts.create_application(organization.id, "Counted", application_id="counted")
    events = [Event(application="counted", timestamp=now_us(), url=f"/{i}", sample_weight=2) for i in range(300)]
    for number in range(10):
        insert_events(stores[0], events[30 * number : 30 * number + 30], token=f"segment {number}")
    month = datetime.now(timezone.utc).date().replace(day=1)
    assert len(on_shards(stores[0], "counters", "sum(requests)")) == 2
    for store in stores:
        assert calls_of_month(store, month)[organization.id] == 600


def test_a_backup_of_a_cluster_is_refused_and_says_what_makes_one(stores: list[Store]):
    with pytest.raises(BackupError, match="BACKUP DATABASE … ON CLUSTER"):
        backup(stores[0], "File('monday')")
    assert not inserts_paused(stores[0], migrations._layout(stores[0]))


def test_sizes_and_changes_are_those_of_all_nodes(cluster: Cluster, stores: list[Store]):
    stores[0].insert_rows("segment", encode_rows(400))
    location = StorageLocation(cluster.database, cluster.name)
    sizes = [disk_usage("org", location, ask=store.ask) for store in stores]
    assert sizes[0].rows == sizes[1].rows == 400
    assert sizes[0].size_bytes > stores[0].query("SELECT sum(bytes_on_disk) FROM system.parts WHERE active")[0][0]
    now_s = now_us() // 1_000_000
    versions_by_node = [versions_in(store.ask(versions("shop", [(0, now_s + 60)]))) for store in stores]
    assert versions_by_node[0] == versions_by_node[1]


def test_a_layout_that_doubles_or_splits_is_refused_by_its_name(cluster: Cluster, stores: list[Store]):
    def refused(name: str) -> str:
        store = Store(cluster.nodes[0].url(cluster.database), cluster=name)
        store.open()
        try:
            with pytest.raises(SchemaError) as caught:
                migrations.check(store)
        finally:
            store.close()
        return str(caught.value)

    assert "knows no cluster 'shard'" in refused("shard")
    assert re.search(r"batch_holders_local is a MergeTree, and shard 1 of cluster doubled has", refused("doubled"))
    assert "internal_replication" in refused("copied")
    stores[0].command(
        f"CREATE TABLE {cluster.database}.own ON CLUSTER '{cluster.name}' (a UInt8) ENGINE = MergeTree ORDER BY a"
    )
    try:
        assert "accounts of its own" in refused(cluster.name)
    finally:
        stores[0].command(f"DROP TABLE {cluster.database}.own ON CLUSTER '{cluster.name}'")


def test_the_same_token_behind_two_plain_replicas_is_stored_twice(cluster: Cluster, stores: list[Store]):
    """What the refusal of plain tables is for."""
    stores[0].command(
        f"CREATE TABLE {cluster.database}.doubled ON CLUSTER '{cluster.name}' AS {cluster.database}.events_local"
        f" ENGINE = Distributed('doubled', '{cluster.database}', 'events_local', rand())"
    )
    try:
        for store in stores:
            store.command(
                f"INSERT INTO {cluster.database}.doubled (url) SETTINGS insert_deduplication_token = 't' VALUES ('/')"
            )
        assert sum(on_shards(stores[0], "events", "count()")) == 2
    finally:
        stores[0].command(f"DROP TABLE {cluster.database}.doubled ON CLUSTER '{cluster.name}'")
