"""A migrated cluster of two shards, and stores over it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from apimetry.store import migrations
from apimetry.store.client import Store
from tests.store.test_rollups import EVENT_TABLES
from tests.support.engine.cluster import Cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    cluster.start()
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def migrated(cluster: Cluster) -> list[list[str]]:
    """What each of four services applied that started at once, two through each node."""
    applied: list[list[str]] = []

    def start(url: str) -> None:
        store = Store(url, cluster=cluster.name)
        store.open()
        try:
            names = migrations.migrate(store)
            migrations.check(store)
            applied.append(names)
        finally:
            store.close()

    services = [threading.Thread(target=start, args=(url,)) for url in cluster.urls * 2]
    for service in services:
        service.start()
    for service in services:
        service.join()
    return applied


@pytest.fixture
def stores(cluster: Cluster, migrated: list[list[str]]) -> Iterator[list[Store]]:
    """One store through each node; the tables are empty."""
    stores = [Store(url, cluster=cluster.name, receive_timeout_s=10) for url in cluster.urls]
    for store in stores:
        store.open()
    for table in (*EVENT_TABLES, "changes"):
        stores[0].command(f"TRUNCATE TABLE {table}_local ON CLUSTER '{cluster.name}'")
    yield stores
    for store in stores:
        store.close()


@pytest.fixture
def over_both(cluster: Cluster, stores: list[Store]) -> Iterator[Store]:
    """A store with both nodes in its URL."""
    store = Store(cluster.url, cluster=cluster.name)
    store.open()
    yield store
    for node in cluster.nodes:
        node.clear_faults()
    store.close()
