"""kill -9 of a collector under load: what was acknowledged is stored once, whatever the moment.

`APIMETRY_TEST_KILLS` sets how many random kills the last test makes (5 in the normal run).
"""

from __future__ import annotations

import asyncio
import os
import random

import aiohttp
import pytest

from apimetry.collector.failpoints import NAMES, SHARING
from apimetry.store.accounts.accounts import KeyKind
from tests.support.services.collecting import KEYS, envelope, wire_row
from tests.support.services.collector_process import CollectorProcess, stored_rows

HEADERS = {"X-API-Key": KEYS[KeyKind.write], "Content-Type": "application/msgpack"}
ROWS = 5
BETWEEN_INSERT_AND_UNLINK = (
    "after_insert", "before_reports", "after_reports", "before_remember", "after_remember", "before_unlink",
)  # fmt: skip


class Sender:
    """Sends numbered batches, each until its 200 was read."""

    def __init__(self):
        self.sent = {}
        self.acknowledged = set()
        self.open = []
        self.number = 0

    def body(self, number):
        if number not in self.sent:
            rows = [wire_row(url=f"/{number}/{i}", response_us=number * 100 + i) for i in range(ROWS)]
            self.sent[number] = envelope(rows, batch_id=number.to_bytes(16, "big"))
        return self.sent[number]

    async def send(self, url, batches):
        """Send until `batches` more are acknowledged or the collector is gone; four at a time."""
        goal = len(self.acknowledged) + batches
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            await asyncio.gather(*[self._client(session, url, goal) for _ in range(4)])

    async def _client(self, session, url, goal):
        while len(self.acknowledged) < goal:
            if self.open:
                number = self.open.pop()
            else:
                self.number += 1
                number = self.number
            try:
                async with session.post(f"{url}/1/event/", data=self.body(number)) as response:
                    await response.read()
                    assert response.status == 200
            except aiohttp.ClientError:
                self.open.append(number)
                return
            self.acknowledged.add(number)


@pytest.fixture
def start(tmp_path):
    """Starts collectors over one spool; none of them outlives the test."""
    started = []

    def start(failpoints=""):
        started.append(CollectorProcess(tmp_path, failpoints))
        return started[-1]

    yield start
    for collector in started:
        collector.close()


async def settle(directory, sender, start):
    """Faults end: every open batch is sent again, one more on top, and the collector stops by itself."""
    collector = start()
    await sender.send(collector.url, len(sender.open) + 1)
    assert not sender.open
    assert await asyncio.to_thread(collector.stop) == 0
    rows, repeated = stored_rows(directory)
    stored = sorted((row["url"], row["response_us"]) for row in rows)
    expected = sorted((f"/{n}/{i}", n * 100 + i) for n in sender.acknowledged for i in range(ROWS))
    assert stored == expected  # missing = duplicates = unknown = changed = 0
    segments = directory / "spool" / "segments"
    assert not list(segments.iterdir())
    return repeated


@pytest.mark.parametrize("name", sorted(NAMES - SHARING))
async def test_kill_at_a_labelled_point_loses_and_doubles_nothing(tmp_path, start, name):
    sender = Sender()
    for visit in (1, 3):
        collector = start(f"{name}:{visit}")
        await sender.send(collector.url, 10_000)
        assert await asyncio.to_thread(collector.wait) == -9, "the point was never reached"
    repeated = await settle(tmp_path, sender, start)
    if name in BETWEEN_INSERT_AND_UNLINK:
        assert repeated, "the kill between insert and unlink repeats the insert"


async def test_kills_at_random_moments_lose_and_double_nothing(tmp_path, start):
    sender = Sender()
    rng = random.Random(7)
    for _ in range(int(os.environ.get("APIMETRY_TEST_KILLS", "5"))):
        collector = start()
        sending = asyncio.create_task(sender.send(collector.url, 10_000))
        await asyncio.sleep(rng.uniform(0.0, 0.3))
        await asyncio.to_thread(collector.kill)
        await sending
    await settle(tmp_path, sender, start)
    assert sender.acknowledged


async def test_sigterm_under_load_finishes_and_exits_0(tmp_path, start):
    sender = Sender()
    collector = start()
    sending = asyncio.create_task(sender.send(collector.url, 10_000))
    await asyncio.sleep(0.2)
    assert await asyncio.to_thread(collector.stop) == 0
    await sending
    await settle(tmp_path, sender, start)
