"""What one key's heavy questions cost another organization: a real service, each part with its figures.

    python benchmarks/query_fairness.py [--events 10000000] [--seconds 30] [--heavy 80] [--only PART …]

Parts: `questions` (a light question of one organization over and over: alone, and beside `--heavy` clients of another
organization's one key, each of which asks a heavy question again as soon as it is answered), `exports` (an export of
one organization beside two readers of another's key that take nothing). The clients and the service share the
machine's cores; the heavy clients are a process of their own. The load of the machine stands beside each part: other
work takes cores from all of them, and most from a service whose neighbours in its control group are busy.
"""

# ruff: noqa: E402 - the path of the repository comes first
from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import aiohttp

from apimetry.store import migrations
from apimetry.store.accounts.accounts import Accounts, KeyKind
from apimetry.store.client import Store
from apimetry.store.events import ROW_COLUMNS
from benchmarks._scale_store import ROWS, event_rows
from tests.support.services.processes import running

PARTS = ("questions", "exports")
DAY_S = 86_400
ROWS_PER_INSERT = 1_000_000
LIGHT_EVENTS = 1_000_000
PAUSE_S = 0.1
RESERVED_S = 5.0
KNOWN_S = 30.0


@dataclass(frozen=True)
class Side:
    """One organization's application and its read key."""

    application: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of its requests."""
        return {"X-API-Key": self.key}


def prepare(directory: Path, events: int, end_s: int) -> tuple[Side, Side]:
    """Create two organizations with events of a day each: the light one has LIGHT_EVENTS, the heavy one `events`."""
    store = Store(f"chdb://{directory}/store")
    store.open()
    try:
        migrations.migrate(store)
        accounts, sides = Accounts(store), []
        for name, number in (("light", LIGHT_EVENTS), ("heavy", events)):
            organization = accounts.create_organization(name)
            accounts.create_application(organization.id, name, application_id=name)
            accounts.create_key(organization.id, KeyKind.admin)
            key = accounts.create_key(organization.id, KeyKind.read, application_id=name)[1]
            sides.append(Side(name, key))
            for first in range(0, number, ROWS_PER_INSERT):
                rows = range(first, min(first + ROWS_PER_INSERT, number))
                bound = {**event_rows(end_s - DAY_S, DAY_S, number, rows), "application": name}
                store.command(
                    f"INSERT INTO events ({', '.join(ROW_COLUMNS)}) {ROWS}", bound, settings={"async_insert": 0}
                )
        return sides[0], sides[1]
    finally:
        store.close()


def light_path(end_s: int) -> str:
    return f"/1/timeseries/{end_s - 3600}/{end_s}/?granularity=minute&aggregation=percentile_95"


def heavy_path(end_s: int, number: int) -> str:
    # No rollup has URLs, and each question is another: nothing is joined.
    start_s = end_s - DAY_S + number % 3600
    return f"/1/timeseries/{start_s}/{end_s}/?group=url&limit=10&aggregation=percentile_99"


async def ask_lightly(url: str, side: Side, end_s: int, seconds: float) -> list[float]:
    """Ask the light question for a while, and return how long each answer took."""
    times_s: list[float] = []
    async with aiohttp.ClientSession(headers=side.headers) as session:
        until_s = time.perf_counter() + seconds
        while time.perf_counter() < until_s:
            began_s = time.perf_counter()
            async with session.get(url + light_path(end_s)) as response:
                await response.read()
                if response.status != 200:
                    raise SystemExit(f"the light question was answered {response.status}")
            times_s.append(time.perf_counter() - began_s)
            await asyncio.sleep(PAUSE_S)
    return times_s


def ask_heavily(url: str, side: Side, end_s: int, seconds: float, clients: int) -> dict[int, int]:
    """Ask heavy questions from `clients` in a process of its own; who is refused comes back when it was told to."""
    statuses: Counter[int] = Counter()

    async def client(session: aiohttp.ClientSession, number: int, until_s: float) -> None:
        while time.perf_counter() < until_s:
            async with session.get(url + heavy_path(end_s, number)) as response:
                await response.read()
                statuses[response.status] += 1
                wait_s = float(response.headers.get("Retry-After", 0))
            number += clients
            await asyncio.sleep(min(wait_s, max(0.0, until_s - time.perf_counter())))

    async def all_of_them() -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=side.headers, connector=connector) as session:
            until_s = time.perf_counter() + seconds
            work = [asyncio.ensure_future(client(session, number, until_s)) for number in range(clients)]
            # What still waits is left behind: its clients go.
            _, late = await asyncio.wait(work, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    asyncio.run(all_of_them())
    return dict(statuses)


async def questions(url: str, light: Side, heavy: Side, end_s: int, options: argparse.Namespace) -> None:
    # Warm, and long enough to be known as light.
    await ask_lightly(url, light, end_s, KNOWN_S)
    alone = await ask_lightly(url, light, end_s, options.seconds)
    print(f"  one light question every {PAUSE_S:g} s: alone {show(alone)}", flush=True)
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1) as pool:
        seconds = options.seconds + RESERVED_S
        others = loop.run_in_executor(pool, ask_heavily, url, heavy, end_s, seconds, options.heavy)
        await asyncio.sleep(RESERVED_S)
        beside = await ask_lightly(url, light, end_s, options.seconds)
        answers = await others
    print(f"  beside {options.heavy} heavy ones of another organization's key: {show(beside)}")
    print(f"  the heavy ones' answers {answers}")
    began_s = time.perf_counter()
    after = await ask_lightly(url, light, end_s, 5)
    print(f"  p99 {p99_ms(beside) / p99_ms(alone):.2f} times that alone, worst {max(beside) / max(alone):.2f} times")
    print(f"  their clients gone: {show(after)} in the {time.perf_counter() - began_s:.0f} s after")


async def exports(url: str, light: Side, heavy: Side, end_s: int, options: argparse.Namespace) -> None:
    del end_s, options
    async with aiohttp.ClientSession() as session:
        held = [await session.get(f"{url}/v1/export/events", headers=heavy.headers) for _ in range(2)]
        began_s = time.perf_counter()
        async with session.get(f"{url}/v1/export/events?fields=timestamp", headers=light.headers) as response:
            lines = (await response.read()).count(b"\n")
            print(
                f"  beside two readers that take nothing, another organization's export: {response.status},"
                f" {lines:,} events in {time.perf_counter() - began_s:.1f} s"
            )
        for connection in held:
            connection.close()


def p99_ms(seconds: list[float]) -> float:
    return 1000 * quantiles(seconds, n=100)[98]


def show(seconds: list[float]) -> str:
    cuts = quantiles(seconds, n=100)
    worst = 1000 * max(seconds)
    return (
        f"p50 {1000 * cuts[49]:.0f} ms, p99 {1000 * cuts[98]:.0f} ms, worst {worst:.0f} ms ({len(seconds)} answers)"
    )


def queue_figures(url: str) -> str:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    refusals = [
        line for line in lines if line.startswith("apimetry_query_queue_refused_total") and not line.endswith(" 0.0")
    ]
    return json.dumps(refusals)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--heavy", type=int, default=80)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    end_s = int(time.time()) // 3600 * 3600
    with tempfile.TemporaryDirectory() as name:
        light, heavy = prepare(Path(name), options.events, end_s)
        settings = {"APIMETRY_LOG_LEVEL": "error", "APIMETRY_DATA_DIR": name}
        with running("serve", data_dir=name, **settings) as service:
            url = service.query_url
            for part_name, part in (("questions", questions), ("exports", exports)):
                if part_name in options.only:
                    print(f"{part_name}, load {os.getloadavg()[0]:.1f} before", flush=True)
                    asyncio.run(part(url, light, heavy, end_s, options))
                    print(f"  load {os.getloadavg()[0]:.1f} after")
            print(f"  refused: {queue_figures(url)}")


if __name__ == "__main__":
    main()
