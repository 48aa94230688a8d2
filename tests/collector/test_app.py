from __future__ import annotations

import asyncio
import gzip

import pytest

from apimetry.store.accounts.accounts import KeyKind
from tests.support.services.collecting import KEYS, body_of, collecting, envelope, event, refusal, wire_row, zstd

JSON = "application/json"
WIRE = "application/msgpack"


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


async def test_admin_key_names_the_application(tmp_path):
    async with collecting(tmp_path) as collector:
        await refusal(await collector.post(b"[]", key=KEYS[KeyKind.admin]), 400)
        response = await collector.post(body_of(event()), key=KEYS[KeyKind.admin], path="/1/event/?application=blog")
        assert response.status == 200
        await collector.drained()
        assert collector.store.rows[0]["application"] == "blog"


async def test_store_away_is_no_reason_to_refuse(tmp_path):
    async with collecting(tmp_path, drain_timeout_s=0.1) as collector:
        collector.store.away = True
        for _ in range(20):
            assert (await collector.post(body_of(event()))).status == 200
        assert (await collector.client.get("/ready")).status == 200
        collector.store.away = False
        await collector.drained()
        assert await collector.reconcile() == len(collector.store.rows) == 20


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
    async with collecting(directory, drain_timeout_s=0.1) as collector:
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
