"""Rows that one server stores for a second of its processor, and that the busier one of two shards stores.

    python benchmarks/two_shards.py [--rows 300000] [--segments 8] [--rounds 3]

The servers share the machine's cores, so the processor time of their inserts and merges is counted, by the engine.
Each round inserts the same segments into one server, and into a cluster of two, through its nodes in turn.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from apimetry.store import migrations
from apimetry.store.client import Store
from benchmarks.store_insert import make_segment
from tests.support.engine.clickhouse_server import ClickHouseServer
from tests.support.engine.cluster import Cluster

_MERGES = "SELECT count() FROM system.merges"
_CPU = "SELECT value / 1e6 FROM system.events WHERE event = 'OSCPUVirtualTimeMicroseconds'"
_POLL_S = 0.2


def insert_all(
    nodes: list[ClickHouseServer], database: str, cluster: str | None, segments: list[bytes]
) -> list[float]:
    """Insert the segments through the nodes in turn, and return each node's seconds of processor."""
    stores = [Store(node.engine_url(database), cluster=cluster) for node in nodes]
    for store in stores:
        store.open()
    before = [cpu_s(store) for store in stores]
    for number, (token, segment) in enumerate(zip(even_tokens(len(segments)), segments, strict=True)):
        stores[number % len(stores)].insert_rows(token, segment)
    for store in stores:
        while store.query(_MERGES) != [(0,)]:
            time.sleep(_POLL_S)
    spent = [cpu_s(store) - start for store, start in zip(stores, before, strict=True)]
    for store in stores:
        store.close()
    return spent


def even_tokens(count: int) -> Iterator[str]:
    """Yield new tokens of which two shards get one each in turn, as they get half of many tokens."""
    for number in range(count):
        while zlib.crc32((token := uuid.uuid4().hex).encode()) % 2 != number // 2 % 2:
            pass
        yield token


def cpu_s(store: Store) -> float:
    ((seconds,),) = store.query(_CPU)
    return float(seconds)


def migrate(url: str, cluster: str | None) -> None:
    store = Store(url, cluster=cluster)
    store.open()
    migrations.migrate(store)
    store.close()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=300_000)
    options.add_argument("--segments", type=int, default=8)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    segment = make_segment(given.rows, random.Random(7))
    segments, rows = [segment] * given.segments, given.rows * given.segments
    with tempfile.TemporaryDirectory(prefix="apimetry-bench-") as directory:
        single, cluster = ClickHouseServer(Path(directory, "single")), Cluster(Path(directory, "cluster"))
        single.start()
        cluster.start()
        try:
            migrate(single.url("apimetry"), None)
            migrate(cluster.urls[0], cluster.name)
            print(f"{given.segments} segments of {given.rows:,} rows, load {os.getloadavg()[0]:.1f}")
            for _ in range(given.rounds):
                (alone,) = insert_all([single], "apimetry", None, segments)
                shards = insert_all(cluster.nodes, cluster.database, cluster.name, segments)
                print(
                    f"one server: {rows / alone:,.0f} rows/s of processor; two shards: {rows / max(shards):,.0f}"
                    f" ({' + '.join(f'{spent:.1f}' for spent in shards)} s for {alone:.1f} s):"
                    f" {alone / max(shards):.2f} times"
                )
        finally:
            single.kill()
            cluster.close()


if __name__ == "__main__":
    main()
