"""What a collector on a ClickHouse server takes up, and whom overload reaches: real processes, each with its figures.

    python benchmarks/collector_overload.py [--seconds 30] [--outage 120] [--only PART …]

Parts: `memory` (resident memory of `apimetry collector`, which has no engine in its process: at full speed, then
while the server is away and events come at a rate, then while it drains), `fairness` (acknowledgement of one key's
batches alone, and beside another key at its limit and at twenty times that), `slow` (the same beside 500 connections
that send a byte a second). Senders and the server share the machine's cores.
"""

# ruff: noqa: E402 - the path of the repository comes first
from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import quantiles

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import aiohttp

from apimetry.middleware import wire
from benchmarks._ingest_events import batches
from tests.support.engine.clickhouse_server import ClickHouseServer
from tests.support.services.keys import ADMIN_KEY, WRITE_KEY
from tests.support.services.processes import APPLICATION, BOOTSTRAP, Service, running

PARTS = ("memory", "fairness", "slow")
BATCH = 500
OUTAGE_RATE = 10_000
LIMIT = 10_000
POLITE_BATCH = 50
TIMES = 20
SLOW_CONNECTIONS = 500
FIRST = 2**100


class Sender:
    """Sends batches under one key, over and over until `until_s`; `rate` is in events a second."""

    def __init__(self, url: str, key: str, batch: int = BATCH) -> None:
        self.batch = batch
        self.url = f"{url}/1/event/?application={APPLICATION}"
        self.headers = {"X-API-Key": key, "Content-Type": wire.CONTENT_TYPE}
        self.bodies = batches(20 * batch, batch, "msgpack", first=FIRST)
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self._number = 0

    async def run(self, until_s: float, *, rate: float = 0.0, clients: int = 8) -> None:
        """Send; a batch that comes late is sent at once."""
        began_s, first = time.perf_counter(), self._number

        async def client(session: aiohttp.ClientSession) -> None:
            while time.perf_counter() < until_s:
                number = self._number
                self._number += 1
                due_s = began_s + (number - first) * self.batch / rate if rate else 0.0
                if due_s >= until_s:
                    return
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                await self._send(session, number)

        async with aiohttp.ClientSession(headers=self.headers) as session:
            await asyncio.gather(*[client(session) for _ in range(clients)])

    async def _send(self, session: aiohttp.ClientSession, number: int) -> None:
        index = number % len(self.bodies)
        # The same events under an id of their own.
        new_id = time.time_ns().to_bytes(8, "big") + number.to_bytes(8, "big")
        body = self.bodies[index].replace((FIRST + index).to_bytes(16, "big"), new_id, 1)
        sent_s = time.perf_counter()
        async with session.post(self.url, data=body) as response:
            await response.read()
            self.statuses[response.status] += 1
            if response.status == 200:
                self.seconds.append(time.perf_counter() - sent_s)


def p99_ms(seconds: list[float]) -> float:
    return 1000 * quantiles(seconds, n=100)[98]


def resident_mib(service: Service, line: str = "VmRSS") -> float:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return (
        next(int(status_line.split()[1]) for status_line in status.splitlines() if status_line.startswith(line))
        / 1024
    )


@contextmanager
def collector(**settings: str) -> Iterator[tuple[Service, ClickHouseServer]]:
    """Run `apimetry collector` over a server, each in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        server = ClickHouseServer(Path(name, "clickhouse"))
        Path(name, "clickhouse").mkdir()
        server.start()
        try:
            url = {"APIMETRY_STORE": server.url("apimetry"), "APIMETRY_LOG_LEVEL": "error"}
            with running("collector", data_dir=name, **BOOTSTRAP, **url, **settings) as service:
                assert service.collector_url
                yield service, server
        finally:
            server.kill()


async def sampled(service: Service, work: asyncio.Future[None]) -> list[float]:
    """Measure the resident memory each second until the work is done."""
    task, samples = asyncio.ensure_future(work), []
    while not task.done():
        samples.append(resident_mib(service))
        await asyncio.sleep(1)
    await task
    return samples


async def spool_events(url: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return next(
        float(sample.rpartition(" ")[2]) for sample in lines if sample.startswith("apimetry_collector_spool_events")
    )


async def drained(url: str) -> None:
    while await spool_events(url):  # noqa: ASYNC110 - as an operator would
        await asyncio.sleep(0.2)


async def memory(options: argparse.Namespace) -> None:
    with collector() as (service, server):
        idle = resident_mib(service)
        sender = Sender(service.collector_url, WRITE_KEY)
        full = await sampled(service, sender.run(time.perf_counter() + options.seconds))  # type: ignore[arg-type]
        await drained(service.collector_url)
        rate = sender.statuses[200] * BATCH / options.seconds
        print(f"  idle {idle:.0f} MiB; for {options.seconds:.0f} s {rate:,.0f} events/s acknowledged:")
        print(f"  {max(full):.0f} MiB at most, median {sorted(full)[len(full) // 2]:.0f}, last {full[-1]:.0f}")
        server.kill()
        until_s = time.perf_counter() + options.outage
        out = await sampled(service, sender.run(until_s, rate=OUTAGE_RATE))  # type: ignore[arg-type]
        quarters = [f"{out[len(out) * part // 4]:.0f}" for part in range(4)] + [f"{out[-1]:.0f}"]
        print(
            f"  server away for {options.outage:.0f} s at {OUTAGE_RATE:,}/s: {' '.join(quarters)} MiB,"
            f" {await spool_events(service.collector_url):,.0f} events in the spool"
        )
        server.restart()
        drain = await sampled(service, drained(service.collector_url))  # type: ignore[arg-type]
        print(
            f"  drained in {len(drain)} s: {max(drain):.0f} MiB at most; VmHWM {resident_mib(service, 'VmHWM'):.0f}"
        )
        print(f"  answers {dict(sender.statuses)}")


async def fairness(options: argparse.Namespace) -> None:
    with collector(APIMETRY_EVENTS_PER_S_PER_KEY=str(LIMIT)) as (service, _):
        url = service.collector_url
        polite = Sender(url, ADMIN_KEY, POLITE_BATCH)
        await polite.run(time.perf_counter() + 5, rate=LIMIT / 2)  # warm
        alone = await acknowledged(polite, options.seconds)
        print(f"  one key at {LIMIT // 2:,} events/s: alone {show(alone)}")
        loop, beside = asyncio.get_running_loop(), {}
        with ProcessPoolExecutor(1) as pool:
            for times in (1, TIMES):
                other = loop.run_in_executor(pool, be_greedy, url, options.seconds + 5, times)
                await asyncio.sleep(5)  # what it has saved up is used up meanwhile
                beside[times] = await acknowledged(polite, options.seconds)
                print(f"  beside another at {times} times its limit of {LIMIT:,}: {show(beside[times])}")
                print(f"  the other's answers {await other}")
        ratios = [p99_ms(beside[TIMES]) / p99_ms(against) for against in (beside[1], alone)]
        print(f"  p99 {ratios[0]:.2f} times that beside one at its limit, {ratios[1]:.2f} times that alone")


def be_greedy(url: str, seconds: float, times: int) -> dict[int, int]:
    """Send in a process of its own, so that what it costs the sender does not slow the other one."""
    sender = Sender(url, WRITE_KEY)
    asyncio.run(sender.run(time.perf_counter() + seconds, rate=times * LIMIT, clients=16))
    return dict(sender.statuses)


async def slow(options: argparse.Namespace) -> None:
    with collector() as (service, _):
        url = service.collector_url
        sender = Sender(url, ADMIN_KEY, POLITE_BATCH)
        await sender.run(time.perf_counter() + 5, rate=LIMIT / 2)
        alone = await acknowledged(sender, options.seconds)
        with ProcessPoolExecutor(1) as pool:
            dripping = asyncio.get_running_loop().run_in_executor(pool, be_slow, url)
            beside = await acknowledged(sender, options.seconds)
            ends = await dripping
        print(f"  one key at {LIMIT // 2:,} events/s: alone {show(alone)}")
        print(f"  beside {SLOW_CONNECTIONS} connections of a byte a second: {show(beside)}")
        print(f"  p99 {p99_ms(beside) / p99_ms(alone):.2f} times; what became of them: {dict(ends)}")


def be_slow(url: str) -> Counter[str]:
    """Hold all slow connections, in a process of their own."""
    host, port = url.removeprefix("http://").split(":")
    ends: Counter[str] = Counter()

    async def all_of_them() -> None:
        await asyncio.gather(*[drip(host, int(port), ends) for _ in range(SLOW_CONNECTIONS)])

    asyncio.run(all_of_them())
    return ends


async def drip(host: str, port: int, ends: Counter[str]) -> None:
    """Announce a body and send a byte of it each second, until it is cut off."""
    reader, writer = await asyncio.open_connection(host, port)
    head = f"POST /1/event/ HTTP/1.1\r\nHost: x\r\nContent-Type: {wire.CONTENT_TYPE}\r\nContent-Length: 1000\r\n"
    writer.write(f"{head}X-API-Key: {WRITE_KEY}\r\n\r\n".encode())
    began_s = time.perf_counter()
    answer = asyncio.ensure_future(reader.readline())
    while not answer.done():
        with suppress(ConnectionError):
            writer.write(b"x")
            await writer.drain()
        await asyncio.wait([answer], timeout=1)
    status = answer.result().split()[1:2] if not answer.exception() else []
    ends[f"{(status or [b'cut'])[0].decode()} after {round(time.perf_counter() - began_s)} s"] += 1
    writer.close()


async def acknowledged(sender: Sender, seconds: float) -> list[float]:
    sender.seconds = []
    await sender.run(time.perf_counter() + seconds, rate=LIMIT / 2)
    return sender.seconds


def show(seconds: list[float]) -> str:
    cuts = quantiles(seconds, n=100)
    return f"p50 {1000 * cuts[49]:.1f} ms, p99 {1000 * cuts[98]:.1f} ms ({len(seconds)} batches)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--outage", type=float, default=120)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    for name, part in (("memory", memory), ("fairness", fairness), ("slow", slow)):
        if name in options.only:
            print(name, flush=True)
            asyncio.run(part(options))


if __name__ == "__main__":
    main()
