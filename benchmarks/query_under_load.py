"""Questions of a dashboard while events come in: `apimetry serve` with its embedded store, over a month of events.

    python benchmarks/query_under_load.py --directory DIR [--events 100000000] [--rates 0 20000 50000]
        [--questions 20] [--seconds 60]

DIR holds a store of `query_scale.py --directory`, or gets one; each run adds its events to it. Questions are those of
an overview page and of pages of the last hour and of 30 days. Each is sent at its time, whatever became of the ones
before; its time counts from then, at the client. A process of its own sends the events as they happen, in batches of
500, on the same machine. The rate 0 is the limit: the same questions, with nothing else to do.

An event is queryable when an answer counts it; the time counts from its acknowledgement to that answer, and includes
the answer's own wait. CPU is of the service, by kind of its threads, in percent of one core.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import os
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import aiohttp

from benchmarks._ingest_events import live_batches
from benchmarks._scale_store import opened_with_events
from tests.support.services.keys import READ_KEY, WRITE_KEY
from tests.support.services.processes import BOOTSTRAP, running

HOUR_S, DAY_S = 3_600, 86_400
BATCH = 500
ENCODED_PER_S = 200  # batches, at least
SETTLED_S = 10  # until all events are counted, at most
APPLICATION = "bench"
REFUSED = "refused"
PROBE = "events since the start (queryable)"

TIMESERIES = "/1/timeseries/{start}/{end}/?"
USAGE = "/v1/developer/usage?start={start}&end={end}"

# What the page asks at once, and how far its range reaches back. Pages round the end of their range.
QUESTIONS = (
    ("overview: usage and the day before", DAY_S, USAGE + "&compare=previous&completeness=1"),
    ("overview: p95 and the day before", DAY_S, TIMESERIES + "aggregation=percentile_95&compare=previous"),
    ("overview: requests by status", DAY_S, TIMESERIES + "granularity=900&group=status_code&fill=zero"),
    ("overview: p50 by hour", DAY_S, TIMESERIES + "granularity=hour&aggregation=percentile_50&fill=null"),
    ("overview: p95 by hour", DAY_S, TIMESERIES + "granularity=hour&aggregation=percentile_95&fill=null"),
    ("overview: p99 by hour", DAY_S, TIMESERIES + "granularity=hour&aggregation=percentile_99&fill=null"),
    ("overview: kinds of errors", DAY_S, TIMESERIES + "group=error_type&exclude=error_type:&limit=8"),
    ("overview: deploys", DAY_S, TIMESERIES + "granularity=hour&group=version"),
    ("last hour by minute", HOUR_S, TIMESERIES + "granularity=minute"),
    ("last hour by minute, p95", HOUR_S, TIMESERIES + "granularity=minute&aggregation=percentile_95"),
    ("last hour by minute and status", HOUR_S, TIMESERIES + "granularity=minute&group=status_code"),
    ("last hour by minute, one route", HOUR_S, TIMESERIES + "granularity=minute&include=route:/v1/resource7/{{id}}"),
    ("30 days by hour", 30 * DAY_S, TIMESERIES + "granularity=hour"),
    ("30 days by hour, p95", 30 * DAY_S, TIMESERIES + "granularity=hour&aggregation=percentile_95"),
    ("30 days by hour and status", 30 * DAY_S, TIMESERIES + "granularity=hour&group=status_code"),
    ("30 days by route", 30 * DAY_S, TIMESERIES + "group=route"),
    ("30 days by consumer", 30 * DAY_S, TIMESERIES + "group=consumer_id&limit=100"),
    ("30 days of usage", 30 * DAY_S, USAGE),
    ("last hour by minute", HOUR_S, TIMESERIES + "granularity=minute"),
    ("last hour by minute, p95", HOUR_S, TIMESERIES + "granularity=minute&aggregation=percentile_95"),
)  # fmt: skip

Acknowledged = list[tuple[float, int]]
"""Times, and how many events were acknowledged by then."""


def send_events(url: str, rate: float, seconds: float, results: multiprocessing.Queue) -> None:
    """Send `rate` events a second, each batch when its last event has happened.

    Puts the time of the first event before it begins, and then the acknowledgements.
    """
    count = int(rate * seconds / BATCH)
    began_s = time.time() + 2 + count / ENCODED_PER_S
    bodies = live_batches(count * BATCH, BATCH, began_s, rate)
    began_s = max(began_s, time.time())
    results.put(began_s)
    headers = {"X-API-Key": WRITE_KEY, "Content-Type": "application/msgpack"}
    times: list[float] = []

    async def client(session: aiohttp.ClientSession, pending: itertools.count) -> None:
        while (number := next(pending)) < count:
            if (wait_s := began_s + (number + 1) * BATCH / rate - time.time()) > 0:
                await asyncio.sleep(wait_s)
            async with session.post(f"{url}/1/event/", data=bodies[number], headers=headers) as response:
                assert response.status == 200, await response.text()
            times.append(time.time())

    async def everybody() -> None:
        async with aiohttp.ClientSession() as session:
            pending = itertools.count()
            await asyncio.gather(*[client(session, pending) for _ in range(32)])

    asyncio.run(everybody())
    results.put([(at, (index + 1) * BATCH) for index, at in enumerate(sorted(times))])


class Asker:
    """Asks questions at their times; `times` has the seconds of each answer from when its question was due."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.times: dict[str, list[float]] = defaultdict(list)
        self.counted: list[tuple[float, int]] = []

    async def ask(self, session: aiohttp.ClientSession, number: int, due_s: float) -> None:
        """Ask one of QUESTIONS."""
        name, span_s, text = QUESTIONS[number % len(QUESTIONS)]
        unit_s = 10 if span_s < DAY_S else 60
        end = int(time.time()) // unit_s * unit_s
        body = await self._get(session, text.format(start=end - span_s, end=end))
        self.times[REFUSED if body is None else name].append(time.perf_counter() - due_s)

    async def probe(self, session: aiohttp.ClientSession, start: int) -> None:
        """Ask once a second how many events came since `start`, until cancelled."""
        while True:
            due_s = time.perf_counter()
            if (count := await self.count(session, start)) is not None:
                self.counted.append((time.time(), count))
                self.times[PROBE].append(time.perf_counter() - due_s)
            await asyncio.sleep(max(0, due_s + 1 - time.perf_counter()))

    async def count(self, session: aiohttp.ClientSession, start: int) -> int | None:
        """Return how many events happened since `start`; None where the question is refused."""
        body = await self._get(
            session, f"/1/timeseries/{start}/{start + HOUR_S}/?include=method:GET&include=method:POST"
        )
        return None if body is None else body["groups"][APPLICATION][0][1]

    async def _get(self, session: aiohttp.ClientSession, path: str) -> dict | None:
        async with session.get(self._url + path, headers={"X-API-Key": READ_KEY}) as response:
            body = await response.json()
        assert response.status in (200, 503), body
        return body if response.status == 200 else None


async def ask_questions(url: str, per_s: float, seconds: float, start: float) -> Asker:
    """Ask each question once, and then `per_s` questions a second from `start` on."""
    asker = Asker(url)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for number in range(len(QUESTIONS)):
            await asker.ask(session, number, time.perf_counter())
        asker.times.clear()
        await asyncio.sleep(max(0.0, start - time.time()))
        probing = asyncio.create_task(asker.probe(session, int(start)))
        began_s, tasks = time.perf_counter(), []
        for number in range(int(per_s * seconds)):
            due_s = began_s + number / per_s
            await asyncio.sleep(max(0, due_s - time.perf_counter()))
            tasks.append(asyncio.create_task(asker.ask(session, number, due_s)))
        await asyncio.gather(*tasks)
        probing.cancel()
    return asker


async def check_counted(url: str, start: int, total: int) -> None:
    """Wait until an answer counts the `total` events since `start`.

    Raises:
        SystemExit: none does within SETTLED_S.
    """
    asker, deadline_s = Asker(url), time.monotonic() + SETTLED_S
    async with aiohttp.ClientSession() as session:
        while (count := await asker.count(session, start)) != total:
            if time.monotonic() > deadline_s:
                raise SystemExit(f"{total:,} events were acknowledged, and answers count {count:,}")
            await asyncio.sleep(0.1)


def queryable_s(acknowledged: Acknowledged, counted: Sequence[tuple[float, int]]) -> list[float]:
    """Return for each count how long the oldest event that is missing in it had been acknowledged; 0 for none."""
    lags = []
    for at, count in counted:
        missing = next((since for since, total in acknowledged if total > count), at)
        lags.append(max(0.0, at - missing))
    return lags


def cpu_s(pid: int) -> Counter[str]:
    """Return the CPU seconds of a process by kind of its threads."""
    ticks = os.sysconf("SC_CLK_TCK")
    used: Counter[str] = Counter()
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue  # the thread has ended
        fields = rest.split()
        used[name.rstrip("0123456789_-")] += (int(fields[11]) + int(fields[12])) / ticks
    return used


def process_cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, also of its ended threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """Return the most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def percentiles(seconds: Sequence[float]) -> str:
    """Return median, p95, p99 and maximum in milliseconds."""
    ordered = sorted(seconds)
    places = (int(len(ordered) * part) for part in (0.5, 0.95, 0.99))
    return " ".join(f"{1000 * value:>7.0f}" for value in (*(ordered[place] for place in places), ordered[-1]))


def measure(directory: Path, rate: float, questions: float, seconds: float) -> None:
    """Run the service once with `rate` events a second, and print what it took."""
    settings = {**BOOTSTRAP, "APIMETRY_BOOTSTRAP_APPLICATION": APPLICATION}
    results: multiprocessing.Queue = multiprocessing.Queue()
    with running("serve", data_dir=directory, **settings) as serve:
        pid = serve.process.pid
        sender = multiprocessing.Process(target=send_events, args=(serve.collector_url, rate, seconds, results))
        if rate:
            sender.start()
        start = results.get() if rate else time.time() + 1
        before, all_before, asked_before, at = cpu_s(pid), process_cpu_s(pid), time.process_time(), time.time()
        asker = asyncio.run(ask_questions(serve.query_url, questions, seconds, start))
        wall_s = time.time() - at
        used, all_used = cpu_s(pid) - before, process_cpu_s(pid) - all_before
        acknowledged: Acknowledged = results.get() if rate else []
        memory = memory_mib(pid)
        if rate:
            asyncio.run(check_counted(serve.query_url, int(start), acknowledged[-1][1]))
    print(f"\n{rate:,.0f} events/s, {questions:g} questions/s; load of the machine {os.getloadavg()[0]:.1f}")
    print(f"{'':<36}{'times':>6}{'median':>8}{'p95':>8}{'p99':>8}{'most':>8}")
    refused = asker.times.pop(REFUSED, [])
    probes = asker.times.pop(PROBE, [])
    for name, times in (*asker.times.items(), (PROBE, probes), ("all", [*itertools.chain(*asker.times.values())])):
        if times:
            print(f"{name:<36}{len(times):>6} {percentiles(times)}")
    lags = queryable_s(acknowledged, asker.counted)
    print(
        f"{len(refused)} refused; {acknowledged[-1][1] if acknowledged else 0:,} events;"
        f" queryable after {statistics.median(lags):.2f} s, at most {max(lags):.2f} s; {memory:,.0f} MiB at most"
    )
    asking = time.process_time() - asked_before
    kinds = ", ".join(f"{name} {100 * cpu / wall_s:.0f}" for name, cpu in used.most_common(10) if cpu > 0.01 * wall_s)
    share = 100 * all_used / wall_s
    print(f"CPU: {all_used:.1f} s, {share:.0f} % ({kinds}); the client that asks {100 * asking / wall_s:.0f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--events", type=int, default=100_000_000)
    parser.add_argument("--rates", type=float, nargs="+", default=[0, 20_000, 50_000])
    parser.add_argument("--questions", type=float, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    if not (arguments.directory / "store").exists():
        opened_with_events(arguments.directory, arguments.events).close()
    for rate in arguments.rates:
        measure(arguments.directory, rate, arguments.questions, arguments.seconds)


if __name__ == "__main__":
    main()
