"""An insert into an embedded store that the power cut off is undone, and its retry counts once."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apimetry.store.client import Store
from apimetry.store.embedded.intent import NAME, READING_S, Intents, encode_intent, fed_tables, read_intent, undo
from apimetry.store.embedded.repair import LOGS, parts_of
from apimetry.store.errors import StoreUnavailable
from tests.store.embedded.test_repair import with_store
from tests.store.test_events import add_rollup, counts
from tests.support.engine.power import cut_power
from tests.support.oracles.event_rows import encode_rows

ROOT = Path(__file__).parents[3]
ROWS = {token: encode_rows(100, consumer_id=token) for token in ("a", "b", "c")}


def directory_of(url: str) -> Path:
    return Path(url.removeprefix("chdb://"))


def tables_in(directory: Path) -> list[Path]:
    return [logs.parent for logs in directory.glob(f"store/*/*/{LOGS}")]


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("lost_lines", [0, 1])
def test_parts_without_their_tokens_are_removed_and_the_retry_counts_once(
    embedded_store_url: str, lost_lines: int, merged: bool
):
    directory = directory_of(embedded_store_url)
    intents: list[bytes] = []

    def insert(store: Store) -> None:
        add_rollup(store)
        for token in ("a", "b"):
            store.insert_rows(token, ROWS[token])
        intents.append(encode_intent(directory, tables_in(directory)))
        store.insert_rows("c", ROWS["c"])
        for table in ("events", "per_minute", "counters") if merged else ():
            store.command(f"OPTIMIZE TABLE {table} FINAL")

    def retry(store: Store) -> None:
        assert counts(store)[0] == counts(store)[2] == 200
        for token, body in ROWS.items():
            store.insert_rows(token, body)
        assert counts(store)[0] == counts(store)[2] == 300
        assert store.query("SELECT sum(requests) FROM counters") == [(300,)]

    with_store(embedded_store_url, insert)
    (directory / NAME).write_bytes(intents[0])
    for log in directory.glob(f"store/*/*/{LOGS}/*.txt"):
        lines = log.read_bytes().splitlines(keepends=True)
        log.write_bytes(b"".join(lines[: len(lines) - lost_lines]))
    with_store(embedded_store_url, retry)


CHILD = """
import sys
from apimetry.store import migrations
from apimetry.store.client import Store
from tests.store.test_events import add_rollup
from tests.support.oracles.event_rows import encode_rows
store = Store(sys.argv[1])
store.open()
migrations.migrate(store)
number = int(sys.argv[2])
if number == 0:
    add_rollup(store)
while True:
    store.insert_rows(str(number), encode_rows(10, timestamp=int(sys.argv[3]), consumer_id=str(number)))
    print(number, flush=True)
    number += 1
"""


def test_power_cuts_at_random_moments_lose_and_double_nothing(embedded_store_url: str):
    """A kill ends the process; what it has not synced is then lost in part. The segment under way comes again."""
    rng = random.Random(5)
    next_number, cut_off, at_us = 0, 0, time.time_ns() // 1000
    for _ in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, embedded_store_url, str(next_number), str(at_us)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        stored = rng.randint(1, 3)
        for _ in range(stored):
            next_number = int(child.stdout.readline()) + 1
        time.sleep(rng.uniform(0.0, 0.15))  # the moment is the test's choice
        child.kill()
        next_number += len(child.stdout.read().split())
        child.wait()
        child.stdout.close()
        cut_off += bool(read_intent(directory_of(embedded_store_url)))
        cut_power(directory_of(embedded_store_url), rng)

    def check(store: Store) -> None:
        rows, _, rolled_up = counts(store)
        ((distinct,),) = store.query("SELECT uniqExact(url, consumer_id) FROM events")
        assert (rows, distinct, rolled_up) == (10 * next_number,) * 3

    with_store(embedded_store_url, check)
    assert cut_off, "no insert was under way at any cut: the run proves nothing"


def test_every_table_that_an_insert_feeds_is_found_over_any_number_of_views():
    rows = [
        ("events", ["v1", "v2"], ["/e/"]),
        ("v1", [], ["/r/"]),
        ("routes", ["v3"], ["/r/"]),
        ("v2", [], ["/c/"]),
        ("counters", [], ["/c/"]),
        ("v3", [], ["/t/"]),
        ("totals", [], ["/t/"]),
        ("keys", [], ["/k/"]),
        ("front", [], []),
    ]
    assert sorted(map(str, fed_tables(rows, "events"))) == ["/c", "/e", "/r", "/t"]
    assert fed_tables(rows, "keys") == [Path("/k")]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    table = tmp_path / "store/abc/abcdef"
    (table / LOGS).mkdir(parents=True)
    (table / LOGS / "deduplication_log_1.txt").touch()
    return table


def add(table: Path, *parts: str) -> None:
    for part in parts:
        (table / part).mkdir()
        (table / part / "data.bin").touch()


def names(table: Path) -> set[str]:
    return {part.path.name for part in parts_of(table)}


def test_only_parts_above_the_intents_block_are_undone_and_once(tmp_path: Path, table: Path):
    add(table, "all_1_5_1", "all_7_7_0", "20260105_6_6_0_9")
    (tmp_path / NAME).write_bytes(encode_intent(tmp_path, [table]))
    add(table, "all_8_8_0", "20260105_9_9_0", "all_1_8_2", "tmp_insert_all_10_10_0", "all_8_8_0_11")
    assert undo(tmp_path) == 4
    assert names(table) == {"all_1_5_1", "all_7_7_0", "20260105_6_6_0_9"}
    add(table, "all_12_12_0")
    assert undo(tmp_path) == 0
    assert "all_12_12_0" in names(table)


def test_merged_part_whose_sources_are_gone_is_left_and_reported(
    tmp_path: Path, table: Path, caplog: pytest.LogCaptureFixture
):
    add(table, "all_1_5_1")
    (tmp_path / NAME).write_bytes(encode_intent(tmp_path, [table]))
    shutil.rmtree(table / "all_1_5_1")
    add(table, "all_1_8_2", "all_8_8_0")
    assert undo(tmp_path) == 0
    assert names(table) == {"all_1_8_2", "all_8_8_0"}
    assert "all_1_8_2 cannot be taken back" in caplog.text


@pytest.mark.parametrize("length", [0, 1, 20, -1])
def test_torn_intent_is_of_an_insert_that_had_not_begun(tmp_path: Path, table: Path, length: int):
    (tmp_path / NAME).write_bytes(encode_intent(tmp_path, [table])[:length])
    add(table, "all_1_1_0")
    assert undo(tmp_path) == 0
    assert names(table) == {"all_1_1_0"}


def test_intent_lasts_exactly_as_long_as_its_insert(tmp_path: Path, table: Path):
    intents = Intents(tmp_path)
    with intents.insert([table]):
        assert read_intent(tmp_path) == {table: 0}
    assert read_intent(tmp_path) == {}
    with pytest.raises(StoreUnavailable), intents.insert([table]):
        raise StoreUnavailable("the engine's answer")
    assert read_intent(tmp_path) == {}
    intents.close()


def test_failed_fsync_keeps_the_intent_and_refuses_inserts_until_a_restart(tmp_path: Path, table: Path):
    intents = Intents(tmp_path)
    with pytest.raises(StoreUnavailable, match="No such file"), intents.insert([table]):
        shutil.rmtree(table)
    table.mkdir(parents=True)
    with pytest.raises(StoreUnavailable, match="after a restart"), intents.insert([table]):
        pass
    assert read_intent(tmp_path) == {table: 0}
    intents.close()


def test_insert_that_cannot_be_noted_has_not_begun_and_may_be_tried_again(tmp_path: Path, table: Path):
    intents = Intents(tmp_path)
    moved = table.rename(tmp_path / "moved")
    with pytest.raises(StoreUnavailable, match="noted"), intents.insert([table]):
        pytest.fail("it began")
    moved.rename(table)
    with intents.insert([table]):
        assert read_intent(tmp_path) == {table: 0}
    intents.close()


@pytest.mark.parametrize("waits", ["reading", "delaying"])
def test_an_insert_waits_for_readers_and_a_reader_for_the_insert_under_way(tmp_path: Path, table: Path, waits: str):
    intents, order = Intents(tmp_path), []

    def insert():
        with intents.insert([table]):
            order.append("insert")
            reading = threads.submit(read_later)
            while not intents._readers:
                time.sleep(0.001)
            order.append("insert ends")
        reading.result()

    def read_later():
        with intents.reading():
            order.append("later reader")

    with ThreadPoolExecutor(2) as threads:
        with getattr(intents, waits)():
            inserting = threads.submit(insert)
            while not intents._lock.locked():
                time.sleep(0.001)
            order.append("reader")
        inserting.result()
    assert order == ["reader", "insert", "insert ends", "later reader"]
    intents.close()


def test_the_moment_lasts_until_an_insert_names_its_first_part_and_each_end_is_another_moment(
    tmp_path: Path, table: Path
):
    intents = Intents(tmp_path)
    add(table, "all_1_5_1", "all_7_7_0")
    before = intents.moment()
    with intents.insert([table]):
        add(table, "tmp_insert_all_8_8_0", "all_1_7_2")
        assert intents.moment() == before is not None
        add(table, "all_8_8_0")
        assert intents.moment() is None
    after = intents.moment()
    with pytest.raises(StoreUnavailable), intents.insert([table]):
        raise StoreUnavailable("the engine's answer")
    failed = intents.moment()
    with intents.hold():
        assert intents.moment() is None
    assert len({before, after, failed, intents.moment()}) == 4
    intents.close()


def test_an_insert_of_something_else_waits_for_no_reader_and_is_no_other_moment(tmp_path: Path, table: Path):
    intents = Intents(tmp_path)
    before = intents.moment()
    with intents.reading(), intents.insert([table], of_events=False):
        assert read_intent(tmp_path) == {table: 0}
        add(table, "all_1_1_0")
        assert intents.moment() == before
        with intents.reading():
            pass
    assert intents.moment() == before is not None
    assert read_intent(tmp_path) == {}
    intents.close()


SUMS = (
    "SELECT sum(sample_weight) FROM events",
    "SELECT sum(requests) FROM hourly_totals WHERE dimension = 'all'",
    "SELECT sum(requests) FROM hourly_consumers",
)


def test_what_is_read_at_one_moment_agrees_while_inserts_run(embedded_store: Store):
    calls = readings = 0

    def read() -> set[int]:
        nonlocal calls
        calls += 1
        return {total for sql in SUMS for ((total,),) in [embedded_store.query(sql)]}

    with ThreadPoolExecutor(1) as threads:
        inserting = threads.submit(
            lambda: [embedded_store.insert_rows(f"agreed {number}", encode_rows(10)) for number in range(20)]
        )
        while not inserting.done():
            readings += 1
            began_s = time.monotonic()
            totals = embedded_store.inserts.at_one_moment(read)
            assert len(totals) == 1 or time.monotonic() - began_s >= READING_S
    assert embedded_store.inserts.at_one_moment(read) == {200}
    assert calls > readings + 1, "no insert came between the queries of a reading: the run proves nothing"


def test_neither_an_insert_nor_a_reader_waits_for_the_other_for_long(tmp_path: Path, table: Path):
    intents = Intents(tmp_path)
    with intents.reading(), intents.insert([table]), intents.reading():
        assert read_intent(tmp_path) == {table: 0}
    with intents.hold(), intents.reading(), intents.reading():
        pass
    with intents.insert([table]):
        pass
    intents.close()


def test_inserts_wait_for_who_holds_them_and_are_refused_for_now(tmp_path: Path, table: Path):
    intents = Intents(tmp_path, patience_s=0.01)
    with intents.hold(), pytest.raises(StoreUnavailable, match="held"), intents.insert([table]):
        pass
    with intents.insert([table]):
        pass
    intents.close()
