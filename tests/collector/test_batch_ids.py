"""A batch is stored once by its id, within its application and across restarts."""

from __future__ import annotations

import asyncio
from collections import Counter

from apimetry.collector.spool.batch_ids import batch_key
from apimetry.collector.spool.segment import scan
from apimetry.store.accounts.accounts import KeyKind
from tests.support.services.collecting import KEYS, body_of, collecting, envelope, event, wire_row
from tests.support.services.keys import OTHER_WRITE_KEY

WIRE = "application/msgpack"


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
    async with collecting(tmp_path, drain_timeout_s=0.1) as collector:
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
    async with collecting(tmp_path, store, drain_timeout_s=0.1) as collector:
        assert (await collector.post(body, X_Batch_Id="one")).status == 200
        assert (await collector.post(body, X_Batch_Id="two")).status == 200
    store.away = False
    async with collecting(tmp_path, store) as collector:
        assert (await collector.post(body, X_Batch_Id="two")).status == 200
        await collector.drained()
        assert len(store.rows) == 2
        assert await collector.reconcile() == 1
