"""Events per second from HTTP until they can be queried, through one collector with fsync on, embedded store.

The same rows as one ready body given to `insert_rows` are the limit to compare with: run in the same way, before.

    python benchmarks/collector_ingest.py [--events 500000] [--batch 500] [--json] [--gzip] [--clients 8] [--no-store]
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles

import aiohttp
from aiohttp import web

from apimetry.collector.app import create_app
from apimetry.collector.decode import decode_msgpack
from apimetry.collector.rows import make_target
from apimetry.collector.settings import CollectorSettings, SpoolSettings
from apimetry.middleware import wire
from apimetry.store import migrations
from apimetry.store.accounts import Accounts
from apimetry.store.bootstrap import bootstrap
from apimetry.store.client import Store
from apimetry.store.directory import Directory

WRITE_KEY = "apimetry_w_" + "W" * 37
CPU = "process_cpu_seconds_total"


def rows(count: int, seed: int) -> list[tuple[object, ...]]:
    rng = random.Random(seed)
    now_us = int(time.time() * 1e6)
    return [
        (
            now_us - rng.randrange(3_600_000_000), rng.choice(["GET", "GET", "POST"]),
            f"/v1/scores/{rng.randrange(10_000)}", f"/v1/scores/{{identity}}/{rng.randrange(30)}",
            f"scores.handler_{rng.randrange(30)}", rng.choice([200, 200, 200, 404, 500]), rng.randrange(1000, 90_000),
            None, rng.randrange(2000), rng.randrange(9000), f"consumer-{rng.randrange(500)}", "", "", "", 1, None,
        )
        for _ in range(count)
    ]  # fmt: skip


def bodies(options: argparse.Namespace) -> list[bytes]:
    """Distinct batches; the events of a hundred of them repeat under other ids, to make them quickly."""
    kinds = [rows(options.batch, seed) for seed in range(100)]
    made = []
    for number in range(options.events // options.batch):
        events = kinds[number % len(kinds)]
        if options.json:
            names = ("timestamp", *wire.EVENT_FIELDS[1:])
            objects = [dict(zip(names, (row[0] / 1e6, *row[1:]), strict=True)) for row in events]  # type: ignore[operator]
            body = json.dumps(objects).encode()
        else:
            body = wire.encode_batch(number.to_bytes(16, "big"), {"source": "bench", "version": "1"}, events)
        made.append(gzip.compress(body, 1) if options.gzip else body)
    return made


async def send(url: str, batches: list[bytes], options: argparse.Namespace) -> None:
    headers = {"X-API-Key": WRITE_KEY, "Content-Type": f"application/{'json' if options.json else 'msgpack'}"}
    if options.gzip:
        headers["Content-Encoding"] = "gzip"
    pending = list(reversed(batches))
    seconds: list[float] = []

    async def client(session: aiohttp.ClientSession) -> None:
        while pending:
            body = pending.pop()
            began = time.perf_counter()
            async with session.post(f"{url}/1/event/", data=body, headers=headers) as response:
                assert response.status == 200, await response.text()
                await response.read()
            seconds.append(time.perf_counter() - began)

    async with aiohttp.ClientSession() as session:
        used = await stored(session, url, CPU)
        began = time.perf_counter()
        await asyncio.gather(*[client(session) for _ in range(options.clients)])
        acknowledged = time.perf_counter() - began
        events = len(batches) * options.batch
        while await stored(session, url) < events:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
        total = time.perf_counter() - began
        used = await stored(session, url, CPU) - used
        inserts = [await stored(session, url, f"collector_insert_seconds_{what}") for what in ("count", "sum")]
    cuts = quantiles(seconds, n=100)
    print(f"acknowledged   {events / acknowledged:>12,.0f} events/s")
    print(f"queryable      {events / total:>12,.0f} events/s")
    print(f"inserts        {inserts[0]:.0f}, {inserts[1]:.1f} of {total:.1f} s")
    print(f"process CPU    {used / events * 1e6:.2f} us/event, the embedded engine included")
    print(f"acknowledgement  p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms, {options.clients} clients")


async def stored(session: aiohttp.ClientSession, url: str, name: str = "collector_stored_events_total") -> float:
    async with session.get(f"{url}/metrics") as response:
        text = await response.text()
    name = f"{name} " if name.startswith("process") else f"apimetry_{name} "
    return next(float(line[len(name) :]) for line in text.splitlines() if line.startswith(name))


class NoStore(Store):
    """Takes every insert at once: what is left is the collector's own share."""

    def insert_rows(self, token: str, body: bytes) -> None:
        """See Store."""


async def serve(directory: Path, kind: type[Store]) -> None:
    store = kind(f"chdb://{directory}/store")
    store.open()
    migrations.migrate(store)
    accounts = Accounts(store)
    bootstrap(accounts, write_key=WRITE_KEY)
    keys = Directory(accounts)
    await keys.start()
    spool = SpoolSettings(directory=directory / "spool")
    runner = web.AppRunner(create_app(store, keys, CollectorSettings(spool=spool)), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()
    await keys.close()
    store.close()


def insert_directly(directory: Path, options: argparse.Namespace) -> None:
    options.json = options.gzip = False
    target = make_target("bench", 90, now_us=time.time_ns() // 1000, max_ahead_s=86_400)
    body = b"".join(decode_msgpack(b, target, max_events=10_000).row_bytes for b in bodies(options))
    store = Store(f"chdb://{directory}/store")
    store.open()
    migrations.migrate(store)
    began = time.perf_counter()
    store.insert_rows("one-ready-body", body)
    print(f"one ready body {options.events / (time.perf_counter() - began):>12,.0f} events/s")
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--no-store", action="store_true", help="measure the collector alone")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--direct", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve, NoStore if options.no_store else Store))
        return
    if options.direct:
        insert_directly(options.direct, options)
        return
    with tempfile.TemporaryDirectory() as name:
        direct, through = Path(name, "direct"), Path(name, "through")
        direct.mkdir()
        through.mkdir()
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--direct", str(direct)], check=True)
        command = [sys.executable, __file__, *sys.argv[1:], "--serve", str(through)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            print(f"collector      process {server.pid}", flush=True)
            asyncio.run(send(url, bodies(options), options))
            server.terminate()


if __name__ == "__main__":
    main()
