from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
from collections import Counter
from contextlib import suppress
from http import HTTPStatus

import pytest

from apimetry.collector.spool.batch_ids import batch_key
from apimetry.collector.spool.segment import scan
from apimetry.store.accounts.accounts import KeyKind
from tests.support.services.collecting import KEYS, collecting, envelope, event, wire_row, zstd
from tests.support.services.keys import OTHER_WRITE_KEY

JSON = "application/json"
WIRE = "application/msgpack"


def body_of(*events):
    return json.dumps(list(events)).encode()


async def refusal(response, status):
    """The one error shape; returns its message."""
    answer = await response.json()
    assert response.status == status, answer
    assert answer["error"] == HTTPStatus(status).phrase
    return answer["message"]


@pytest.mark.parametrize("path", ["/1/event/", "/1/event", "/1/events/", "/1/events"])
async def test_every_path_takes_events_and_answers_200(tmp_path, path):
    async with collecting(tmp_path) as collector:
        response = await collector.post(body_of(event(), event()), path=path)
        assert (response.status, await response.json()) == (200, {"accepted": 2, "rejected": 0})
        await collector.drained()
        assert [row["application"] for row in collector.store.rows] == ["shop", "shop"]
        assert await collector.reconcile() == 2


async def test_both_formats_and_encodings_arrive(tmp_path):
    plain, packed = body_of(event(url="/json")), envelope([wire_row(url="/wire")], batch_id=None)
    async with collecting(tmp_path) as collector:
        for body, kind in ((plain, JSON), (packed, WIRE)):
            for encoding, encode in (
                (None, bytes), ("identity", bytes), ("gzip", gzip.compress), ("zstd", zstd.compress),
                ("gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
                ("zstd", lambda data: zstd.compress(data[:9]) + zstd.compress(data[9:])),
            ):  # fmt: skip
                response = await collector.post(encode(body), Content_Type=kind, Content_Encoding=encoding)
                assert response.status == 200, (kind, encoding, await response.text())
        await collector.drained()
        assert sorted(row["url"] for row in collector.store.rows) == ["/json"] * 6 + ["/wire"] * 6


async def test_some_invalid_events_are_detailed_and_the_others_stored(tmp_path):
    async with collecting(tmp_path) as collector:
        response = await collector.post(body_of(event(url="/a"), event(status_code=1), event(url="/b")))
        answer = await response.json()
        assert (response.status, answer["accepted"], answer["rejected"]) == (200, 2, 1)
        assert [(detail["index"], detail["field"]) for detail in answer["details"]] == [(1, "status_code")]
        await collector.drained()
        assert [row["url"] for row in collector.store.rows] == ["/a", "/b"]
        assert await collector.reconcile() == 3


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


async def test_admin_key_names_the_application(tmp_path):
    async with collecting(tmp_path) as collector:
        await refusal(await collector.post(b"[]", key=KEYS[KeyKind.admin]), 400)
        response = await collector.post(body_of(event()), key=KEYS[KeyKind.admin], path="/1/event/?application=blog")
        assert response.status == 200
        await collector.drained()
        assert collector.store.rows[0]["application"] == "blog"


async def test_same_batch_id_is_stored_once(tmp_path):
    body = envelope([wire_row()], batch_id=b"A" * 16)
    async with collecting(tmp_path) as collector:
        answers = await asyncio.gather(*[collector.post(body, Content_Type=WIRE) for _ in range(8)])
        texts = Counter([(answer.status, await answer.text()) for answer in answers])
        assert texts == {
            (200, '{"accepted":1,"rejected":0}'): 1,
            (200, '{"accepted":1,"rejected":0,"duplicate":true}'): 7,
        }
        await collector.drained()
        again = await collector.post(body, Content_Type=WIRE)
        assert (again.status, await again.json()) == (200, {"accepted": 1, "rejected": 0, "duplicate": True})
        await collector.drained()
        assert len(collector.store.rows) == 1
        assert await collector.reconcile() == 1
        assert await collector.total("duplicate_events_total") == 8


async def test_the_spool_knows_which_batches_are_surely_sent_for_the_first_time(tmp_path):
    said = {"one": "1", "two": "2", "three": None, "four": "yes"}
    async with collecting(tmp_path) as collector:
        collector.store.away = True
        for batch, attempt in said.items():
            headers = {"X_Batch_Attempt": attempt, "X_Batch_Id": batch}
            assert (await collector.post(body_of(event()), **headers)).status == 200
    metas = []
    for path in (tmp_path / "segments").iterdir():
        records, _ = scan(path.read_bytes(), path.name.partition(".")[0])
        metas += [record.meta for record in records]
    firsts = {meta.batch_key: meta.is_first for meta in metas}
    assert firsts == {batch_key("shop", batch.encode()): batch == "one" for batch in said}


async def test_repeated_batch_with_invalid_events_says_so_and_has_its_details(tmp_path):
    body = body_of(event(), event(status_code=1))
    async with collecting(tmp_path) as collector:
        first = await (await collector.post(body, X_Batch_Id="one")).json()
        second = await (await collector.post(body, X_Batch_Id="one")).json()
        assert (first["accepted"], first["rejected"]) == (1, 1)
        assert second == {**first, "duplicate": True}


async def test_batch_id_belongs_to_its_application(tmp_path):
    async with collecting(tmp_path) as collector:
        for key in (KEYS[KeyKind.write], OTHER_WRITE_KEY, KEYS[KeyKind.write]):
            assert (await collector.post(body_of(event()), key=key, X_Batch_Id="one")).status == 200
        await collector.drained()
        assert sorted(row["application"] for row in collector.store.rows) == ["blog", "shop"]


async def test_batch_id_is_remembered_across_a_restart(tmp_path):
    body = body_of(event())
    async with collecting(tmp_path) as collector:
        await collector.post(body, X_Batch_Id="one")
        await collector.drained()
        store = collector.store
    store.away = True
    async with collecting(tmp_path, store) as collector:
        assert (await collector.post(body, X_Batch_Id="one")).status == 200
        assert (await collector.post(body, X_Batch_Id="two")).status == 200
    store.away = False
    async with collecting(tmp_path, store) as collector:
        assert (await collector.post(body, X_Batch_Id="two")).status == 200
        await collector.drained()
        assert len(store.rows) == 2
        assert await collector.reconcile() == 1


async def test_store_away_is_no_reason_to_refuse(tmp_path):
    async with collecting(tmp_path, drain_timeout_s=0.1) as collector:
        collector.store.away = True
        for _ in range(20):
            assert (await collector.post(body_of(event()))).status == 200
        assert (await collector.client.get("/ready")).status == 200
        collector.store.away = False
        await collector.drained()
        assert await collector.reconcile() == len(collector.store.rows) == 20


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


async def test_key_over_its_rate_is_told_when_to_come_back(tmp_path):
    async with collecting(tmp_path, events_per_s_per_key=1.0) as collector:
        assert (await collector.post(body_of(*[event()] * 40))).status == 200
        response = await collector.post(body_of(event()))
        await refusal(response, 429)
        assert 20 <= int(response.headers["Retry-After"]) <= 30
        assert (await collector.post(body_of(event()), key=OTHER_WRITE_KEY)).status == 200


async def test_stop_stores_what_was_acknowledged(tmp_path):
    async with collecting(tmp_path, spool={"segment_age_s": 60.0}) as collector:
        await collector.post(body_of(event()))
        assert collector.store.rows == []
    assert len(collector.store.rows) == 1


async def test_metrics_and_errors_show_no_key(tmp_path):
    async with collecting(tmp_path) as collector:
        await collector.post(body_of(event()))
        texts = [await (await collector.client.get("/metrics")).text()]
        texts.append(await (await collector.post(b"{")).text())
        texts += [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
        assert not any(key in text for key in KEYS.values() for text in texts)


async def test_spool_is_private(tmp_path):
    directory = tmp_path / "spool"
    async with collecting(directory) as collector:
        collector.store.away = True
        await collector.post(body_of(event()))
        for path in [directory, *directory.rglob("*")]:
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


async def test_counters_reconcile_with_every_kind_of_end(tmp_path):
    async with collecting(tmp_path) as collector:
        collector.store.poison = lambda row: row["url"] == "/poison"
        await collector.post(body_of(event(), event(url="/poison"), event(status_code=1), event(timestamp=1)))
        await collector.drained()
        metrics = await collector.metrics()
        assert metrics['quarantined_events_total{reason="rejected"}'] == 1
        assert metrics['rejected_events_total{reason="invalid"}'] == 1
        assert metrics['rejected_events_total{reason="timestamp_expired"}'] == 1
        assert await collector.reconcile() == 4


async def test_large_batches_do_not_mix_with_small_ones(tmp_path):
    bodies = [body_of(*[event(url=f"/{n}/{i}") for i in range(1000)]) for n in range(6)]
    assert len(bodies[0]) > 64 * 1024
    async with collecting(tmp_path) as collector:
        answers = await asyncio.gather(*[collector.post(body) for body in [*bodies, body_of(event())]])
        assert [answer.status for answer in answers] == [200] * 7
        await collector.drained()
        assert len({row["url"] for row in collector.store.rows}) == 6001
