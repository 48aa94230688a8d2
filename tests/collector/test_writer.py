from __future__ import annotations

import asyncio
import contextlib
import logging
import zlib

import pytest
from prometheus_client import CollectorRegistry

from apimetry.collector.formats.blocks import encode_json_events, make_target
from apimetry.collector.formats.event_structs import JSONEvent
from apimetry.collector.formats.user_agents import UserAgents
from apimetry.collector.metrics import Metrics
from apimetry.collector.settings import CollectorSettings, SpoolSettings
from apimetry.collector.spool import segment
from apimetry.collector.spool.batch_ids import batch_key
from apimetry.collector.spool.files import RealFiles
from apimetry.collector.spool.journal import Journal
from apimetry.collector.spool.segment import Entry, Meta
from apimetry.collector.spool.spool import Spool
from apimetry.collector.writer import Inserts, Writer
from apimetry.store.errors import StoreRejected, StoreUnavailable
from apimetry.store.native import decode_block, encode_block
from tests.support.engine.faulty_files import FaultyFiles
from tests.support.services.collecting import MemoryStore, eventually

DICTIONARY_FLAGS = (1 << 9 | 1 << 10).to_bytes(8, "little")
NOW_US = 1_790_000_000_000_000
TARGET = make_target("shop", 90, now_us=NOW_US, max_ahead_s=86_400, user_agents=UserAgents())


def clock_ns():
    return NOW_US * 1000


def entry(batch, urls):
    block = encode_json_events([JSONEvent(NOW_US / 1e6, "GET", url, 200, response_us=5) for url in urls], TARGET)
    return Entry(Meta(batch_key("shop", batch.encode()), "shop", NOW_US), block.count, block.row_bytes)


class Rig:
    """A spool on disk, a store in memory, and a writer whose waiting costs no time."""

    def __init__(
        self,
        directory,
        store,
        files=None,
        *,
        quarantine_max_bytes=2**20,
        sharing=None,
        **settings,
    ):
        spool = {"quarantine_max_bytes": quarantine_max_bytes}
        spool_settings = SpoolSettings(directory=directory, segment_age_s=0.0, **spool)
        self.journal = Journal(spool_settings, files or RealFiles(), clock_ns=clock_ns)
        self.spool = Spool(self.journal)
        self.store = store
        self.slept = []
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.writer = Writer(
            self.spool,
            Inserts(self.insert, hold=sharing and sharing.hold, owners=sharing and sharing.owners),
            CollectorSettings(spool=spool_settings, **settings),
            metrics=self.metrics,
            sleep=self.sleep,
        )

    async def insert(self, token, body):
        await self.insert_now(token, body)

    async def insert_now(self, token, body):
        await self.store.run_reserved(self.store.insert_rows, token, body)

    async def sleep(self, seconds):
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def count(self, name, **labels):
        return self.registry.get_sample_value(f"apimetry_collector_{name}_total", labels) or 0

    async def drained(self):
        await eventually(lambda: not self.journal.rows)


@contextlib.asynccontextmanager
async def writing(directory, store=None, **settings):
    rig = Rig(directory, store or MemoryStore(), **settings)
    await rig.spool.start()
    task = asyncio.create_task(rig.writer.run())
    yield rig
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await rig.spool.close()


def urls(store):
    return sorted(row["url"] for row in store.rows)


async def test_lost_answers_store_nothing_twice(tmp_path):
    store = MemoryStore()
    store.lose_answers = 50
    async with writing(tmp_path, store) as rig:
        for number in range(20):
            await rig.spool.append(entry(f"b{number}", [f"/{number}"]))
        await rig.drained()
    assert urls(store) == sorted(f"/{number}" for number in range(20))
    assert len(store.attempts) > len(store.bodies)


async def test_retry_after_a_restart_has_the_same_token_and_bytes(tmp_path):
    store = MemoryStore()
    store.lose_answers = 10**6
    async with writing(tmp_path, store) as rig:
        for number in range(5):
            await rig.spool.append(entry(f"b{number}", [f"/{number}"]))
        await eventually(lambda: store.bodies)
    assert store.bodies
    store.lose_answers = 0
    async with writing(tmp_path, store) as rig:  # MemoryStore refuses changed bytes under a known token
        await rig.drained()
    assert urls(store) == sorted(f"/{number}" for number in range(5))


async def test_backoff_grows_to_its_bound_and_logs_once(tmp_path, caplog):
    store = MemoryStore()
    store.away = True
    with caplog.at_level(logging.WARNING, logger="apimetry.collector.writer"):
        async with writing(tmp_path, store) as rig:
            await rig.spool.append(entry("b", ["/a"]))
            await eventually(lambda: len(rig.slept) >= 50)
            store.away = False
            await rig.drained()
    assert all(0.5 * 2**n <= slept <= 2**n for n, slept in enumerate(rig.slept[:5]))
    assert all(15 <= slept <= 30 for slept in rig.slept[6:])
    assert len(caplog.records) == 1
    assert urls(store) == ["/a"]
    assert rig.count("insert_failures", kind="transient") == len(rig.slept)


async def test_poison_goes_to_the_quarantine_and_the_rest_is_stored(tmp_path):
    store = MemoryStore()
    store.away = True
    store.poison = lambda row: row["url"].startswith("/poison")
    async with writing(tmp_path, store) as rig:
        for number in range(7):
            await rig.spool.append(entry(f"b{number}", [f"/{number}/{i}" for i in range(9)]))
        await rig.spool.append(entry("bad", ["/x", "/poison1", "/y", "/z", "/poison2"]))
        await rig.spool.append(entry("after", ["/after"]))
        store.away = False
        await rig.drained()
        assert len(store.rows) == 7 * 9 + 3 + 1
        assert rig.count("quarantined_events", reason="rejected") == 2
        assert rig.count("stored_events") == len(store.rows)
    quarantined = [path for path in (tmp_path / "quarantine").iterdir() if path.suffix == ".rows"]
    assert sorted(b"/poison1" in path.read_bytes() for path in quarantined) == [False, True]
    assert len(set(store.attempts)) <= len(store.attempts)


async def test_bisection_is_the_same_after_a_restart(tmp_path):
    store = MemoryStore()
    store.poison = lambda row: row["url"] == "/poison"
    original = store.insert_rows
    budget = [4]

    def failing(token, body):
        budget[0] -= 1
        if budget[0] < 0:
            raise StoreUnavailable("away")
        original(token, body)

    store.insert_rows = failing
    async with writing(tmp_path, store) as rig:
        await rig.spool.append(entry("bad", ["/1", "/2", "/3", "/poison", "/5", "/6", "/7"]))
        await eventually(lambda: budget[0] <= -3)
    budget[0] = 10**6
    async with writing(tmp_path, store) as rig:
        await rig.drained()
    assert urls(store) == ["/1", "/2", "/3", "/5", "/6", "/7"]


async def test_damaged_segment_does_not_hold_up_the_next(tmp_path):
    store = MemoryStore()
    store.away = True
    async with writing(tmp_path, store) as rig:
        await rig.spool.append(entry("a", ["/a"]))
        await rig.spool.append(entry("b", ["/b"]))
    for number, path in enumerate(sorted((tmp_path / "segments").iterdir())):
        data = bytearray(path.read_bytes())
        data[60] ^= number == 0
        path.write_bytes(data)
    store.away = False
    async with writing(tmp_path, store) as rig:
        await rig.drained()
        damaged, stored = rig.count("quarantined_events", reason="damaged"), rig.count("stored_events")
    assert (damaged, stored) == (1, 1)
    assert len(store.rows) == 1


@pytest.mark.parametrize("call", ["read", "create", "remove", "sync_folder"])
async def test_disk_that_fails_after_the_insert_is_tried_again_and_counted_once(tmp_path, call):
    files = FaultyFiles()
    async with writing(tmp_path, files=files) as rig:
        rig.store.hold = asyncio.Event()
        await rig.spool.append(entry("a", ["/a"]))
        await rig.spool.append(entry("b", ["/b"]))
        files.fail(call)
        rig.store.hold.set()
        await rig.drained()
        assert rig.count("stored_events") == 2
    assert urls(rig.store) == ["/a", "/b"]


async def test_unexpected_failure_of_the_store_is_tried_again(tmp_path):
    store = MemoryStore()
    failures = [RuntimeError("a bug"), KeyError("another")]
    original = store.insert_rows

    def failing(token, body):
        if failures:
            raise failures.pop()
        original(token, body)

    store.insert_rows = failing
    async with writing(tmp_path, store) as rig:
        await rig.spool.append(entry("a", ["/a"]))
        await rig.drained()
    assert urls(store) == ["/a"]


@contextlib.asynccontextmanager
async def writing_to(directory, store, lose_answers=0):
    """As `writing`, into a real store that loses its first answers."""
    rig = Rig(directory, None)
    lost = [lose_answers]

    async def insert(token, body):
        await store.run_reserved(store.insert_rows, token, body)
        if lost[0]:
            lost[0] -= 1
            raise StoreUnavailable("the answer was lost")

    rig.insert_now = insert
    await rig.spool.start()
    task = asyncio.create_task(rig.writer.run())
    yield rig
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await rig.spool.close()


async def test_real_store_takes_segments_and_their_retries_once(tmp_path, store):
    async with writing_to(tmp_path / "spool", store, lose_answers=3) as rig:
        for number in range(10):
            await rig.spool.append(entry(f"b{number}", [f"/{number}/{i}" for i in range(50)]))
        await rig.drained()
    rows = await store.run(store.query, "SELECT count(), uniqExact(url), sum(response_us) FROM events")
    assert rows == [(500, 500, 2500)]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("refuse", {}),
        ("reset_after_commit", {}),
        ("hang", {}),
        ("status", {"status": 500, "code": 252}),
        ("status", {"status": 503}),
        ("status", {"status": 500, "code": 164}),
    ],
)
async def test_faults_of_a_real_server_change_no_count(tmp_path, server_store, clickhouse_server, kind, options):
    before = clickhouse_server.seen()[f"fault {kind}"]
    async with writing_to(tmp_path / "spool", server_store) as rig:
        await asyncio.to_thread(clickhouse_server.fault, kind, count=2, statement="INSERT INTO events", **options)
        for number in range(6):
            await rig.spool.append(entry(f"b{number}", [f"/{number}/{i}" for i in range(20)]))
        await eventually(lambda: rig.slept)
        await asyncio.to_thread(clickhouse_server.clear_faults)
        await rig.drained()
        assert rig.count("stored_events") == 120
    rows = await server_store.run(server_store.query, "SELECT count(), uniqExact(url) FROM events")
    assert rows == [(120, 120)]
    assert clickhouse_server.seen()[f"fault {kind}"] > before


async def test_real_store_gets_everything_but_the_poison(tmp_path, store):
    store.command("ALTER TABLE events ADD CONSTRAINT wholesome CHECK NOT startsWith(url, '/poison')")
    async with writing_to(tmp_path / "spool", store) as rig:
        await rig.spool.append(entry("good", ["/1", "/2"]))
        await rig.spool.append(entry("bad", ["/x", "/poison1", "/y", "/z", "/poison2"]))
        await rig.spool.append(entry("after", ["/3"]))
        await rig.drained()
        assert rig.count("quarantined_events", reason="rejected") == 2
    rows = await store.run(store.query, "SELECT url FROM events ORDER BY url")
    assert [url for (url,) in rows] == ["/1", "/2", "/3", "/x", "/y", "/z"]


async def test_block_that_nobody_can_read_goes_to_the_quarantine_as_a_whole(tmp_path, store):
    bad = entry("bad", ["/x", "/y", "/z"])
    damaged = bad.row_bytes.replace(DICTIONARY_FLAGS, b"\xff" * 8)
    async with writing_to(tmp_path / "spool", store) as rig:
        await rig.spool.append(entry("good", ["/1", "/2"]))
        await rig.spool.append(Entry(bad.meta, bad.rows, damaged))
        await rig.spool.append(entry("after", ["/3"]))
        await rig.drained()
        assert rig.count("quarantined_events", reason="rejected") == 3
    rows = await store.run(store.query, "SELECT url FROM events ORDER BY url")
    assert [url for (url,) in rows] == ["/1", "/2", "/3"]


def former_entry(batch, urls):
    """As a version wrote it whose table had neither `version` nor families, and whose times were never null."""
    current = entry(batch, urls)
    later = {"version", "user_agent_family"}
    columns = [column for column in decode_block(current.row_bytes) if column.name not in later]
    types = {column.name: column.type for column in columns}
    block = encode_block({**types, "response_us": "UInt64"}, [column.values for column in columns])
    return Entry(current.meta, current.rows, block)


def with_former_header(path):
    """Give a segment the header of version 2."""
    data = path.read_bytes()
    header = data[:8] + (2).to_bytes(2, "big") + data[10:20]
    path.write_bytes(header + zlib.crc32(header).to_bytes(4, "big") + data[24:])
    assert segment.read_version(path.read_bytes()) == 2


@pytest.mark.parametrize("damaged_header", [False, True])
async def test_spool_of_an_earlier_version_is_stored_under_its_own_columns(tmp_path, store, damaged_header):
    async with writing(tmp_path) as rig:
        rig.store.away = True
        await rig.spool.append(former_entry("old", ["/old/1", "/old/2"]))
    (path,) = (tmp_path / "segments").iterdir()
    with_former_header(path)
    if damaged_header:
        data = bytearray(path.read_bytes())
        data[15] ^= 1
        path.write_bytes(data)
    poisoned = [True]
    async with writing_to(tmp_path, store) as rig:
        insert_now = rig.insert_now

        async def insert(token, body):
            if poisoned.pop() if poisoned else False:
                raise StoreRejected("it is halved under its own columns, too")
            await insert_now(token, body)

        rig.insert_now = insert
        await rig.spool.append(entry("new", ["/new"]))
        await rig.drained()
    columns = "url, function, version, user_agent_family, response_us"
    rows = await store.run(store.query, f"SELECT {columns} FROM events ORDER BY url")
    assert rows == [(url, "unknown", "", "", 5) for url in ("/new", "/old/1", "/old/2")]


async def test_unreadable_block_of_an_earlier_version_goes_to_the_quarantine_and_the_rest_is_stored(tmp_path, store):
    bad = former_entry("bad", ["/x", "/y"])
    async with writing(tmp_path) as rig:
        rig.store.away = True
        await rig.spool.append(former_entry("old", ["/old"]))
        await rig.spool.append(Entry(bad.meta, bad.rows, bad.row_bytes.replace(DICTIONARY_FLAGS, b"\xff" * 8)))
    for path in (tmp_path / "segments").iterdir():
        with_former_header(path)
    async with writing_to(tmp_path, store) as rig:
        await rig.drained()
        assert rig.count("quarantined_events", reason="rejected") == 2
    assert await store.run(store.query, "SELECT url, response_us FROM events") == [("/old", 5)]


async def test_quarantine_is_bounded_and_nobody_waits_behind_it(tmp_path, caplog):
    store = MemoryStore()
    store.poison = lambda row: row["url"].startswith("/poison")
    async with writing(tmp_path, store, quarantine_max_bytes=2000) as rig:
        for number in range(20):
            await rig.spool.append(entry(f"b{number}", [f"/poison/{number}", f"/{number}"]))
        await rig.drained()
        assert rig.count("quarantined_events", reason="rejected") == 20
        assert rig.count("stored_events") == len(store.rows) == 20
        quarantine = rig.journal.quarantine
        assert 0 < len(quarantine) < 20 == len(quarantine) + quarantine.dropped_pieces
        size_bytes = sum(path.stat().st_size for path in (tmp_path / "quarantine").iterdir())
        assert size_bytes == quarantine.size_bytes <= 2000
    assert "the quarantine is at its limit" in caplog.text
    again = Rig(tmp_path, store, quarantine_max_bytes=2000)
    await again.spool.start()
    assert again.journal.quarantine.size_bytes == size_bytes
    await again.spool.close()
