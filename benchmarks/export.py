"""How fast events come out, in how much memory, and how quick questions stay meanwhile.

One service over an embedded store, its client in another process. Figures: events a second and the growth of the
service's resident memory by format; the time of a small question while no export, and as many as are allowed, run.

    python benchmarks/export.py [EVENTS]
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from apimetry.query_api.app import create_app
from apimetry.query_api.settings import QuerySettings
from apimetry.store import migrations
from apimetry.store.accounts.accounts import Accounts
from apimetry.store.accounts.bootstrap import bootstrap
from apimetry.store.accounts.directory import Directory
from apimetry.store.client import Store

START_S = 1_760_000_000
FILL = """INSERT INTO events SELECT 'shop', fromUnixTimestamp64Micro(toInt64({start:Int64} + number * 300000), 'UTC'),
  ['GET', 'POST', 'PUT'][1 + number % 3], concat('/items/', toString(number % 5000), '?q=&page='), '/items/{id}',
  'list_items', [200, 200, 404, 500][1 + number % 4], rand() % 2000000, rand() % 1000,
  if(number % 3 = 0, NULL, rand() % 1000), rand() % 100000, concat('consumer-', toString(number % 900)), '', '',
  'Mozilla/5.0 (X11; Linux x86_64)', 1, map('tenant', toString(number % 50)), 'web-1', '1.4.2', 20000, 'Other'
  FROM numbers({first:UInt64}, {rows:UInt64})"""


def serve(directory: str, events: int, pipe: multiprocessing.connection.Connection) -> None:
    """Fill a store and serve it until told to stop."""
    from aiohttp import web  # noqa: PLC0415 - in the process of the service alone

    store = Store(f"chdb://{directory}/store")
    store.open()
    migrations.migrate(store)
    credentials = bootstrap(Accounts(store), application="shop", admin_key=None, write_key=None, read_key=None)
    if credentials is None:
        raise RuntimeError("the store is not empty")
    for first in range(0, events, 1_000_000):
        parameters = {"start": START_S * 1_000_000, "first": first, "rows": min(1_000_000, events - first)}
        store.command(FILL, parameters, settings={"max_partitions_per_insert_block": 0, "max_execution_time": 0})

    async def run() -> None:
        directory_of_keys = Directory(Accounts(store))
        await directory_of_keys.start()
        runner = web.AppRunner(create_app(store, directory_of_keys, QuerySettings()), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send((runner.addresses[0][1], credentials.read_key))
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        await runner.cleanup()
        await directory_of_keys.close()

    asyncio.run(run())
    store.close()


def resident_mib(pid: int) -> int:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4 // 1024


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used: what a busy machine does not change much."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drain(url: str, key: str, path: str, watch: Callable[[], None], encoding: str = "identity") -> tuple[int, float]:
    """Read an answer to its end and return its bytes and seconds."""
    began = time.perf_counter()
    size = 0
    request = urllib.request.Request(f"{url}{path}", headers={"X-API-Key": key, "Accept-Encoding": encoding})
    with urllib.request.urlopen(request, timeout=600) as response:
        while chunk := response.read(1024 * 1024):
            size += len(chunk)
            watch()
    return size, time.perf_counter() - began


def question_ms(url: str, key: str, times: int = 60) -> tuple[float, float]:
    """Return the median and the 95th percentile of a small question's time."""
    path = f"/1/timeseries/{START_S}/{START_S + 3600}/?granularity=minute&group=status_code"
    times_ms = sorted(1000 * drain(url, key, path, lambda: None)[1] for _ in range(times))
    return statistics.median(times_ms), times_ms[int(0.95 * times)]


def main() -> None:
    """Print the figures."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 3_000_000
    context = multiprocessing.get_context("spawn")
    parent_end, child_end = context.Pipe()
    with tempfile.TemporaryDirectory() as directory:
        service = context.Process(target=serve, args=(directory, events, child_end))
        service.start()
        port, key = parent_end.recv()
        url, pid = f"http://127.0.0.1:{port}", service.pid or 0
        question_ms(url, key, 5)
        base = resident_mib(pid)
        print(f"{events} events; {base} MiB resident before the first export")
        for form, encoding in (
            ("ndjson", "identity"),
            ("ndjson", "gzip"),
            ("csv", "identity"),
            ("parquet", "identity"),
        ):
            peak = [0]

            def watch(peak: list[int] = peak) -> None:
                peak[0] = max(peak[0], resident_mib(pid))

            used_s = cpu_s(pid)
            size, seconds = drain(url, key, f"/v1/export/events?format={form}", watch, encoding)
            used_s = cpu_s(pid) - used_s
            rate = events / seconds
            print(
                f"  {form:8} {encoding:8} {rate:9.0f} events/s {size / seconds / 1e6:6.0f} MB/s,"
                f" {used_s / events * 1e6:.2f} us of processor an event, peak {peak[0]} MiB"
            )
        alone = question_ms(url, key)
        exports = [
            threading.Thread(target=drain, args=(url, key, "/v1/export/events", lambda: None)) for _ in range(2)
        ]
        for export in exports:
            export.start()
        beside = question_ms(url, key)
        for export in exports:
            export.join()
        print(f"  a question takes {alone[0]:.0f} ms (p95 {alone[1]:.0f}) alone, "
              f"{beside[0]:.0f} ms (p95 {beside[1]:.0f}) beside two exports")  # fmt: skip
        parent_end.send("stop")
        service.join(30)


if __name__ == "__main__":
    main()
