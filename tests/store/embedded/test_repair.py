"""A token is remembered only as long as its rows are there: a kill between the two loses and doubles nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from apimetry.store import migrations
from apimetry.store.client import Store
from apimetry.store.embedded.repair import forget_lost_blocks
from tests.store.test_events import add_rollup, counts
from tests.support.oracles.event_rows import encode_rows


def with_store(url: str, use: Callable[[Store], object]) -> None:
    store = Store(url)
    store.open()
    try:
        migrations.migrate(store)
        use(store)
    finally:
        store.close()


def remove_newest_part(store: Store, table: str) -> Callable[[], None]:
    """What a kill between the log's line and the part's rename leaves: the line alone."""
    ((path,),) = store.query(
        "SELECT argMax(path, max_block_number) FROM system.parts WHERE database = {d:String} AND table = {t:String}"
        " AND active",
        {"d": store.database, "t": table},
    )
    return lambda: shutil.rmtree(path)


@pytest.mark.parametrize("tables", [["events"], ["per_minute"], ["events", "per_minute"]])
def test_a_block_killed_before_its_part_was_in_place_is_stored_by_the_retry(
    embedded_store_url: str, tables: list[str]
):
    rows = {token: encode_rows(100, consumer_id=token) for token in ("a", "b", "c")}
    kill: list[Callable[[], None]] = []

    def insert(store: Store) -> None:
        add_rollup(store)
        for table in ("events", "per_minute"):
            store.command(f"SYSTEM STOP MERGES {table}")
        for token, body in rows.items():
            store.insert_rows(token, body)
        kill.extend(remove_newest_part(store, table) for table in tables)

    def retry(store: Store) -> None:
        for token, body in rows.items():
            store.insert_rows(token, body)
        assert counts(store)[0] == counts(store)[2] == 300

    with_store(embedded_store_url, insert)
    for remove in kill:
        remove()
    for _ in range(2):
        with_store(embedded_store_url, retry)


def test_merged_parts_keep_their_tokens(embedded_store_url: str):
    rows = {str(number): encode_rows(10, consumer_id=str(number)) for number in range(10)}

    def insert(store: Store) -> None:
        for token, body in rows.items():
            store.insert_rows(token, body)
        store.command("OPTIMIZE TABLE events FINAL")
        assert store.query("SELECT count() FROM events") == [(100,)]

    for _ in range(2):
        with_store(embedded_store_url, insert)
        assert forget_lost_blocks(Path(embedded_store_url.removeprefix("chdb://"))) == 0


def make_table(directory: Path, log: str, parts: list[str]) -> Path:
    logs = directory / "store/abc/abcdef/deduplication_logs"
    logs.mkdir(parents=True)
    (logs / "deduplication_log_1.txt").write_text(log)
    for part in parts:
        (logs.parent / part).mkdir()
    return logs / "deduplication_log_1.txt"


@pytest.mark.parametrize(
    ("log", "parts", "dropped"),
    [
        ("", [], ""),
        ("1\tall_1_1_0\tb1\n", ["all_1_1_0"], ""),
        ("1\tall_1_1_0\tb1\n", ["all_1_5_2"], ""),
        ("1\tall_3_3_0\tb1\n", ["all_1_5_2_9"], ""),
        ("1\tall_1_1_0\tb1\n", ["all_2_5_1"], "2\tall_1_1_0\tb1\n"),
        ("1\t20260105_1_1_0\tb1\n", ["20260112_1_1_0"], "2\t20260105_1_1_0\tb1\n"),
        ("1\tall_1_1_0\tb1\n", ["tmp_insert_all_1_1_0"], "2\tall_1_1_0\tb1\n"),
        ("1\tall_1_1_0\tb1\n2\tall_1_1_0\tb1\n", [], ""),
        ("1\tall_1_1_0\tb1\n2\tall_1_1_0\tb1\n1\tall_2_2_0\tb1\n", [], "2\tall_2_2_0\tb1\n"),
    ],
)
def test_only_tokens_without_rows_are_taken_back(tmp_path: Path, log: str, parts: list[str], dropped: str):
    file = make_table(tmp_path, log, parts)
    assert forget_lost_blocks(tmp_path) == bool(dropped)
    assert file.read_text() == log + dropped
    assert forget_lost_blocks(tmp_path) == 0


def test_a_torn_line_is_removed(tmp_path: Path):
    file = make_table(tmp_path, "1\tall_1_1_0\tb1\n1\tall_2_2", ["all_1_1_0", "all_2_2_0"])
    assert forget_lost_blocks(tmp_path) == 0
    assert file.read_text() == "1\tall_1_1_0\tb1\n"


def test_a_power_cut_that_takes_the_logs_tail_loses_no_rows(embedded_store_url: str):
    """Parts are fsync'd with their directories before an insert is answered; the log of their tokens is not."""
    directory = Path(embedded_store_url.removeprefix("chdb://"))
    rows = {token: encode_rows(100, consumer_id=token) for token in ("a", "b")}

    def insert(store: Store) -> None:
        add_rollup(store)
        for token, body in rows.items():
            store.insert_rows(token, body)

    def check(store: Store) -> None:
        store.insert_rows("a", rows["a"])
        assert counts(store)[0] == counts(store)[2] == 200
        store.insert_rows("c", rows["a"])
        assert counts(store)[0] == counts(store)[2] == 300

    with_store(embedded_store_url, insert)
    for log in directory.glob("store/*/*/deduplication_logs/deduplication_log_*.txt"):
        lines = log.read_bytes().splitlines(keepends=True)
        log.write_bytes(b"".join(lines[:-1]))
    with_store(embedded_store_url, check)
