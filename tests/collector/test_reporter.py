"""A collector's own reports: what they say, when they are written, and that nothing piles up behind them."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from apimetry.collector.formats.batch import Batch
from apimetry.collector.metrics import Metrics
from apimetry.collector.reporter import IDLE_INTERVAL_S, INTERVAL_S, Reporter, figures_of
from apimetry.collector.settings import SpoolSettings
from apimetry.collector.spool.files import RealFiles
from apimetry.collector.spool.identity import FILE, name_in
from apimetry.collector.spool.journal import Journal
from apimetry.collector.spool.spool import Spool
from apimetry.store.collectors import CollectorFigures
from apimetry.store.errors import StoreUnavailable
from tests.support.services.collecting import MemoryStore, collecting, event, eventually


class Rig:
    """A reporter whose time passes as it sleeps; it ends after the given number of looks."""

    def __init__(self, figures, *, fails=()):
        self.figures = list(figures)
        self.fails = set(fails)
        self.looks = 0
        self.now_s = 0.0
        self.written = []
        self.attempts = 0

    async def run(self):
        reporter = Reporter(self.look, self.write, clock_s=lambda: self.now_s, sleep=self.sleep)
        with pytest.raises(asyncio.CancelledError):
            await reporter.run()
        return self.written

    def look(self):
        self.looks += 1
        return self.figures[min(self.looks, len(self.figures)) - 1]

    async def write(self, figures):
        self.attempts += 1
        if self.looks in self.fails:
            raise StoreUnavailable("away")
        self.written.append((self.now_s, figures))

    async def sleep(self, seconds):
        if self.looks == len(self.figures):
            raise asyncio.CancelledError
        self.now_s += seconds


def of(received):
    return CollectorFigures(received=received)


async def test_a_report_is_written_every_ten_seconds_while_anything_changes():
    reports = await Rig(map(of, range(5))).run()
    assert reports == [(INTERVAL_S * number, of(number)) for number in range(5)]


async def test_an_idle_collector_writes_once_a_minute():
    reports = await Rig([of(1)] * 13).run()
    assert [at for at, _ in reports] == [0.0, IDLE_INTERVAL_S, 2 * IDLE_INTERVAL_S]


async def test_while_the_store_is_away_nothing_piles_up_and_the_next_report_has_all_counts(caplog):
    caplog.set_level(logging.WARNING, "apimetry")
    rig = Rig(map(of, range(6)), fails={2, 3, 4, 5})
    assert await rig.run() == [(0.0, of(0)), (50.0, of(5))]
    assert rig.attempts == 6
    assert len([record for record in caplog.records if "did not reach the store" in record.getMessage()]) == 1


async def test_a_report_that_failed_is_written_at_the_next_look_though_nothing_changed():
    assert [at for at, _ in await Rig([of(1)] * 3, fails={1}).run()] == [10.0]


async def test_a_collector_reports_its_spool_and_what_became_of_events(tmp_path):
    async with collecting(tmp_path) as collector:
        await eventually(lambda: collector.store.collector_reports)
        (first,) = collector.store.collector_reports
    assert first["collector"] == (tmp_path / FILE).read_text().strip()
    assert {name: first[name] for name in ("received", "stored", "quarantined", "spool_bytes", "segments")} == {
        "received": 0,
        "stored": 0,
        "quarantined": 0,
        "spool_bytes": 0,
        "segments": 0,
    }
    assert (first["has_room"], first["oldest_segment_s"], first["reasons"]) == (1, 0.0, [])
    assert first["spool_limit_bytes"] == 4 * 2**30
    assert (first["quarantine_pieces"], first["quarantine_rows"], first["quarantine_reason"]) == (0, 0, "")
    assert first["spool_free_bytes"] > 0


async def test_a_report_has_what_is_in_the_quarantine(tmp_path):
    store = MemoryStore()
    store.poison = lambda row: row["url"] == "/poison"
    async with collecting(tmp_path, store) as collector:
        assert (await collector.post(json.dumps([event(url="/poison"), event()]))).status == 200
        await collector.drained()
    async with collecting(tmp_path, store):
        await eventually(lambda: store.collector_reports[-1]["quarantine_pieces"] == 1)
    assert store.collector_reports[-1]["quarantine_rows"] == 1
    assert store.collector_reports[-1]["quarantine_reason"] == "the store rejected it: poison"


def test_a_report_has_the_time_of_the_last_rejection_of_each_reason(tmp_path):
    times = iter((10.9, 20.2, 30.0))
    metrics = Metrics(CollectorRegistry(), clock_s=lambda: next(times))
    for rejected in ({"invalid": 1}, {"timestamp_expired": 2}, {"invalid": 3}):
        metrics.record_batch(Batch(rejected=Counter(rejected)), new=True)
    metrics.record_batch(Batch(rejected=Counter(timestamp_expired=1)), new=False)
    spool = Spool(Journal(SpoolSettings(directory=tmp_path), RealFiles(), clock_ns=time.time_ns))
    figures = figures_of(spool, metrics, time.time_ns())
    assert figures.rejected == {"invalid": 4, "timestamp_expired": 2}
    assert figures.rejected_at == {"invalid": 30, "timestamp_expired": 20}


async def test_free_room_alone_is_no_reason_for_a_report():
    figures = [replace(of(1), spool_free_bytes=number) for number in range(7)]
    assert [at for at, _ in await Rig(figures).run()] == [0.0, IDLE_INTERVAL_S]


async def test_what_waits_in_the_spool_is_received_again_by_the_next_process(tmp_path):
    store = MemoryStore()
    async with collecting(tmp_path, store, drain_timeout_s=0.1) as collector:
        store.away = True
        assert (await collector.post(json.dumps([event(), event()]))).status == 200
    store.away, store.hold = False, asyncio.Event()
    async with collecting(tmp_path, store) as collector:
        await eventually(lambda: len(store.collector_reports) == 2)
        report = store.collector_reports[1]
        assert (report["received"], report["stored"], report["segments"]) == (2, 0, 1)
        assert report["spool_bytes"] > 0
        assert report["oldest_segment_s"] >= 0
        store.hold.set()
        await collector.drained()
    assert len({report["collector"] for report in store.collector_reports}) == 1


def test_a_collectors_name_is_its_hosts_and_stays(tmp_path):
    name = name_in(tmp_path, RealFiles(), host="web-1.example")
    assert name.startswith("web-1.example-")
    assert name_in(tmp_path, RealFiles(), host="other") == name
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    (tmp_path / "other").mkdir()
    assert name_in(tmp_path / "other", RealFiles(), host="web-1.example") != name


@pytest.mark.parametrize(("host", "shown"), [("", "collector-"), ("a b/ü" * 40, "a-b-"), ("x" * 300, "x" * 57 + "-")])
def test_a_name_has_letters_digits_and_few_other_characters(tmp_path, host, shown):
    name = name_in(tmp_path, RealFiles(), host=host)
    assert name.startswith(shown)
    assert len(name) <= 64
    assert name_in(tmp_path, RealFiles(), host=host) == name


def test_a_name_that_cannot_be_read_is_made_anew(tmp_path):
    (tmp_path / FILE).write_bytes(b"\xff\x00 ' OR 1=1")
    name = name_in(tmp_path, RealFiles(), host="web")
    assert name.startswith("web-")
    assert name_in(tmp_path, RealFiles(), host="web") == name


def test_a_folder_that_takes_no_file_costs_the_name_and_nothing_else(tmp_path, caplog):
    assert name_in(tmp_path / "absent", RealFiles(), host="web").startswith("web-")
    assert "cannot be kept" in caplog.text
