"""The oracle of every fault test: what was acknowledged, and whether a store holds exactly that.

Each event has a unique id, its URL, and a payload derived from it. A batch becomes an obligation when its 200 was
read; a batch without one is sent again under the same id until it gets one. At the end, with all faults gone and
the spool drained, the store must hold the obligations: missing = duplicates = unknown = changed = 0, and every rollup
adds up to the raw events.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
import zlib
from collections import Counter

import aiohttp

from apimetry.middleware import wire
from tests.support.services.keys import WRITE_KEY
from tests.support.services.processes import APPLICATION

METHODS = ("GET", "POST", "PUT")
GIVEN_UP_S = 0.03
STATUSES = (200, 201, 404, 500)


def payload(url):
    """What belongs to an event's id: method, status, response time, consumer."""
    number = zlib.crc32(url.encode())
    return METHODS[number % 3], STATUSES[number % 4], number % 90_000, f"consumer-{number % 7}"


def row(url, timestamp_us):
    method, status, response_us, consumer = payload(url)
    return (
        timestamp_us, method, url, f"/{method.lower()}", "show", status, response_us, None, None, 512,
        consumer, "", "", "", 1, None,
    )  # fmt: skip


class Oracle:
    """Makes batches and remembers their fate; `expected` are the ids that must be stored."""

    def __init__(self, name="t", rows_per_batch=5):
        self.name = name
        self.rows_per_batch = rows_per_batch
        self.acknowledged = set()
        self.bodies = {}
        self.counted_at_us = time.time_ns() // 1000 - 3_600_000_000

    def urls(self, number):
        return [f"/{self.name}/{number}/{i}" for i in range(self.rows_per_batch)]

    def body(self, number):
        """The same bytes for the same number, until it is acknowledged."""
        if number not in self.bodies:
            rows = [row(url, self.counted_at_us + number) for url in self.urls(number)]
            # Cumulative, as the middleware counts: batches are numbered in the order they were captured.
            counts = {"captured": number * self.rows_per_batch, "sent": (number - 1) * self.rows_per_batch}
            sender = {"source": "torture", "version": "1", "instance": f"{zlib.crc32(self.name.encode()):032x}"}
            self.bodies[number] = wire.encode_batch(self.batch_id(number), {**sender, **counts, "dropped": {}}, rows)
        return self.bodies[number]

    def batch_id(self, number):
        return zlib.crc32(self.name.encode()).to_bytes(8, "big") + number.to_bytes(8, "big")

    def acknowledge(self, number):
        self.acknowledged.add(number)
        self.bodies.pop(number, None)

    @property
    def expected(self):
        return {url for number in self.acknowledged for url in self.urls(number)}

    def check(self, store):
        """Compare an open store with what was acknowledged; returns the number of events."""
        expected = self.expected
        urls = Counter()
        changed = []
        for url, *values, count in self._stored(store, slices=len(expected) // 500_000 + 1):
            urls[url] += count
            if tuple(values) != payload(url):
                changed.append(url)
        faults = {
            "missing": len(expected - urls.keys()),
            "duplicates": sum(count - 1 for count in urls.values()),
            "unknown": len(urls.keys() - expected),
            "changed": len(changed),
        }
        assert not any(faults.values()), faults
        check_rollups(store)
        return len(expected)

    def _stored(self, store, slices):
        """Rows of what is stored, in as many questions as an answer's limit makes of it."""
        for number in range(slices):
            yield from store.query(
                "SELECT url, method, status_code, response_us, consumer_id, count() FROM events"
                " WHERE application = {application:String} AND startsWith(url, {prefix:String})"
                " AND cityHash64(url) % {slices:UInt32} = {number:UInt32}"
                " GROUP BY url, method, status_code, response_us, consumer_id",
                {"application": APPLICATION, "prefix": f"/{self.name}/", "slices": slices, "number": number},
            )


def check_rollups(store):
    """Every table that counts requests adds up to the raw events."""
    ((events, response_us),) = store.query("SELECT sum(sample_weight), sum(response_us * sample_weight) FROM events")
    columns = store.query(
        "SELECT table, name FROM system.columns WHERE database = {database:String} AND table NOT LIKE '%view'",
        {"database": store.database},
    )
    tables = {}
    for table, name in columns:
        tables.setdefault(table, set()).add(name)
    checked = 0
    for table, names in tables.items():
        if "requests" not in names or table == "events":
            continue
        by = "toString(dimension)" if "dimension" in names else "''"
        total = "sum(response_us_sum)" if "response_us_sum" in names else f"toUInt64({response_us})"
        for dimension, requests, summed in store.query(
            f"SELECT {by}, sum(requests), {total} FROM {table} GROUP BY 1"
        ):
            assert (requests, summed) == (events, response_us), (table, dimension, requests, events)
            checked += 1
    assert checked or not events, "there are no rollups to check"


class Load(threading.Thread):
    """Sends an oracle's batches until told to stop; `where` says where the collector is now.

    Counters: `cut` requests without an answer, `refused` with a 5xx or 429, `given up` by the sender itself,
    `repeated` sent again after any of these. `give_up` is the share of requests whose answer is not awaited.
    """

    def __init__(self, oracle, where, *, clients=4, pause_s=0.0, seed=0, give_up=0.0):
        super().__init__(name="load", daemon=True)
        self.oracle = oracle
        self.counts = Counter()
        self.seconds = []
        self._where = where
        self._clients = clients
        self._pause_s = pause_s
        self._give_up = give_up
        self._rng = random.Random(seed)
        self._stopping = threading.Event()
        self._open = []
        self._number = 0
        self._failure = None

    def run(self):
        try:
            asyncio.run(self._run())
        except Exception as error:  # noqa: BLE001 - handed to whoever joins
            self._failure = error

    def finish(self, timeout_s=300):
        """Stop making batches, and return once every open one was acknowledged."""
        self._stopping.set()
        self.join(timeout_s)
        assert not self.is_alive(), f"{len(self._open)} batches are not acknowledged after {timeout_s} s"
        if self._failure is not None:
            raise self._failure
        assert not self._open

    async def _run(self):
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await asyncio.gather(*[self._client(session) for _ in range(self._clients)])

    async def _client(self, session):
        headers = {"X-API-Key": WRITE_KEY, "Content-Type": wire.CONTENT_TYPE}
        while True:
            number = self._next()
            if number is None:
                return
            # As the middleware says it; every second batch is of a sender that says nothing.
            attempt = {"X-Batch-Attempt": "1"} if number % 2 else {}
            while not await self._send(session, number, {**headers, **attempt}):
                attempt = {}
                self.counts["repeated"] += 1
                await asyncio.sleep(0.05 * self._rng.random())
            self.oracle.acknowledge(number)
            if self._pause_s:
                await asyncio.sleep(self._pause_s * 2 * self._rng.random())

    def _next(self):
        if self._stopping.is_set():
            return None
        self._number += 1
        return self._number

    async def _send(self, session, number, headers):
        began_s = time.perf_counter()
        # As the middleware sends it: a balancer reads no bodies.
        headers = {**headers, "X-Batch-Id": self.oracle.batch_id(number).hex()}
        gives_up = self._rng.random() < self._give_up
        timeout = aiohttp.ClientTimeout(total=self._rng.uniform(0.001, GIVEN_UP_S)) if gives_up else session.timeout
        try:
            async with session.post(
                f"{self._where()}/1/event/", data=self.oracle.body(number), headers=headers, timeout=timeout
            ) as response:
                text = await response.text()
                if response.status == 200:
                    self.seconds.append(time.perf_counter() - began_s)
                    return True
                assert response.status in (429, 502, 503, 504), (response.status, text)  # 502, 504: a balancer's
                self.counts["refused"] += 1
        except (aiohttp.ClientError, asyncio.TimeoutError):
            self.counts["given up" if gives_up else "cut"] += 1
        return False
