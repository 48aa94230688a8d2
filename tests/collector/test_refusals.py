"""What the collector refuses: bodies, keys and rates, and when it is full; nothing of it is stored."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
from collections import Counter
from contextlib import suppress

import pytest

from apimetry.store.accounts.accounts import KeyKind
from tests.support.services.collecting import KEYS, body_of, collecting, envelope, event, refusal, wire_row, zstd
from tests.support.services.keys import OTHER_WRITE_KEY

JSON = "application/json"
WIRE = "application/msgpack"


async def test_batch_of_invalid_events_only_is_a_400_with_the_same_details(tmp_path):
    async with collecting(tmp_path) as collector:
        response = await collector.post(body_of(event(status_code=1), 5))
        assert [detail["index"] for detail in (await response.json())["details"]] == [0, 1]
        await refusal(response, 400)
        assert await collector.reconcile() == 2
        assert collector.store.rows == []


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"{", {}),
        (b"[1,", {}),
        (b"nonsense", {}),
        (b"\xc1", {"Content_Type": WIRE}),
        (b"\xdd\xff\xff\xff\xff", {"Content_Type": WIRE}),
        (b"not gzip", {"Content_Encoding": "gzip"}),
        (b"not zstd", {"Content_Encoding": "zstd"}),
        (gzip.compress(b"[]" * 500)[:-9], {"Content_Encoding": "gzip"}),
        (gzip.compress(b"[]") + b"\x1f\x8b", {"Content_Encoding": "gzip"}),
        (zstd.compress(os.urandom(500))[:-9], {"Content_Encoding": "zstd"}),
        (b"[]", {"X_Batch_Id": "x" * 129}),
        (b"[" * 100_000, {}),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
async def test_unreadable_body_is_a_400_and_stores_nothing(tmp_path, body, headers):
    async with collecting(tmp_path) as collector:
        assert await refusal(await collector.post(body, **headers), 400)
        assert await collector.reconcile() == 0


async def test_unknown_content_type_or_encoding_lists_the_known_ones(tmp_path):
    async with collecting(tmp_path) as collector:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "nonsense"):
            assert "application/msgpack" in await refusal(await collector.post(b"[]", Content_Type=kind), 415)
        assert "zstd" in await refusal(await collector.post(b"[]", Content_Encoding="br"), 415)


async def test_body_over_the_limit_is_a_413_with_the_limit(tmp_path):
    async with collecting(tmp_path, max_body_bytes=1000, max_inflated_bytes=2000, max_batch_events=3) as collector:
        assert "1000" in await refusal(await collector.post(b"x" * 1001), 413)
        assert "2000" in await refusal(
            await collector.post(gzip.compress(b" " * 50_000), Content_Encoding="gzip"), 413
        )
        assert "3 events" in await refusal(await collector.post(b"[{},{},{},{}]"), 413)

        async def chunks():
            for _ in range(30):
                yield b" " * 100

        with suppress(ConnectionError):
            assert "1000" in await refusal(await collector.post(chunks()), 413)
        assert (await collector.post(body_of(event()))).status == 200


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_bomb_is_a_413_and_is_never_inflated_past_the_limit(tmp_path, encoding):
    compress = {"gzip": gzip.compress, "zstd": zstd.compress}[encoding]
    bombs = [compress(bytes(40_000_000)), b"".join([compress(bytes(100_000))] * 400)]
    async with collecting(tmp_path, max_inflated_bytes=300_000) as collector:
        for bomb in bombs:
            assert "300000" in await refusal(await collector.post(bomb, Content_Encoding=encoding), 413)
        assert await collector.reconcile() == 0


async def test_mutated_requests_never_break_the_collector_and_all_are_accounted_for(tmp_path):
    rng = random.Random(18)
    forms = {
        "application/json": body_of(event(data={"a": "b"}), event()),
        "application/msgpack": envelope([wire_row(1), wire_row(2)], batch_id=None),
    }
    compressors = {"": bytes, "gzip": gzip.compress, "zstd": zstd.compress}
    statuses = Counter()
    async with collecting(tmp_path) as collector:
        for _ in range(400):
            content_type, whole = rng.choice(list(forms.items()))
            encoding, compress = rng.choice(list(compressors.items()))
            early = mutated(whole, rng) if rng.random() < 0.7 else whole
            body = compress(early)
            response = await collector.post(
                mutated(body, rng) if rng.random() < 0.3 else body,
                Content_Type=rng.choice([content_type, content_type, *forms]),
                Content_Encoding=encoding or None,
            )
            statuses[response.status] += 1
        await collector.drained()
        await collector.reconcile()
        assert set(statuses) <= {200, 400, 413}
        assert min(statuses[200], statuses[400]) > 20
        assert await collector.total("stored_events_total") == len(collector.store.rows)


def mutated(body, rng):
    """The body with a byte changed, taken out or put in, or a piece of it doubled, or its end cut off."""
    at, value = rng.randrange(len(body)), bytes([rng.choice([0, 0x7F, 0xC1, 0xDD, 0xFF, rng.randrange(256)])])
    return rng.choice(
        [
            body[:at] + value + body[at + 1 :],
            body[:at] + body[at + 1 :],
            body[:at] + value + body[at:],
            body[: at + 8] + body[at:],
            body[: at + 1],
        ]
    )


async def test_key_is_checked_before_a_byte_of_the_body_is_read(tmp_path):
    async with collecting(tmp_path) as collector:
        server = collector.client.server
        for key, status in (("", 401), ("apimetry_w_wrong", 401), (KEYS[KeyKind.read], 403)):
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(
                b"POST /1/event/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Expect: 100-continue\r\nContent-Length: 1000000\r\nX-API-Key: " + key.encode() + b"\r\n\r\n"
            )
            assert (await reader.readline()).split()[1] == str(status).encode()
            writer.close()


async def test_expected_continue_is_sent_once_the_key_is_known(tmp_path):
    body = body_of(event())
    async with collecting(tmp_path) as collector:
        server = collector.client.server
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(
            b"POST /1/event/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
            + f"Content-Length: {len(body)}\r\nX-API-Key: {KEYS[KeyKind.write]}\r\n\r\n".encode()
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.readline()).split()[1] == b"200"
        writer.close()


async def test_full_spool_is_a_503_that_passes(tmp_path):
    spool = {"max_bytes": 200_000, "segment_bytes": 50_000}
    async with collecting(tmp_path, spool=spool) as collector:
        collector.store.away = True
        statuses = []
        for _ in range(40):
            response = await collector.post(body_of(*[event(url="/" + "x" * 1000) for _ in range(20)]))
            statuses.append(response.status)
        assert set(statuses) == {200, 503}
        assert response.headers["Retry-After"] == "5"
        assert await refusal(response, 503)
        assert await collector.total("spool_bytes") <= 200_000
        ready = await collector.client.get("/ready")
        assert (ready.status, (await ready.json())["reasons"]) == (503, ["the spool is full"])
        collector.store.away = False
        await collector.drained()
        assert (await collector.post(body_of(event()))).status == 200
        await collector.drained()
        assert len(collector.store.rows) == 20 * statuses.count(200) + 1
        await collector.reconcile()


async def test_bodies_beyond_the_budget_are_refused_before_they_are_read(tmp_path):
    async with collecting(tmp_path, max_held_bytes=100_000) as collector:
        server = collector.client.server
        connections = []
        answers = []
        for _ in range(8):
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(
                b"POST /1/event/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
                + f"Content-Length: 20000\r\nX-API-Key: {KEYS[KeyKind.write]}\r\n\r\n".encode()
            )
            answers.append((await reader.readline()).split()[1])
            connections.append(writer)
        # One key may hold half of the whole: two bodies of 20,000 bytes in 50,000.
        assert answers == [b"100"] * 2 + [b"503"] * 6
        assert (await collector.post(body_of(event()), key=OTHER_WRITE_KEY)).status == 200
        for writer in connections:
            writer.close()


async def test_slow_body_is_cut_off(tmp_path):
    async with collecting(tmp_path, body_timeout_s=0.1) as collector:
        server = collector.client.server
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(
            b"POST /1/event/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            + f"Content-Length: 20000\r\nX-API-Key: {KEYS[KeyKind.write]}\r\n\r\n[".encode()
        )
        assert (await reader.readline()).split()[1] == b"408"
        writer.close()


@pytest.mark.parametrize("chunks", [b"zz\r\n[]\r\n", b"-2\r\n[]\r\n", b"2\r\n[]XX", b"f" * 17 + b"\r\n[]\r\n"])
@pytest.mark.parametrize("path", ["/1/event/", "/v1/traces"])
async def test_unreadable_chunks_are_a_400_and_cost_no_other_request(tmp_path, path, chunks):
    async with collecting(tmp_path) as collector:
        server = collector.client.server
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n".encode()
            + f"Transfer-Encoding: chunked\r\nX-API-Key: {KEYS[KeyKind.write]}\r\n\r\n".encode()
            + chunks
            + b"0\r\n\r\n"
        )
        answer = await reader.read()
        assert (answer.split()[1], b"chunks are not readable" in answer) == (b"400", True)
        writer.close()
        assert (await collector.post(body_of(event()))).status == 200
        assert await collector.total("received_events_total") == 1


async def test_key_over_its_rate_is_told_when_to_come_back(tmp_path):
    async with collecting(tmp_path, events_per_s_per_key=1.0) as collector:
        assert (await collector.post(body_of(*[event()] * 40))).status == 200
        response = await collector.post(body_of(event()))
        await refusal(response, 429)
        assert 20 <= int(response.headers["Retry-After"]) <= 30
        assert (await collector.post(body_of(event()), key=OTHER_WRITE_KEY)).status == 200
