from __future__ import annotations

import asyncio
import errno
import threading

import pytest

from apimetry.collector.errors import SpoolBrokenError, SpoolFullError
from apimetry.collector.settings import FsyncPolicy, SpoolSettings
from apimetry.collector.spool.files import RealFiles
from apimetry.collector.spool.journal import Journal
from apimetry.collector.spool.segment import Entry, Meta, scan
from apimetry.collector.spool.spool import Spool
from tests.support.engine.faulty_files import FaultyFiles
from tests.support.services.collecting import eventually


class SlowFiles(RealFiles):
    """Holds every fsync until it is let go, and counts them."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.syncs = 0

    def sync(self, handle):
        self.syncs += 1
        self.gate.wait(10)
        super().sync(handle)


def entry(number, size=20, key=True):
    meta = Meta(number.to_bytes(16, "big") if key else None, "shop", 10**15)
    return Entry(meta, 1, bytes([number % 251]) * size)


def make_spool(directory, files=None, **settings):
    spool_settings = SpoolSettings(directory=directory, **{"segment_age_s": 60.0, **settings})
    return Spool(Journal(spool_settings, files or RealFiles(), clock_ns=lambda: 10**18))


def records_of(spool):
    return [
        record for sealed in spool.journal.sealed() for record in scan(spool.journal.read(sealed), sealed.token)[0]
    ]


async def test_batches_that_wait_for_one_fsync_share_the_next(tmp_path):
    files = SlowFiles()
    spool = make_spool(tmp_path, files)
    await spool.start()
    files.gate.clear()
    before = files.syncs
    first = asyncio.ensure_future(spool.append(entry(0)))
    await eventually(lambda: files.syncs > before)
    others = [asyncio.ensure_future(spool.append(entry(number))) for number in range(1, 200)]
    await asyncio.sleep(0)
    assert not first.done()
    files.gate.set()
    assert all(await asyncio.gather(first, *others))
    assert files.syncs - before <= 3
    await spool.close()


async def test_duplicates_in_flight_share_the_first_ones_outcome(tmp_path):
    files = FaultyFiles()
    spool = make_spool(tmp_path, files)
    await spool.start()
    assert sorted(await asyncio.gather(*[spool.append(entry(1)) for _ in range(5)])) == [False] * 4 + [True]
    files.fail("sync")
    outcomes = await asyncio.gather(*[spool.append(entry(2)) for _ in range(5)], return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {SpoolBrokenError}
    assert await spool.append(entry(2))
    await spool.stop_taking()
    assert len(records_of(spool)) == 2
    await spool.close()


async def test_caller_that_goes_away_takes_no_batch_with_it(tmp_path):
    files = SlowFiles()
    spool = make_spool(tmp_path, files)
    await spool.start()
    files.gate.clear()
    before = files.syncs
    cancelled = asyncio.ensure_future(spool.append(entry(1)))
    await eventually(lambda: files.syncs > before)
    again = asyncio.ensure_future(spool.append(entry(1)))
    await asyncio.sleep(0)
    cancelled.cancel()
    files.gate.set()
    assert await again is False
    await spool.close()
    assert spool.journal.rows == 1


async def test_spool_takes_exactly_its_size_and_counts_what_waits(tmp_path):
    spool = make_spool(tmp_path, max_bytes=20_000)
    await spool.start()
    outcomes = await asyncio.gather(
        *[spool.append(entry(number, 1000)) for number in range(50)], return_exceptions=True
    )
    stored = [outcome for outcome in outcomes if outcome is True]
    assert {type(outcome) for outcome in outcomes if outcome is not True} == {SpoolFullError}
    assert 10 <= len(stored) < 20
    assert spool.journal.size_bytes <= 20_000
    await spool.close()
    again = make_spool(tmp_path, max_bytes=20_000)
    await again.start()
    assert again.journal.size_bytes == sum(path.stat().st_size for path in (tmp_path / "segments").iterdir())
    assert again.journal.rows == len(stored)
    await again.close()


async def test_batch_larger_than_a_segment_gets_one_of_its_own(tmp_path):
    spool = make_spool(tmp_path, segment_bytes=1000)
    await spool.start()
    for number, size in enumerate([10, 5000, 10]):
        await spool.append(entry(number, size))
    await spool.stop_taking()
    assert [len(record.row_bytes) for record in records_of(spool)].count(5000) == 1
    assert len(spool.journal.sealed()) == 3
    await spool.close()


async def test_age_seals_while_the_writer_is_idle_and_waits_while_it_is_behind(tmp_path):
    spool = make_spool(tmp_path, segment_age_s=0.0)
    await spool.start()
    await spool.append(entry(1))
    (first,) = await spool.sealed()
    for number in range(2, 30):
        await spool.append(entry(number))
    assert spool.journal.sealed() == [first]
    await asyncio.to_thread(spool.finish, first, [])
    (second,) = await spool.sealed()
    assert second.rows == 28
    await spool.close()


async def test_a_segment_that_leaves_before_the_thread_waits_lets_the_next_one_be_sealed(tmp_path, monkeypatch):
    spool = make_spool(tmp_path, segment_age_s=0.0)
    await spool.start()
    await spool.append(entry(0))
    (first,) = await spool.sealed()
    loop = asyncio.get_running_loop()
    call = loop.call_soon_threadsafe

    def call_and_finish(function, *arguments):
        # The spool's thread has seen that the first segment still waits, and does not wait itself yet.
        is_upkeep = threading.current_thread().name == "apimetry-spool" and not arguments
        if is_upkeep and first in spool.journal.sealed():
            spool.finish(first, [(entry(0).meta.batch_key, 10**15)])
        return call(function, *arguments)

    monkeypatch.setattr(loop, "call_soon_threadsafe", call_and_finish)
    await spool.append(entry(1))
    await eventually(lambda: [sealed for sealed in spool.journal.sealed() if sealed != first])
    await spool.close()


async def test_interval_policy_acknowledges_before_the_fsync(tmp_path):
    files = SlowFiles()
    spool = make_spool(tmp_path, files, fsync=FsyncPolicy.interval, fsync_interval_s=0.0)
    await spool.start()
    files.gate.clear()
    assert await spool.append(entry(1))
    files.gate.set()
    await spool.close()
    assert spool.journal.rows == 1


async def test_disk_that_fails_is_reported_and_recovers(tmp_path):
    files = FaultyFiles()
    spool = make_spool(tmp_path, files)
    await spool.start()
    files.fail("sync")
    files.fail("rename", times=1)
    with pytest.raises(SpoolBrokenError):
        await spool.append(entry(1))
    files.clear_faults()
    assert await spool.append(entry(1))
    files.fail("create", errno.ENOSPC)
    await spool.stop_taking()
    with pytest.raises(SpoolBrokenError, match="stopping"):
        await spool.append(entry(3))
    assert len(records_of(spool)) == 1
    await spool.close()
