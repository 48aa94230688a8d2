"""A store whose URL names several hosts goes on at the next where one fails, and comes back to it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from apimetry.store import migrations
from apimetry.store.client import Store
from apimetry.store.errors import SchemaError, StoreUnavailable
from apimetry.store.statement import Statement
from tests.store.test_rollups import EVENT_TABLES, requests
from tests.support.engine.cluster import Cluster, with_hosts
from tests.support.oracles.event_rows import encode_rows
from tests.support.services.ports import free_port


def wait_until_all_are_up(store: Store) -> None:
    deadline = time.monotonic() + 30
    while not all(store.hosts.are_up().values()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "refuse"},
        {"kind": "reset_after_commit"},
        {"kind": "status", "status": 503},
        {"kind": "status", "code": 242},
    ],
    ids=lambda fault: f"{fault['kind']} {fault.get('code', '')}",
)
def test_reads_and_inserts_go_on_at_the_next_host_and_count_once(
    cluster: Cluster, stores: list[Store], fault: dict[str, Any]
):
    node, hits = cluster.nodes[0], f"fault {fault['kind']}"
    before = node.seen()[hits]
    for statement in ("SELECT 1", "INSERT INTO events"):
        store = Store(cluster.url, cluster=cluster.name)
        store.open()
        node.fault(**fault, statement=statement)
        assert store.query("SELECT 1") == [(1,)]
        store.insert_rows("segment", encode_rows(200))
        store.close()
    assert node.seen()[hits] == before + 2
    assert requests(stores[0]) == dict.fromkeys(EVENT_TABLES, 200)


def test_a_host_that_says_nothing_is_left_out_after_the_timeout(cluster: Cluster, stores: list[Store]):
    store = Store(cluster.url, cluster=cluster.name, receive_timeout_s=2)
    store.open()
    cluster.nodes[0].fault("hang", statement="SELECT 1")
    assert store.query("SELECT 1") == [(1,)]
    cluster.nodes[0].clear_faults()
    store.close()


def test_a_statement_that_may_have_run_is_not_repeated_and_one_that_was_not_sent_goes_on(
    cluster: Cluster, over_both: Store
):
    change = "INSERT INTO sender_reports (application, minute, sent) SELECT 'shop', now(), {}"
    cluster.nodes[0].fault("reset_after_commit", statement="INSERT INTO sender_reports")
    with pytest.raises(StoreUnavailable):
        over_both.command(change.format(1))
    count = "SELECT count() FROM sender_reports WHERE application = 'shop'"
    assert over_both.query(count) == [(1,)]
    dead_host = f"127.0.0.1:{free_port()}"
    store = Store(with_hosts(f"http://{dead_host}/{cluster.database}", cluster.urls[1]), cluster=cluster.name)
    store.open()
    store.command(change.format(2))
    assert store.query(count) == [(2,)]
    assert store.hosts.are_up()[dead_host] is False
    store.close()


def test_a_query_that_was_ended_is_not_begun_at_the_next_host(cluster: Cluster, over_both: Store):
    cluster.nodes[0].fault("status", code=394, statement="SELECT 1")
    with pytest.raises(StoreUnavailable, match="394"):
        over_both.query("SELECT 1")


def test_a_host_that_comes_back_is_used_again(cluster: Cluster, over_both: Store):
    cluster.nodes[0].fault("refuse", count=1_000_000)
    assert over_both.query("SELECT 1") == [(1,)]
    assert list(over_both.hosts.are_up().values()) == [False, True]
    before = cluster.nodes[0].seen()["SELECT"]
    assert over_both.query("SELECT 1") == [(1,)]
    assert cluster.nodes[0].seen()["SELECT"] == before
    cluster.nodes[0].clear_faults()
    wait_until_all_are_up(over_both)
    before = cluster.nodes[0].seen()["SELECT"]
    assert over_both.query("SELECT 1") == [(1,)]
    assert cluster.nodes[0].seen()["SELECT"] == before + 1


def test_a_host_that_comes_back_is_used_again_also_after_a_start_that_failed(cluster: Cluster, stores: list[Store]):
    for node in cluster.nodes:
        node.fault("refuse", count=1_000_000)
    store = Store(cluster.url, cluster=cluster.name)
    try:
        with pytest.raises(StoreUnavailable):
            store.open()
        for node in cluster.nodes:
            node.clear_faults()
        wait_until_all_are_up(store)
        store.open()
        assert store.query("SELECT 1") == [(1,)]
    finally:
        for node in cluster.nodes:
            node.clear_faults()
        store.close()


def test_a_stream_begins_at_the_next_host_and_is_never_begun_again(cluster: Cluster, over_both: Store):
    rows = Statement("SELECT concat(toString(number), '}\\n') FROM numbers(200000)")
    cluster.nodes[0].fault("refuse", statement="SELECT concat")
    whole = b"".join(over_both.stream(rows, form="RawBLOB"))
    assert whole.count(b"}\n") == 200_000
    for node in cluster.nodes:
        node.fault("cut", statement="SELECT concat")
    pieces: list[bytes] = []
    with pytest.raises(StoreUnavailable):
        pieces.extend(over_both.stream(rows, form="RawBLOB"))
    assert whole.startswith(b"".join(pieces))


def test_hosts_of_different_clusters_are_refused(cluster: Cluster, stores: list[Store], clickhouse_server):
    node, other = cluster.urls[0], clickhouse_server.url(cluster.database)
    store = Store(with_hosts(node, other), cluster=cluster.name)
    store.open()
    try:
        with pytest.raises(SchemaError, match="know different shards of cluster"):
            migrations.check(store)
    finally:
        store.close()
    # A cluster that the first host does not know.
    store = Store(with_hosts(other, node), cluster=cluster.name)
    with pytest.raises(SchemaError, match="knows no cluster of this name"):
        store.open()
