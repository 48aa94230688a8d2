"""Rollups count what the events count: exactly once, nulls and weights included."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from apimetry.store import migrations
from apimetry.store.client import Store
from apimetry.store.errors import SchemaError, StoreUnavailable
from apimetry.store.layout import Layout
from apimetry.store.pausing import pause_inserts
from apimetry.store.rollup_filling import fill_statements
from apimetry.store.rollups import MINUTES_SINCE_SQL, SINCE_SQL, TABLES
from tests.store.embedded.test_repair import remove_newest_part, with_store
from tests.support.engine.clickhouse_server import ClickHouseServer
from tests.support.oracles.event_rows import encode_row, encode_rows, now_us
from tests.support.oracles.query_events import insert_events, random_events

ROLLUPS = TABLES
HOUR_US = 3_600_000_000
DAYS = "0014_days"
EVENT_TABLES = ("events", *ROLLUPS)


def requests(store: Store) -> dict[str, int]:
    """Requests by table; the totals' are those of the whole application."""
    counted = {"events": store.query("SELECT sum(sample_weight) FROM events")[0][0]}
    for name in ROLLUPS:
        where = "WHERE dimension = 'all'" if name.endswith("totals") else ""
        ((counted[name],),) = store.query(f"SELECT sum(requests) FROM {name} {where}")
    return counted


def assert_all_count(store: Store, expected: int, *, recent: int | None = None) -> None:
    """Assert that all tables have the `expected` requests; that of minutes has the `recent` ones."""
    minutes = {"minute_totals": expected if recent is None else recent}
    assert requests(store) == dict.fromkeys(("events", *ROLLUPS), expected) | minutes


def first_kept_us(store: Store) -> int:
    """Return the first microsecond of the days that have rows per minute."""
    ((first_s,),) = store.query("SELECT toUnixTimestamp(toStartOfDay(now('UTC')) - toIntervalDay(3))")
    return int(first_s) * 1_000_000


def test_a_token_counts_once_in_every_rollup(store: Store):
    rows = encode_rows(1_000, sample_weight=3)
    for _ in range(4):
        store.insert_rows("segment-1", rows)
    store.insert_rows("segment-2", encode_rows(10, timestamp=now_us() - 8 * 24 * HOUR_US))
    assert_all_count(store, 3_010, recent=3_000)


def test_a_token_of_many_groups_and_weeks_counts_once_and_fills_a_rollup_that_lacks_it(store: Store):
    now_s = now_us() // 1_000_000
    events = random_events(3, 600, now_s - 30 * 86_400, now_s)
    insert_events(store, events, token="segment")
    expected = sum(event.sample_weight for event in events)
    recent = sum(event.sample_weight for event in events if event.timestamp >= first_kept_us(store))
    assert 0 < recent < expected
    assert_all_count(store, expected, recent=recent)
    for table in ROLLUPS:
        # Its rows and their tokens are gone, as if a kill had come before its parts.
        store.command(f"TRUNCATE TABLE {table}")
        insert_events(store, events, token="segment")
        assert_all_count(store, expected, recent=recent)
    insert_events(store, events, token="segment")
    assert_all_count(store, expected, recent=recent)


def test_what_fills_rollups_counts_as_the_views_of_the_migrations_do(store: Store):
    def rows(table: str) -> list[tuple[object, ...]]:
        return sorted(store.query(f"SELECT * FROM {table} FINAL"), key=repr)

    now_s = now_us() // 1_000_000
    insert_events(store, random_events(7, 300, now_s - 3 * 86_400, now_s))
    counted = {table: rows(table) for table in ROLLUPS}
    for table in ROLLUPS:
        store.command(f"TRUNCATE TABLE {table}")
    for statement in fill_statements(store.database, "1").values():
        store.command(statement)
    for table in ROLLUPS:
        assert rows(table) == counted[table], table


def test_lost_answers_count_once_in_every_rollup(server_store: Store, clickhouse_server: ClickHouseServer):
    for number in range(6):
        clickhouse_server.fault("reset_after_commit", statement="INSERT INTO events")
        rows = encode_rows(50, consumer_id=str(number))
        with pytest.raises(StoreUnavailable):
            server_store.insert_rows(f"t{number}", rows)
        server_store.insert_rows(f"t{number}", rows)
    assert_all_count(server_store, 300)


@pytest.mark.parametrize("table", ROLLUPS)
def test_a_rollup_killed_before_its_part_was_in_place_is_mended_by_the_retry(embedded_store_url: str, table: str):
    rows = {token: encode_rows(20, consumer_id=token) for token in ("a", "b")}
    kill: list[Callable[[], None]] = []

    def insert(store: Store) -> None:
        for name in ("events", *ROLLUPS):
            store.command(f"SYSTEM STOP MERGES {name}")
        for token, body in rows.items():
            store.insert_rows(token, body)
        kill.append(remove_newest_part(store, table))

    def retry(store: Store) -> None:
        for token, body in rows.items():
            store.insert_rows(token, body)
        assert_all_count(store, 40)

    with_store(embedded_store_url, insert)
    kill[0]()
    with_store(embedded_store_url, retry)


def test_an_hour_has_exact_sums_and_leaves_nulls_out(store: Store):
    hour = now_us() // HOUR_US * HOUR_US
    store.insert_rows(
        "t",
        encode_row(timestamp=hour, response_us=10, ttfb_us=None, response_bytes=5, sample_weight=2)
        + encode_row(timestamp=hour + 61_000_000, response_us=2**63, ttfb_us=7, response_bytes=0, sample_weight=3)
        + encode_row(timestamp=hour + HOUR_US - 1, response_us=0, ttfb_us=9, response_bytes=None),
    )
    value = "{0}_weight, {0}_sum, {0}_min, {0}_max, {0}_buckets"
    for dimension in ("all", "method", "route"):
        ((stored, *measures),) = store.query(
            f"SELECT (toUnixTimestamp(time), requests, minutes, retention_days), {value.format('response_us')},"
            f" {value.format('ttfb_us')}, {value.format('request_bytes')}, {value.format('response_bytes')}"
            f" FROM hourly_totals FINAL WHERE dimension = '{dimension}'"
        )
        assert stored == (hour // 1_000_000, 6, {0: 2, 1: 3, 59: 1}, 90)
        assert measures[:5] == [6, (20 + 3 * 2**63) % 2**64, 0, 2**63, {0: 1, 62: 2, 720: 3}]
        assert measures[5:10] == [4, 30, 7, 9, {54: 3, 59: 1}]
        assert measures[10:15] == [0, 0, 2**64 - 1, 0, {}]
        assert measures[15:] == [5, 10, 0, 5, {0: 3, 46: 2}]


def test_a_minute_has_the_sums_of_its_events_by_each_dimension(store: Store):
    minute = first_kept_us(store)
    store.insert_rows(
        "t",
        encode_row(timestamp=minute, response_us=10, sample_weight=2)
        + encode_row(timestamp=minute + 59_999_999, response_us=2**63, sample_weight=2**32 - 1, status_code=500)
        + encode_row(timestamp=minute + 1, response_us=10, sample_weight=2**32 - 1)
        + encode_row(timestamp=minute + 2, response_us=None)
        + encode_row(timestamp=minute + 60_000_000, response_us=None)
        # Of a day without rows per minute.
        + encode_row(timestamp=minute - 1),
    )
    sql = """SELECT toUnixTimestamp(time), requests, errors, response_us_weight, response_us_sum, response_us_min,
    response_us_max, response_us_buckets FROM minute_totals FINAL WHERE dimension = {dimension:String} ORDER BY ALL"""
    most, time_s = 2**32 - 1, minute // 1_000_000
    total = (10 * (most + 2) + 2**63 * most) % 2**64
    nothing = (time_s + 60, 1, 0, 0, 0, 2**64 - 1, 0, {})
    for dimension in ("all", "method", "route"):
        assert store.query(sql, {"dimension": dimension}) == [
            (time_s, 2 * most + 3, most, 2 * most + 2, total, 10, 2**63, {62: most + 2, 720: most}),
            nothing,
        ]
    assert store.query(sql, {"dimension": "status_code"}) == [
        (time_s, most, most, most, 2**63 * most % 2**64, 2**63, 2**63, {720: most}),
        (time_s, most + 3, 0, most + 2, 10 * (most + 2), 10, 10, {62: most + 2}),
        nothing,
    ]


def test_minutes_leave_with_a_short_retention_as_hours_do(store: Store):
    old = now_us() - 3 * 24 * HOUR_US
    store.insert_rows("t", encode_row(timestamp=old, retention_days=1) + encode_row(retention_days=1))
    for name in ("hourly_totals", "minute_totals"):
        store.command(f"OPTIMIZE TABLE {name} FINAL")
        assert requests(store)[name] == 1


def test_expired_hours_go_with_their_events(store: Store):
    old = now_us() - 40 * 24 * HOUR_US
    store.insert_rows(
        "t", encode_row(timestamp=old, retention_days=30) + encode_row(timestamp=old, retention_days=60)
    )
    for name in ROLLUPS:
        store.command(f"OPTIMIZE TABLE {name} FINAL")
    # One hour, kept for the longer of the two.
    assert requests(store)["hourly_routes"] == requests(store)["daily_routes"] == 2
    store.insert_rows("u", encode_row(timestamp=old - 24 * HOUR_US, retention_days=30))
    for name in ROLLUPS:
        store.command(f"OPTIMIZE TABLE {name} FINAL")
        assert requests(store)[name] == (0 if name == "minute_totals" else 2)


def test_a_pause_that_was_left_is_refused_and_lifted_by_migrating(store: Store):
    pause_inserts(store, Layout(store.database))
    with pytest.raises(StoreUnavailable):
        store.insert_rows("t", encode_rows(1))
    with pytest.raises(SchemaError, match="run `apimetry migrate`"):
        migrations.check(store)
    migrations.migrate(store)
    migrations.check(store)
    store.insert_rows("t", encode_rows(1))
    assert_all_count(store, 1)


def test_days_of_a_new_store_are_whole_from_the_beginning(store: Store):
    assert store.query(SINCE_SQL) == store.query(MINUTES_SINCE_SQL) == [(0,)]


def test_days_of_an_upgraded_store_are_whole_from_a_day_on_that_no_former_insert_reaches(store_url: str):
    store = Store(store_url)
    store.open()
    try:
        former = [migration for migration in migrations.migrations(Layout(store.database)) if migration.name < DAYS]
        for statement in (statement for migration in former for statement in migration.statements):
            store.command(statement)
        segments = {
            "old": encode_rows(7, timestamp=now_us() - 100 * HOUR_US),
            "ahead": encode_rows(5, timestamp=now_us() + 24 * HOUR_US),
        }
        for token, rows in segments.items():
            store.insert_rows(token, rows)
        for _ in range(2):
            migrations.migrate(store)
        ((since,),) = store.query(SINCE_SQL)
        assert store.query(MINUTES_SINCE_SQL) == [(since,)]
        for token, rows in segments.items():
            store.insert_rows(token, rows)
        store.insert_rows("late", encode_rows(3, timestamp=now_us() - 100 * HOUR_US))
        store.insert_rows("new", encode_rows(2, timestamp=since * 1_000_000))
        for table in TABLES:
            # Three rows of dimensions beside the one of all.
            where = "WHERE dimension = 'all'" if table.endswith("totals") else ""
            ((before, after),) = store.query(
                f"SELECT sumIf(requests, time < {since}), sumIf(requests, time >= {since}) FROM {table} {where}"
            )
            assert after == 2, table
            # 100 hours ago there are no rows per minute.
            assert before == (5 if table == "minute_totals" else 15) or table.startswith("daily"), table
    finally:
        store.close()


def test_on_a_cluster_views_feed_the_nodes_own_rollups_and_the_pause_reaches_every_node():
    layout = Layout("d", cluster="c")
    fed = []
    for migration in migrations.migrations(layout):
        if migration.name in ("0003_rollups", "0014_days", "0017_minutes"):
            views = [text for text in migration.statements if text.startswith("CREATE MATERIALIZED VIEW")]
            fed += [(re.search(r" TO (\S+)", view)[1], re.search(r"FROM (d\.\S+)", view)[1]) for view in views]
    assert fed == [
        ("d.hourly_routes_local", "d.hourly_origins_local"),
        ("d.hourly_totals_local", "d.events_local"),
        ("d.hourly_origins_local", "d.events_local"),
        ("d.hourly_consumers_local", "d.events_local"),
        ("d.daily_totals_local", "d.hourly_totals_local"),
        ("d.daily_routes_local", "d.hourly_routes_local"),
        ("d.daily_consumers_local", "d.hourly_consumers_local"),
        ("d.minute_totals_local", "d.events_local"),
    ]
    assert layout.alter_stored("events", "X") == "ALTER TABLE d.events_local ON CLUSTER 'c' X"


def parts_by_rollup(store: Store) -> dict[str, list[Path]]:
    """Return the parts of every rollup."""
    rows = store.query(
        "SELECT table, groupArray(path) FROM system.parts"
        " WHERE active AND database = {d:String} AND table IN {t:Array(String)} GROUP BY table",
        {"d": store.database, "t": list(ROLLUPS)},
    )
    return {table: [Path(path) for path in paths] for table, paths in rows}


def test_the_parts_of_rollups_become_one_when_they_are_a_day_old(embedded_store_url: str):
    now_s = now_us() // 1_000_000
    hour_s, day_ago_s = now_s // 3600 * 3600, now_s - 90_000
    parts: dict[str, list[Path]] = {}

    def insert(store: Store) -> None:
        for table in ROLLUPS:
            store.command(f"SYSTEM STOP MERGES {table}")
        # Of a large part and a small one the engine makes one only when it has to.
        for number, count in enumerate((2_000, 1)):
            events = random_events(number, count, hour_s - 3600, hour_s)
            named = [replace(event, consumer_id=f"{number}-{place}") for place, event in enumerate(events)]
            insert_events(store, named, token=str(number))
        parts.update(parts_by_rollup(store))

    def wait(store: Store) -> None:
        deadline = time.monotonic() + 60
        while any(len(of_table) > 1 for of_table in parts_by_rollup(store).values()):
            assert time.monotonic() < deadline, parts_by_rollup(store)
            time.sleep(0.1)

    with_store(embedded_store_url, insert)
    assert parts.keys() == {*ROLLUPS}
    assert len(parts["hourly_consumers"]) > 1
    for part in itertools.chain.from_iterable(parts.values()):
        for path in (part, *part.iterdir()):
            os.utime(path, (day_ago_s, day_ago_s))
    with_store(embedded_store_url, wait)
