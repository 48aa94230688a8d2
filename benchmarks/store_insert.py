"""Rows a second of `Store.insert_rows`, for segments that are ready, with and without fsync of each part.

    python benchmarks/store_insert.py [--rows 200000] [--segments 5] [--url clickhouse://…]

Each way gets a store of its own: embedded in a temporary directory unless a URL is given.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import uuid

from apimetry.store import migrations
from apimetry.store.client import Store
from apimetry.store.events import ROW_COLUMNS
from apimetry.store.native import encode_block

ROUTES = [f"/v1/{noun}/{{id}}{tail}" for noun in ("items", "users", "scores", "orders") for tail in ("", "/notes")]
AGENTS = [f"Mozilla/5.0 (X11; Linux x86_64; rv:{n}.0) Gecko/20100101 Firefox/{n}.0" for n in range(100, 140)]


def make_segment(rows: int, rng: random.Random) -> bytes:
    """Make rows of the last hour in blocks of 500: few routes, many URLs and consumers, mostly successes."""
    values = make_rows(rows, rng)
    batches = (values[first : first + 500] for first in range(0, rows, 500))
    return b"".join(encode_block(ROW_COLUMNS, zip(*batch, strict=True)) for batch in batches)


def make_rows(rows: int, rng: random.Random) -> list[tuple[object, ...]]:
    now = time.time_ns() // 1000
    generated = []
    for _ in range(rows):
        route = rng.choice(ROUTES)
        latency = int(rng.lognormvariate(9, 1))
        values = (
            *("shop", now - rng.randrange(3_600_000_000), rng.choice(("GET", "GET", "GET", "POST"))),
            *(route.replace("{id}", str(rng.randrange(100_000))), route, "shop.views.show"),
            *(rng.choice((200, 200, 200, 200, 201, 404, 500)), latency, latency // 2, rng.randrange(2_000)),
            *(rng.randrange(20_000), f"consumer-{rng.randrange(5_000)}", "", "", rng.choice(AGENTS), 1, {}),
            *("web-1", "1.4.2", 90, "Firefox"),
        )
        generated.append(values)
    return generated


def measure(url: str, segments: list[bytes], rows: int, *, fsync: bool) -> float:
    store = Store(url)
    store.open()
    try:
        migrations.migrate(store)
        store.command(
            f"ALTER TABLE events MODIFY SETTING fsync_after_insert = {fsync:d}, fsync_part_directory = {fsync:d}"
        )
        store.insert_rows("warm", segments[0])
        start = time.perf_counter()
        for segment in segments[1:]:
            store.insert_rows(uuid.uuid4().hex, segment)
        elapsed = time.perf_counter() - start
        ((stored,),) = store.query("SELECT count() FROM events")
        assert stored == rows * len(segments)
    finally:
        store.close()
    return rows * (len(segments) - 1) / elapsed


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--segments", type=int, default=5)
    options.add_argument("--url")
    arguments = options.parse_args()
    rng = random.Random(7)
    segment = make_segment(arguments.rows, rng)
    segments = [segment] * (arguments.segments + 1)
    print(
        f"{arguments.segments} segments of {arguments.rows:,} rows, {len(segment) / arguments.rows:.0f} bytes a row"
    )
    for fsync in (False, True, False, True):
        with tempfile.TemporaryDirectory(prefix="apimetry-bench-") as directory:
            url = f"{arguments.url}_{uuid.uuid4().hex[:8]}" if arguments.url else f"chdb://{directory}/store"
            rate = measure(url, segments, arguments.rows, fsync=fsync)
        print(f"fsync_after_insert={fsync:d}: {rate:,.0f} rows/s, {arguments.rows / rate * 1000:,.0f} ms a segment")


if __name__ == "__main__":
    main()
