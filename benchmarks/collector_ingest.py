"""Events a second from HTTP until they can be queried, with fsync on and all rollups, beside the engine alone.

    python benchmarks/collector_ingest.py [--events 500000] [--batch 500] [--clients 8] [--only PART …]

Everything shares the machine's cores: sender, collector and engine. Only the ratios of one run mean something, and
where others use the machine too, the CPU time per event more than the rates. Parts: `limits` (one insert of the same
rows: as one ready MsgPack body, as the collector's Native blocks, and as JSONEachRow), `msgpack` and `json` (through
the collector), `rollups` (the same with and without rollups, turn by turn), `paced` (half of that rate:
acknowledgement and freshness), `collector` (without a store), `server` (over ClickHouse's HTTP interface: memory),
`outage` (a store that is away: cost and memory with an empty and a full spool), `others` (a time series database that
is installed: the same number of points).
"""

# ruff: noqa: E402 - the path of the repository comes first
from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import aiohttp

from apimetry.middleware import wire
from benchmarks._ingest_events import batches, line_protocol, rows
from tests.support.engine.clickhouse_server import ClickHouseServer
from tests.support.services.keys import WRITE_KEY

PARTS = ("limits", "msgpack", "json", "rollups", "paced", "collector", "server", "outage", "others")
TYPES = {"json": "application/json", "msgpack": wire.CONTENT_TYPE}


class Measured:
    """One process under test."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def memory_mib(self, line: str = "VmRSS") -> float:
        """Return the resident memory now, or at most (`VmHWM`)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return (
            next(int(status_line.split()[1]) for status_line in status.splitlines() if status_line.startswith(line))
            / 1024
        )

    def metric(self, name: str) -> float:
        """Return one of the collector's figures."""
        with urllib.request.urlopen(f"{self.url}/metrics") as response:
            text = response.read().decode()
        return sum(
            float(sample.rpartition(" ")[2]) for sample in text.splitlines() if sample.partition(" ")[0] == name
        )

    @property
    def stored(self) -> float:
        """Return the number of events in the store."""
        return self.metric("apimetry_collector_stored_events_total")

    @property
    def cpu_s(self) -> float:
        """Return the CPU time of the process, the embedded engine's included."""
        return self.metric("process_cpu_seconds_total")


@contextmanager
def collector(kind: str, *arguments: str) -> Iterator[Measured]:
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "benchmarks._collector_under_test", kind, directory, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            yield Measured(process, process.stdout.readline().strip())
            process.terminate()


async def send(
    url: str, bodies: list[bytes], form: str, clients: int, *, rate: float = 0.0
) -> tuple[float, list[float]]:
    """Send all bodies; with a rate, that many a second. Returns the seconds, and those of each acknowledgement."""
    headers = {"X-API-Key": WRITE_KEY, "Content-Type": TYPES[form]}
    pending = iter(enumerate(bodies))
    seconds: list[float] = []
    began_s = time.perf_counter()

    async def client(session: aiohttp.ClientSession) -> None:
        for number, body in pending:
            if rate and (wait_s := began_s + number / rate - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            sent_s = time.perf_counter()
            async with session.post(f"{url}/1/event/", data=body, headers=headers) as response:
                text = await response.text()
                if response.status == 503:
                    return
                assert response.status == 200, text
            seconds.append(time.perf_counter() - sent_s)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*[client(session) for _ in range(clients)])
    return time.perf_counter() - began_s, seconds


def p99_ms(seconds: list[float]) -> float:
    return 1000 * quantiles(seconds, n=100)[98]


def alone(form: str, options: argparse.Namespace) -> tuple[float, float]:
    """Return the rate and the CPU µs an event of one insert by the engine alone."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "benchmarks._engine_alone", form, directory]
        command += [str(options.events), str(options.batch)]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    seconds, cpu = map(float, done.stdout.split())
    return options.events / seconds, cpu / options.events * 1e6


def through(form: str, kind: str, options: argparse.Namespace) -> tuple[float, float]:
    """Return the rate until events are queryable, and the CPU µs an event, through a collector at full speed."""
    bodies = batches(options.events, options.batch, form)
    with collector(kind) as measured:
        asyncio.run(send(measured.url, batches(20 * options.batch, options.batch, form, first=10**9), form, 4))
        wait_for(measured, 20 * options.batch)
        cpu_s, began_s = measured.cpu_s, time.perf_counter()
        acknowledged_s, seconds = asyncio.run(send(measured.url, bodies, form, options.clients))
        wait_for(measured, options.events + 20 * options.batch)
        total_s, used_s = time.perf_counter() - began_s, measured.cpu_s - cpu_s
        print(
            f"  {form:<10} acknowledged {options.events / acknowledged_s:>9,.0f}/s, queryable"
            f" {options.events / total_s:>9,.0f}/s, CPU {used_s / options.events * 1e6:.2f} us/event,"
            f" p99 {p99_ms(seconds):.0f} ms, memory {measured.memory_mib('VmHWM'):.0f} MiB at most"
        )
    return options.events / total_s, used_s / options.events * 1e6


def rollups(options: argparse.Namespace) -> None:
    """Measure what all rollups cost of the rate: medians of three turns."""
    turns = [(through("msgpack", "embedded", options)[0], through("msgpack", "bare", options)[0]) for _ in range(3)]
    rate, bare = (median(rates) for rates in zip(*turns, strict=True))
    print(f"  queryable {rate:,.0f}/s with rollups, {bare:,.0f}/s without: {100 * (1 - rate / bare):.0f} % less")


def wait_for(measured: Measured, events: int) -> None:
    while measured.stored < events:
        time.sleep(0.01)


def paced(rate: float, options: argparse.Namespace) -> None:
    """Send half of `rate`, and a probe each half second that is asked for until it is there."""
    count = int(rate / 2 * 15)
    bodies = batches(count, options.batch, "msgpack")
    fresh: list[float] = []

    async def probe(url: str, until_s: float) -> None:
        async with aiohttp.ClientSession(headers={"X-API-Key": WRITE_KEY}) as session:
            number = 0
            while time.perf_counter() < until_s:
                number += 1
                name = f"/probe/{number}"
                row = (time.time_ns() // 1000, "GET", name, *rows(1, 0)[0][3:])
                body = wire.encode_batch((2**64 + number).to_bytes(16, "big"), {"source": "probe"}, [row])
                async with session.post(
                    f"{url}/1/event/", data=body, headers={"Content-Type": wire.CONTENT_TYPE}
                ) as response:
                    assert response.status == 200
                began_s = time.perf_counter()
                while True:
                    async with session.get(f"{url}/count", params={"url": name}) as response:
                        if await response.json():
                            break
                    await asyncio.sleep(0.01)
                fresh.append(time.perf_counter() - began_s)
                await asyncio.sleep(0.1)

    async def both(url: str) -> list[float]:
        (_, seconds), _ = await asyncio.gather(
            send(url, bodies, "msgpack", 64, rate=rate / 2 / options.batch), probe(url, time.perf_counter() + 15)
        )
        return seconds

    with collector("embedded") as measured:
        seconds = asyncio.run(both(measured.url))
    print(
        f"  at {rate / 2:,.0f}/s: acknowledged p50 {1000 * quantiles(seconds, n=100)[49]:.1f} ms,"
        f" p99 {p99_ms(seconds):.1f} ms; queryable after p50 {sorted(fresh)[len(fresh) // 2]:.2f} s,"
        f" at most {max(fresh):.2f} s ({len(fresh)} probes)"
    )


def over_a_server(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as directory:
        server = ClickHouseServer(Path(directory))
        server.start()
        try:
            through("msgpack", server.url("apimetry"), options)
        finally:
            server.kill()


def outage(options: argparse.Namespace) -> None:
    """Fill a spool of 256 MiB; cost and memory of the first and of the last tenth."""
    with collector("away", "--spool-mib", "256") as measured:
        levels = []
        first = 0
        while True:
            bodies = batches(options.batch * 400, options.batch, "msgpack", first=first)
            first += len(bodies)
            cpu_s, held = measured.cpu_s, measured.metric("apimetry_collector_spool_events")
            asyncio.run(send(measured.url, bodies, "msgpack", options.clients))
            batch_events = measured.metric("apimetry_collector_spool_events") - held
            if batch_events < len(bodies) * options.batch:
                break
            levels.append(((measured.cpu_s - cpu_s) / batch_events * 1e6, measured.memory_mib()))
        size = measured.metric("apimetry_collector_spool_bytes") / 2**20
    (cost, memory), (last_cost, last_memory) = levels[0], levels[-1]
    print(f"  spool of {size:.0f} MiB: CPU {cost:.2f} us/event when empty, {last_cost:.2f} when full")
    print(f"  memory {memory:.0f} MiB when empty, {last_memory:.0f} when full (the embedded engine is loaded)")


def others(options: argparse.Namespace) -> None:
    """Send the same number of points into VictoriaMetrics, over HTTP."""
    program = shutil.which("victoria-metrics") or shutil.which("victoria-metrics-prod")
    if program is None:
        print("  skipped: victoria-metrics is not installed (apt install victoria-metrics)")
        return
    points = line_protocol(options.events).split(b"\n")
    pieces = [b"\n".join(points[i : i + options.batch]) for i in range(0, len(points), options.batch)]
    with tempfile.TemporaryDirectory() as directory:
        command = [program, f"-storageDataPath={directory}", "-httpListenAddr=127.0.0.1:18428", "-loggerLevel=ERROR"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(2)
            used_s = cpu_of(process.pid)
            seconds = asyncio.run(write_lines("http://127.0.0.1:18428/write", pieces, options.clients))
            used_s = cpu_of(process.pid) - used_s
            print(
                f"  victoria-metrics {options.events / seconds:>9,.0f} points/s acknowledged (no fsync),"
                f" CPU {used_s / options.events * 1e6:.2f} us/point"
            )
            process.terminate()


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def write_lines(url: str, pieces: list[bytes], clients: int) -> float:
    pending = iter(pieces)
    began_s = time.perf_counter()

    async def client(session: aiohttp.ClientSession) -> None:
        for piece in pending:
            async with session.post(url, data=piece) as response:
                assert response.status < 300, await response.text()

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*[client(session) for _ in range(clients)])
    return time.perf_counter() - began_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    chosen = set(options.only)
    ready = (0.0, 0.0)
    rates = {}
    if chosen & {"limits", "msgpack", "json"}:
        ready, native, text = (alone(form, options) for form in ("msgpack", "native", "json"))
        print(f"the engine alone, {options.events:,} events in one insert")
        print(f"  MsgPack     {ready[0]:>9,.0f}/s, CPU {ready[1]:.2f} us/event")
        print(f"  Native      {native[0]:>9,.0f}/s, CPU {native[1]:.2f} us/event")
        print(f"  JSONEachRow {text[0]:>9,.0f}/s, CPU {text[1]:.2f} us/event", flush=True)
    print(f"through a collector, batches of {options.batch}, {options.clients} clients", flush=True)
    for form in ("msgpack", "json"):
        if form in chosen:
            rates[form] = through(form, "embedded", options)
            rate, cpu = rates[form]
            print(
                f"             {rate / ready[0]:.2f} of one ready MsgPack body; {cpu / ready[1]:.2f} times its CPU",
                flush=True,
            )
    if "rollups" in chosen:
        rollups(options)
    if "collector" in chosen:
        print("without a store: the collector's own share")
        through("msgpack", "none", options)
    if "paced" in chosen:
        print("at half of that rate", flush=True)
        paced(rates.get("msgpack", (80_000.0, 0.0))[0], options)
    if "server" in chosen:
        print("over ClickHouse's HTTP interface (the test server, its CPU not counted)", flush=True)
        over_a_server(options)
    if "outage" in chosen:
        print("while the store is away", flush=True)
        outage(options)
    if "others" in chosen:
        print("others", flush=True)
        others(options)


if __name__ == "__main__":
    main()
