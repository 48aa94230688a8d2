"""Many large and many slow bodies at once."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import time
from collections import Counter
from pathlib import Path

import aiohttp

from apimetry.store.accounts.accounts import KeyKind
from tests.support.services.collecting import KEYS, collecting, envelope, event, wire_row, zstd
from tests.support.services.collector_process import CollectorProcess
from tests.support.services.keys import OTHER_WRITE_KEY

MIB = 1024 * 1024


def peak_memory_bytes(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


async def test_memory_is_bounded_under_200_concurrent_large_bodies(tmp_path, request):
    """The bound: 64 MiB of bodies held, twice that while they are joined and decoded, 64 MiB for all else."""
    collector = await asyncio.to_thread(CollectorProcess, tmp_path)
    request.addfinalizer(collector.close)
    before = peak_memory_bytes(collector.process.pid)
    body = b"[" + b" " * (4 * MIB) + b"]"
    statuses = Counter()

    async def send(session, key):
        headers = {"Content-Type": "application/json", "X-API-Key": key, "Expect": "100-continue"}
        try:
            async with session.post(f"{collector.url}/1/event/", data=io.BytesIO(body), headers=headers) as response:
                statuses[response.status] += 1
        except aiohttp.ClientError:
            statuses["cut"] += 1

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        keys = [KEYS[KeyKind.write], OTHER_WRITE_KEY] * 100
        await asyncio.gather(*[send(session, key) for key in keys])
    growth = peak_memory_bytes(collector.process.pid) - before
    assert await asyncio.to_thread(collector.stop) == 0
    assert growth < 192 * MIB
    assert statuses[200]
    assert set(statuses) <= {200, 503, "cut"}


async def test_bombs_of_every_kind_are_refused_within_the_memory_bound(tmp_path, request):
    """The bound: what may be inflated, and 16 MiB."""
    collector = await asyncio.to_thread(CollectorProcess, tmp_path)
    request.addfinalizer(collector.close)
    async with aiohttp.ClientSession(headers={"X-API-Key": KEYS[KeyKind.write]}) as session:

        async def post(encoding, body):
            headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
            async with session.post(f"{collector.url}/1/event/", data=body, headers=headers) as response:
                return response.status

        async def in_chunks(body):
            for start in range(0, len(body), 1000):
                yield body[start : start + 1000]

        compressors = {"gzip": gzip.compress, "zstd": zstd.compress}
        for encoding, compress in compressors.items():
            assert await post(encoding, compress(b"[]")) == 200
        before = peak_memory_bytes(collector.process.pid)
        for encoding, compress in compressors.items():
            bomb, shell = compress(bytes(64 * MIB)), compress(compress(bytes(64 * MIB)))
            assert len(bomb) * 900 < 64 * MIB
            assert await post(encoding, bomb) == 413
            assert await post(encoding, compress(bytes(MIB)) * 40) == 413
            assert await post(encoding, in_chunks(bomb)) == 413
            assert await post(encoding, bomb[: len(bomb) // 8]) == 400
            assert await post(encoding, shell) == 400
        growth = peak_memory_bytes(collector.process.pid) - before
    assert growth < 32 * MIB


async def test_slow_senders_are_cut_off_and_harm_nobody(tmp_path):
    async with collecting(tmp_path, body_timeout_s=1.0) as collector:
        server = collector.client.server
        head = (
            "POST /1/event/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: 1000\r\nX-API-Key: {KEYS[KeyKind.write]}\r\n\r\n["
        ).encode()
        connections = [await asyncio.open_connection(server.host, server.port) for _ in range(300)]
        for _, writer in connections:
            writer.write(head)
        response = await collector.client.post(
            "/1/event/", json=[event()], headers={"X-API-Key": KEYS[KeyKind.write]}
        )
        assert response.status == 200
        answers = Counter([(await reader.readline()).split()[1] for reader, _ in connections])
        assert answers == {b"408": 300}
        for _, writer in connections:
            writer.close()


async def test_key_far_over_its_limit_is_refused_unread_and_takes_nothing_from_another(tmp_path):
    """The other key is never refused, and of the greedy one no more bodies are read than its limit allows."""
    batch = json.dumps([event() for _ in range(100)]).encode()
    rate, times = 100.0, 20
    async with collecting(tmp_path, events_per_s_per_key=rate, hold_back_s=0.0) as collector:
        began_s = time.monotonic()
        statuses = {KeyKind.write: Counter(), "other": Counter()}

        async def send(name, key, count):
            for _ in range(count):
                response = await collector.post(batch, key=key)
                statuses[name][response.status] += 1
                assert (response.status == 429) == ("Retry-After" in response.headers)

        greedy = int(10 * times * rate / 100) // 8
        senders = [send(KeyKind.write, KEYS[KeyKind.write], greedy) for _ in range(8)]
        await asyncio.gather(send("other", OTHER_WRITE_KEY, 9), *senders)
        elapsed_s = time.monotonic() - began_s
        await collector.drained()
        stored = Counter(row["application"] for row in collector.store.rows)
        assert statuses["other"] == {200: 9}
        assert stored["blog"] == 900
        assert statuses[KeyKind.write][429]
        # A burst of ten seconds, what dripped in meanwhile, and one batch of overdraft.
        assert stored["shop"] <= rate * (10 + elapsed_s) + 100
        assert await collector.total("received_events_total") == stored["shop"] + 900


async def test_refusal_of_a_key_over_its_rate_is_held_back_and_holds_up_nobody(tmp_path):
    batch = json.dumps([event() for _ in range(200)]).encode()
    async with collecting(tmp_path, events_per_s_per_key=1.0, hold_back_s=3600.0, grace_s=0.1) as collector:
        assert (await collector.post(batch)).status == 200
        refused = asyncio.create_task(collector.post(batch))
        for _ in range(3):
            assert (await collector.post(b"[]", key=OTHER_WRITE_KEY)).status == 200
        assert not refused.done()
        refused.cancel()


async def test_rows_that_wait_for_the_disk_are_charged_and_not_their_smaller_body(tmp_path):
    """Rows of the smallest events take more than twice the bytes of their body."""
    smallest = dict.fromkeys(("route", "function", "consumer_id"), "")
    rows = [wire_row(url="/", method="G", response_us=1, response_bytes=1, **smallest) for _ in range(2000)]
    body = envelope(rows)
    async with collecting(tmp_path, max_held_bytes=3 * len(body)) as collector:
        refused = await collector.post(body, Content_Type="application/msgpack")
        assert refused.status == 503
        assert "bodies" in (await refused.json())["message"]
        small = envelope(rows[:100])
        for _ in range(100):  # what was refused holds nothing
            assert (await collector.post(small, Content_Type="application/msgpack")).status == 200
        await collector.drained()
        assert len(collector.store.rows) == 100
