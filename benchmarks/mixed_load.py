"""Questions while events come in: `apimetry serve` with its embedded store, over a month of events.

    python benchmarks/mixed_load.py --directory DIR [--rate 50000] [--questions 20] [--seconds 60]

DIR holds a store that `query_scale.py --directory` made; this adds to it. Questions are what a dashboard asks, sent
at fixed times whatever became of the ones before, after each was asked once; their times count from when they were
due, at the client. A process of its own sends the events as they happen, msgpack in batches of 500, on the same
machine.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import aiohttp

from benchmarks._ingest_events import live_batches
from tests.support.services.processes import ADMIN_KEY, BOOTSTRAP, READ_KEY, WRITE_KEY, running

DAY_S = 86_400
BATCH = 500
ENCODED_PER_S = 200  # batches, at least
APPLICATION = "bench"

REFUSED = "refused: too many wait already"
# A page of 24 hours and one of 30 days, refreshed; the last hour most often.
QUESTIONS = (
    ("last hour by minute", 3600, "granularity=minute"),
    ("last hour by minute, p95", 3600, "granularity=minute&aggregation=percentile_95"),
    ("last hour by minute", 3600, "granularity=minute"),
    ("last hour by minute and status", 3600, "granularity=minute&group=status_code"),
    ("24 hours by hour", DAY_S, "granularity=hour"),
    ("24 hours by hour, p95", DAY_S, "granularity=hour&aggregation=percentile_95"),
    ("last hour by minute", 3600, "granularity=minute"),
    ("30 days by hour", 30 * DAY_S, "granularity=hour"),
    ("30 days by hour and status", 30 * DAY_S, "granularity=hour&group=status_code"),
    ("24 hours by route", DAY_S, "group=route"),
    ("last hour by minute", 3600, "granularity=minute"),
    ("30 days by day and method", 30 * DAY_S, "granularity=day&group=method"),
    ("30 days by hour, p95", 30 * DAY_S, "granularity=hour&aggregation=percentile_95"),
    ("30 days by consumer", 30 * DAY_S, "group=consumer_id&limit=100"),
    ("last hour by minute", 3600, "granularity=minute"),
    ("usage of 24 hours", 0, "/v1/developer/usage?timeframe=24h"),
    ("last hour by minute", 3600, "granularity=minute"),
    ("24 hours by hour and route", DAY_S, "granularity=hour&group=route"),
    ("overview", 0, "/api/analytics/overview"),
    ("usage of 30 days", 0, "/v1/developer/usage?timeframe=30d"),
)


def send_events(url: str, rate: float, seconds: float, acknowledged: multiprocessing.Queue) -> None:
    """Send `rate` events a second, each batch when its last event has happened.

    Puts something before it begins, and then how many were acknowledged, with the p99 of that in milliseconds.
    """
    count = int(rate * seconds / BATCH)
    began_s = time.time() + 2 + count / ENCODED_PER_S
    bodies = live_batches(count * BATCH, BATCH, began_s, rate)
    time.sleep(began_s - time.time())
    acknowledged.put("ready")
    headers = {"X-API-Key": WRITE_KEY, "Content-Type": "application/msgpack"}
    times: list[float] = []

    async def client(session: aiohttp.ClientSession, pending: itertools.count) -> None:
        while (number := next(pending)) < count:
            if (wait_s := began_s + (number + 1) * BATCH / rate - time.time()) > 0:
                await asyncio.sleep(wait_s)
            sent_s = time.perf_counter()
            async with session.post(f"{url}/1/event/", data=bodies[number], headers=headers) as response:
                assert response.status == 200, await response.text()
            times.append(time.perf_counter() - sent_s)

    async def everybody() -> None:
        async with aiohttp.ClientSession() as session:
            pending = itertools.count()
            await asyncio.gather(*[client(session, pending) for _ in range(32)])

    asyncio.run(everybody())
    acknowledged.put((len(times) * BATCH, 1000 * statistics.quantiles(times, n=100)[98]))


async def ask_questions(url: str, per_s: float, seconds: float) -> dict[str, list[float]]:
    """Seconds of each answer from when its question was due, by name."""
    times: dict[str, list[float]] = defaultdict(list)

    async def ask(session: aiohttp.ClientSession, number: int, due_s: float) -> None:
        name, span_s, text = QUESTIONS[number % len(QUESTIONS)]
        now = int(time.time())
        path = text if text.startswith("/") else f"/1/timeseries/{now - span_s}/{now}/?{text}"
        key = ADMIN_KEY if "analytics" in path else READ_KEY
        async with session.get(url + path, headers={"X-API-Key": key}) as response:
            body = await response.read()
            if response.status == 503:
                times[REFUSED].append(time.perf_counter() - due_s)
                return
            assert response.status == 200, body
        times[name].append(time.perf_counter() - due_s)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for number in range(len(QUESTIONS)):
            await ask(session, number, time.perf_counter())
        times.clear()
        began_s = time.perf_counter()
        tasks = []
        for number in range(int(per_s * seconds)):
            due_s = began_s + number / per_s
            await asyncio.sleep(max(0, due_s - time.perf_counter()))
            tasks.append(asyncio.create_task(ask(session, number, due_s)))
        await asyncio.gather(*tasks)
    return times


def memory_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=50_000)
    parser.add_argument("--questions", type=float, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    settings = {**BOOTSTRAP, "APIMETRY_BOOTSTRAP_APPLICATION": APPLICATION}
    acknowledged: multiprocessing.Queue = multiprocessing.Queue()
    with running("serve", data_dir=given.directory, **settings) as serve:
        sender = multiprocessing.Process(
            target=send_events, args=(serve.collector_url, given.rate, given.seconds, acknowledged)
        )
        if given.rate:
            sender.start()
            acknowledged.get()
        times = asyncio.run(ask_questions(serve.query_url, given.questions, given.seconds))
        events, ack_p99_ms = acknowledged.get() if given.rate else (0, 0.0)
        memory = memory_mib(serve.process.pid)
    for name, seconds in times.items():
        middle_ms, most_ms = 1000 * statistics.median(seconds), 1000 * max(seconds)
        print(f"{name:<34}{len(seconds):>5} times, median {middle_ms:>6.0f} ms, most {most_ms:>6.0f}")
    every = sorted(itertools.chain(*(seconds for name, seconds in times.items() if name != REFUSED)))
    print(
        f"{len(every)} answers: median {1000 * statistics.median(every):.0f} ms,"
        f" p95 {1000 * every[int(0.95 * len(every))]:.0f}, p99 {1000 * every[int(0.99 * len(every))]:.0f};"
        f" {events:,} events acknowledged, p99 {ack_p99_ms:.0f} ms; {memory:,.0f} MiB at most"
    )


if __name__ == "__main__":
    main()
