"""Several ClickHouse servers on this machine as one cluster: shards of one replica each, `Distributed` over them.

What this engine lacks is replaced: replication between servers, and statements ON CLUSTER. Such a statement is sent
to every node without that clause. A replicated table is a plain one. A table that replication would keep whole on
every node is on the first node, behind a `Distributed` table on each.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from apimetry.store.client import Store
from tests.support.engine.clickhouse_server import ClickHouseServer, Node
from tests.support.engine.on_cluster import WHOLE
from tests.support.services.ports import free_port

REAL_CLUSTER = "APIMETRY_TEST_CLUSTER"
"""`NAME@URL,URL`: a cluster, and the HTTP addresses of some of its nodes, with user and password."""


class Cluster:
    """A cluster of two shards of this machine, or the one that `APIMETRY_TEST_CLUSTER` names."""

    def __init__(self, directory: Path) -> None:
        self.database = f"test_{uuid.uuid4().hex[:12]}"
        real = os.environ.get(REAL_CLUSTER, "")
        self.name, _, addresses = real.partition("@") if real else ("shards", "", "")
        self._addresses = [address.rstrip("/") for address in addresses.split(",") if address]
        self._nodes = [] if real else _local_nodes(directory)

    def start(self) -> None:
        """Start every node of this machine."""
        for node in self._nodes:
            node.start()

    @property
    def nodes(self) -> list[ClickHouseServer]:
        """Return the nodes to hurt; skips the test where the cluster is not ours."""
        if not self._nodes:
            pytest.skip(f"the nodes of the cluster of {REAL_CLUSTER} are not the test's to stop")
        return self._nodes

    @property
    def urls(self) -> list[str]:
        """Return a store's URL through each of two nodes or more."""
        local = [node.url(self.database) for node in self._nodes]
        return local or [f"{address}/{self.database}" for address in self._addresses]

    @property
    def url(self) -> str:
        """Return a store's URL with all of these nodes as its hosts."""
        return with_hosts(*self.urls)

    def close(self) -> None:
        """Kill every node of this machine; drop the database of another cluster."""
        for node in self._nodes:
            node.kill()
        if not self._nodes:
            store = Store(self._addresses[0], cluster=self.name)
            store.open()
            store.command(f"DROP DATABASE IF EXISTS `{self.database}` ON CLUSTER '{self.name}' SYNC")
            store.close()


def with_hosts(first: str, *others: str) -> str:
    """Return the first URL with the hosts of the others behind its own."""
    hosts = [urlsplit(other).netloc.rpartition("@")[2] for other in others]
    return urlsplit(first)._replace(netloc=",".join([urlsplit(first).netloc, *hosts])).geturl()


def _local_nodes(directory: Path) -> list[ClickHouseServer]:
    ports = [(free_port(), free_port()) for _ in range(2)]
    peers, configuration = tuple(http for http, _ in ports), _clusters([tcp for _, tcp in ports])
    return [
        ClickHouseServer(directory / str(number), node=Node(http, tcp, peers, configuration))
        for number, (http, tcp) in enumerate(ports)
    ]


def _clusters(tcp_ports: list[int]) -> str:
    replicas = [f"<replica><host>127.0.0.1</host><port>{port}</port></replica>" for port in tcp_ports]
    shard = "<shard><internal_replication>true</internal_replication>{}</shard>"
    shards = "".join(shard.format(replica) for replica in replicas)
    return (
        f"<remote_servers><shards>{shards}</shards>"
        f"<{WHOLE}>{shard.format(replicas[0])}</{WHOLE}>"
        f"<doubled>{shard.format(''.join(replicas))}</doubled>"
        f"<copied><shard>{''.join(replicas)}</shard></copied></remote_servers>"
    )
