"""What a collector leaves to another one: left out of the insert, counted, and decided once."""

from __future__ import annotations

import errno
from pathlib import Path

from apimetry.collector.settings import SpoolSettings
from apimetry.collector.spool.batch_ids import batch_key
from apimetry.collector.spool.files import RealFiles
from apimetry.collector.spool.journal import Journal
from apimetry.collector.spool.plans import Plans
from apimetry.store.errors import StoreRejected, StoreUnavailable
from tests.collector.test_writer import clock_ns, entry, urls, writing
from tests.support.engine.faulty_files import FaultyFiles
from tests.support.services.collecting import MemoryStore, eventually

FOLDER = Path("/spool/plans")
TOKEN = "0" * 20 + "-" + "a" * 32


def key(batch):
    return batch_key("shop", batch.encode())


class Others:
    """The store's tables: `elsewhere` are the batches that another segment owns, `mine` those that this one does."""

    def __init__(self, elsewhere=(), mine=(), errors=()):
        self.elsewhere, self.mine, self.errors = set(elsewhere), set(mine), list(errors)
        self.held = []
        self.asked = 0

    async def hold(self, segment, batches):
        if self.errors:
            raise self.errors.pop(0)
        self.held.append((segment, {batch.key for batch in batches}))

    async def owners(self, segment, batches):
        self.asked += 1
        keys = {batch.key for batch in batches}
        owned = {key(batch): "another" for batch in self.elsewhere} | {key(batch): segment for batch in self.mine}
        return {batch: owner for batch, owner in owned.items() if batch in keys}


async def append(rig, *batches):
    """Append batches so that they share a segment."""
    for batch in batches:
        await rig.spool.append(entry(batch, [f"/{batch}/{i}" for i in range(3)]))


def expected(*batches):
    return sorted(f"/{batch}/{i}" for batch in batches for i in range(3))


async def test_batches_of_another_collector_are_left_out_and_counted(tmp_path):
    store, sharing = MemoryStore(), Others(elsewhere=("b", "d"), mine=("c",))
    store.away = True
    async with writing(tmp_path, store, sharing=sharing) as rig:
        await append(rig, "a", "b", "c", "d")
        store.away = False
        await rig.drained()
        assert rig.count("stored_events") == 6
        assert rig.count("stored_elsewhere_events") == 6
        # The spool knows their ids: a repetition is no new batch.
        assert not await rig.spool.append(entry("b", ["/b/0"]))
    assert urls(store) == expected("a", "c")
    assert set().union(*(keys for _, keys in sharing.held)) == {key(batch) for batch in "abcd"}
    assert not list((tmp_path / "plans").iterdir())


async def test_a_segment_of_which_nothing_is_left_is_not_inserted(tmp_path):
    store = MemoryStore()
    async with writing(tmp_path, store, sharing=Others(elsewhere=("a",))) as rig:
        await append(rig, "a")
        await rig.drained()
        assert rig.count("stored_elsewhere_events") == 3
    assert not store.attempts


async def test_a_decision_that_was_kept_is_not_taken_again(tmp_path):
    journal = Journal(SpoolSettings(directory=tmp_path), RealFiles(), clock_ns=clock_ns)
    journal.open()
    journal.append([entry(batch, [f"/{batch}/{i}" for i in range(3)]) for batch in "ab"], 0.0)
    journal.close()
    store = MemoryStore()
    store.lose_answers = 10**6
    async with writing(tmp_path, store, sharing=Others(elsewhere=("b",))):
        await eventually(lambda: store.bodies)
    store.lose_answers = 0
    # Now the answer would be another. MemoryStore refuses changed bytes under a known token.
    sharing = Others(elsewhere=("a",))
    async with writing(tmp_path, store, sharing=sharing) as rig:
        await rig.drained()
        assert rig.count("stored_elsewhere_events") == 3
    assert not sharing.asked
    assert urls(store) == expected("a")


async def test_rejected_rows_of_a_shortened_segment_are_bisected_likewise(tmp_path):
    store = MemoryStore()
    store.away = True
    store.poison = lambda row: row["url"] in ("/c/1", "/b/1")
    async with writing(tmp_path, store, sharing=Others(elsewhere=("b",))) as rig:
        await append(rig, "a", "b", "c", "d")
        store.away = False
        await rig.drained()
        assert rig.count("quarantined_events", reason="rejected") == 1
        assert rig.count("stored_events") == 8
    assert urls(store) == sorted(set(expected("a", "c", "d")) - {"/c/1"})


async def test_events_wait_while_the_store_takes_no_batch_ids(tmp_path):
    errors = [StoreUnavailable("away"), StoreRejected("no rights on the table"), StoreUnavailable("away")]
    store, sharing = MemoryStore(), Others(errors=errors)
    async with writing(tmp_path, store, sharing=sharing) as rig:
        await append(rig, "a")
        await rig.drained()
        assert len(rig.slept) == 3
    assert urls(store) == expected("a")


async def test_batches_without_an_id_ask_nobody(tmp_path):
    store, sharing = MemoryStore(), Others()
    async with writing(tmp_path, store, sharing=sharing) as rig:
        await rig.spool.append(nameless())
        await rig.drained()
    assert urls(store) == ["/nameless"]
    assert not sharing.asked


def nameless():
    named = entry("x", ["/nameless"])
    meta = type(named.meta)(None, named.meta.application, named.meta.received_us)
    return type(named)(meta, named.rows, named.row_bytes)


async def test_a_full_disk_keeps_the_decision_in_the_room_of_the_reserve(tmp_path):
    class Full(RealFiles):
        """No room for a plan while the reserve is there."""

        def write(self, handle, data):
            if len(data) < 100 and (tmp_path / "reserve").exists() and list((tmp_path / "plans").iterdir()):
                raise OSError(errno.ENOSPC, "no room")
            super().write(handle, data)

    store = MemoryStore()
    async with writing(tmp_path, store, files=Full(), sharing=Others(elsewhere=("a",))) as rig:
        await append(rig, "a", "b")
        await rig.drained()
        assert not rig.slept
    assert urls(store) == expected("b")
    assert (tmp_path / "reserve").exists()


def test_plans_live_as_long_as_their_segments():
    files = FaultyFiles()
    plans = Plans(files, FOLDER)
    plans.open(())
    plans.write(TOKEN, [24, 900])
    plans.write("gone", [])
    files.lose_power()
    plans = Plans(files, FOLDER)
    plans.open({TOKEN})
    assert plans.read(TOKEN) == {24, 900}
    assert plans.read("gone") is None
    assert files.names(FOLDER) == [TOKEN]
    plans.remove(TOKEN)
    assert plans.read(TOKEN) is None


def test_a_torn_plan_is_none(tmp_path):
    plans = Plans(RealFiles(), tmp_path)
    plans.write(TOKEN, [24, 900])
    whole = (tmp_path / TOKEN).read_bytes()
    for length in range(len(whole)):
        (tmp_path / TOKEN).write_bytes(whole[:length])
        assert plans.read(TOKEN) is None
    plans.write(TOKEN, [])
    assert plans.read(TOKEN) == frozenset()
