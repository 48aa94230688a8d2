"""Response times may be unknown: what the schema before had stays as it was, and a null is in no measure."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Sequence

import pytest

from apimetry.store import migrations
from apimetry.store.client import Store
from apimetry.store.erasure import repair_rollups
from apimetry.store.events import EVENTS, ROW_COLUMNS
from apimetry.store.layout import Layout
from apimetry.store.migrations.m0008_unknown_times import statements
from apimetry.store.native import decode_block, encode_block, with_nullable_types
from apimetry.store.rollups import TABLES
from tests.support.oracles.event_rows import encode_row, encode_rows, now_us

NAME = "0008_unknown_times"
# An upgraded store has no former days.
HOURLY = tuple(table for table in TABLES if table.startswith("hourly"))
HOUR_US = 3_600_000_000
TIMES = "sum(response_us_weight), sum(response_us_sum), min(response_us_min), max(response_us_max)"

# Migrates, and kills its own process before the statement with the given number of the migration.
DIE_BEFORE = """
import os, signal, sys
from apimetry.store import migrations
from apimetry.store.client import Store
from apimetry.store.layout import Layout
from apimetry.store.migrations.m0008_unknown_times import statements

class Mortal(Store):
    def command(self, sql, parameters=None, *, settings=None):
        if sql == statements(Layout(self.database))[int(sys.argv[2])]:
            os.kill(os.getpid(), signal.SIGKILL)
        super().command(sql, parameters, settings=settings)

store = Mortal(sys.argv[1])
store.open()
migrations.migrate(store)
"""


def former(block: bytes) -> bytes:
    """The block as the version before wrote it, which named no user agents."""
    columns = [column for column in decode_block(block) if column.name != "user_agent_family"]
    types = {column.name: column.type for column in columns}
    return encode_block({**types, "response_us": "UInt64"}, [column.values for column in columns])


class FormerStore(Store):
    """A store as the version before had it, which kept no log of changes."""

    def insert_rows(self, token: str, body: bytes | memoryview) -> None:
        self.insert_blocks(EVENTS, token, body)


def fill_schema_before(url: str, segments: dict[str, bytes]) -> None:
    """A store of the version before, with segments in it."""
    store = FormerStore(url)
    store.open()
    with contextlib.closing(store):
        for migration in migrations.migrations(Layout(store.database)):
            if migration.name < NAME:
                for statement in migration.statements:
                    store.command(statement)
        for token, body in segments.items():
            store.insert_rows(token, body)


def times(store: Store, tables: Sequence[str] = HOURLY) -> dict[str, Sequence[object]]:
    """What each rollup says of response times; the totals, of the whole application."""
    return {
        table: store.query(
            f"SELECT {TIMES} FROM {table}" + (" WHERE dimension = 'all'" if table.endswith("totals") else "")
        )[0]
        for table in tables
    }


@pytest.fixture
def segments() -> dict[str, bytes]:
    """Two segments of the version before: 30 requests of 30 ms, and 14 of 1 ms in the hour before."""
    earlier = {"timestamp": now_us() - HOUR_US, "sample_weight": 7, "response_us": 1_000}
    return {
        "a": former(encode_rows(30, response_us=30_000, consumer_id="acme")),
        "b": former(encode_rows(2, consumer_id="zen", **earlier)),
    }


STORED = (44, 30 * 30_000 + 14_000, 1_000, 30_000)


def assert_upgraded(store: Store, segments: dict[str, bytes]) -> None:
    """The former events count as they did, those whose outcome was unknown once, and nulls as requests alone."""
    migrations.migrate(store)
    migrations.check(store)
    assert times(store) == dict.fromkeys(HOURLY, STORED)
    for token, body in segments.items():
        store.insert_rows(token, with_nullable_types(body, ROW_COLUMNS))
    assert times(store) == dict.fromkeys(HOURLY, STORED)
    for _ in range(2):
        store.insert_rows("c", encode_rows(5, response_us=None, consumer_id="acme", sample_weight=2))
    assert times(store) == dict.fromkeys(HOURLY, STORED)
    assert store.query("SELECT sum(requests), sum(response_us_untimed) FROM hourly_consumers") == [(54, 10)]
    for table in HOURLY:
        store.command(f"OPTIMIZE TABLE {table} FINAL")
    assert times(store) == dict.fromkeys(HOURLY, STORED)
    times_stored = store.query("SELECT response_us, count() FROM events GROUP BY response_us ORDER BY response_us")
    assert times_stored == [(1_000, 2), (30_000, 30), (None, 5)]


def test_events_of_the_schema_before_keep_their_times_and_their_tokens(store_url: str, segments: dict[str, bytes]):
    fill_schema_before(store_url, segments)
    store = Store(store_url)
    store.open()
    try:
        assert_upgraded(store, segments)
    finally:
        store.close()


@pytest.mark.parametrize("number", range(len(statements(Layout("apimetry")))))
def test_an_upgrade_killed_before_any_statement_is_finished_by_the_next_start(
    embedded_store_url: str, segments: dict[str, bytes], number: int
):
    fill_schema_before(embedded_store_url, segments)
    done = subprocess.run(
        [sys.executable, "-c", DIE_BEFORE, embedded_store_url, str(number)], capture_output=True, check=False
    )
    assert done.returncode == -9
    store = Store(embedded_store_url)
    store.open()
    try:
        assert_upgraded(store, segments)
    finally:
        store.close()


def test_tokens_are_known_to_every_rollup_after_an_upgrade_and_a_restart(
    embedded_store_url: str, segments: dict[str, bytes]
):
    fill_schema_before(embedded_store_url, segments)
    for _ in range(3):
        store = Store(embedded_store_url)
        store.open()
        migrations.migrate(store)
        for token, body in segments.items():
            store.insert_rows(token, with_nullable_types(body, ROW_COLUMNS))
        store.insert_rows("c", encode_row(response_us=None, timestamp=now_us() // HOUR_US * HOUR_US))
        stored_times, requests = times(store), store.query("SELECT sum(requests) FROM hourly_consumers")
        store.close()
        assert stored_times == dict.fromkeys(HOURLY, STORED)
        assert requests == [(45,)]


def test_rollups_that_are_made_again_leave_nulls_out(store: Store):
    hour = now_us() // HOUR_US * HOUR_US
    store.insert_rows(
        "t", encode_rows(3, timestamp=hour, response_us=None) + encode_rows(2, timestamp=hour, response_us=9)
    )
    expected = times(store, TABLES)
    assert expected == dict.fromkeys(TABLES, (2, 18, 9, 9))
    for table in TABLES:
        store.command(f"TRUNCATE TABLE {table}")
    repair_rollups(store, "shop", (0, hour // 1_000_000 + 3600), lambda _: None)
    assert times(store, TABLES) == expected


def test_a_block_takes_only_the_nulls_that_its_table_takes():
    block = former(encode_rows(3, response_us=7))
    types = {column.name: column.type for column in decode_block(with_nullable_types(block, ROW_COLUMNS))}
    assert types == {name: ROW_COLUMNS[name] for name in types}
    assert "response_us" in types
    today = encode_rows(3, response_us=None)
    assert with_nullable_types(today, ROW_COLUMNS) == today
    assert with_nullable_types(block, {**ROW_COLUMNS, "response_us": "Nullable(UInt32)"}) == block
