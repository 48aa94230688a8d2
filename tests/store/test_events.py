"""Inserting: every column round-trips, and a token stores its rows once, whatever happens to the answers."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apimetry.store import migrations
from apimetry.store.client import Store
from apimetry.store.errors import StoreRejected, StoreUnavailable
from apimetry.store.events import INSERT_FILE_PREFIX, ROW_COLUMNS
from apimetry.store.native import decode_block, encode_block
from apimetry.store.senders import SENDER_COLUMNS
from tests.support.engine.clickhouse_server import ClickHouseServer
from tests.support.oracles.event_rows import encode_row, encode_rows, now_us

WEEK_US = 7 * 24 * 3600 * 1_000_000

# A rollup such as the query service's, to show that a retry counts nothing twice there either.
ROLLUP_TABLE = (
    "CREATE TABLE per_minute (application LowCardinality(String), minute DateTime('UTC'), requests UInt64)"
    " ENGINE = SummingMergeTree ORDER BY (application, minute)"
    " SETTINGS non_replicated_deduplication_window = 10000"
)
ROLLUP_VIEW = (
    "CREATE MATERIALIZED VIEW per_minute_view TO per_minute AS SELECT application,"
    " toStartOfMinute(toDateTime(timestamp, 'UTC')) AS minute, sum(sample_weight) AS requests"
    " FROM events GROUP BY application, minute"
)


def add_rollup(store: Store) -> None:
    store.command(ROLLUP_TABLE)
    store.command(ROLLUP_VIEW)


def counts(store: Store) -> tuple[int, int, int]:
    """Rows, distinct rows, and the rollup's sum."""
    ((rows, distinct),) = store.query("SELECT count(), uniqExact(url, timestamp) FROM events")
    ((rolled_up,),) = store.query("SELECT sum(requests) FROM per_minute")
    return rows, distinct, rolled_up


@pytest.mark.parametrize(("table", "columns"), [("events", ROW_COLUMNS), ("sender_reports", SENDER_COLUMNS)])
def test_columns_and_their_types_are_the_tables_in_order(store: Store, table: str, columns: Mapping[str, str]):
    table_columns = store.query(
        "SELECT name, type FROM system.columns WHERE database = {d:String} AND table = {t:String} ORDER BY position",
        {"d": store.database, "t": table},
    )
    # What a SimpleAggregateFunction(max, T) is given is a T.
    types = {
        name: re.sub(r"^SimpleAggregateFunction\(\w+, (.*)\)$", r"\1", type_name) for name, type_name in table_columns
    }
    assert list(types.items()) == list(columns.items())


def test_a_body_of_many_blocks_is_one_part_and_stores_once(store_url: str):
    rows = b"".join(encode_rows(3, consumer_id=str(number)) for number in range(300))
    for _ in range(2):  # the second time after a restart
        store = Store(store_url)
        store.open()
        migrations.migrate(store)
        if not store.query("EXISTS per_minute")[0][0]:
            add_rollup(store)
        for _ in range(2):
            store.insert_rows("t", memoryview(rows))
        parts = store.query("SELECT count(), uniqExact(_part), uniqExact(consumer_id) FROM events")
        ((rolled_up,),) = store.query("SELECT sum(requests) FROM per_minute")
        store.close()
        assert (parts, rolled_up) == ([(900, 1, 300)], 900)


def test_a_block_without_a_column_takes_the_tables_default(store: Store):
    columns = {column.name: column for column in decode_block(encode_row(sample_weight=5, version="1.0"))}
    del columns["sample_weight"], columns["version"]
    types = {name: column.type for name, column in columns.items()}
    store.insert_rows("t", encode_row() + encode_block(types, [column.values for column in columns.values()]))
    assert store.query("SELECT sample_weight, version FROM events") == [(1, ""), (1, "")]


def test_every_column_round_trips(store: Store):
    moment = datetime.now(timezone.utc).replace(microsecond=123_457)
    values: dict[str, object] = {
        "application": "a.b-c_9",
        "timestamp": round(moment.timestamp() * 1_000_000),
        "method": "PROPFIND",
        "url": "/ü/日本?x='\"\\\n\t\0\u202e{y:Int}",
        "route": "/ü/{name}",
        "function": "модуль.f",
        "status_code": 599,
        "response_us": 2**64 - 1,
        "ttfb_us": 0,
        "request_bytes": 2**63,
        "response_bytes": 2**64 - 1,
        "consumer_id": "\0",
        "error_type": "ValueError",
        "client_ip": "2001:db8::",
        "user_agent": "🦊" * 100,
        "sample_weight": 2**32 - 1,
        "data": {"": "", "k\0'": "v\n\\", "é": "🦊"},
        "source": "web-1",
        "version": "1.0+é",
        "retention_days": 3650,
        "user_agent_family": "🦊/",
    }
    store.insert_rows("t", encode_row(**values))
    ((*stored,),) = store.query(f"SELECT {', '.join(ROW_COLUMNS)} FROM events")
    assert dict(zip(ROW_COLUMNS, stored, strict=True)) == {**values, "timestamp": moment}


def test_absent_sizes_and_times_stay_absent(store: Store):
    store.insert_rows("t", encode_row(ttfb_us=None, request_bytes=None, response_bytes=0))
    assert store.query("SELECT ttfb_us, request_bytes, response_bytes FROM events") == [(None, None, 0)]


def test_any_text_round_trips(store: Store):
    inserted: list[str] = []

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1, max_size=30))
    def insert(texts: list[str]) -> None:
        rows = b"".join(encode_row(consumer_id=text, data={text: text}) for text in texts)
        store.insert_rows(f"t{len(inserted)}", rows)
        inserted.extend(texts)

    insert()
    assert sorted(store.query("SELECT consumer_id, data[consumer_id] FROM events")) == sorted(
        (text, text) for text in inserted
    )


def test_same_token_stores_once_in_events_and_rollup(store: Store):
    add_rollup(store)
    rows = encode_rows(1_000)
    for _ in range(4):
        store.insert_rows("segment-1", rows)
    store.insert_rows("segment-2", encode_rows(10, timestamp=now_us() - 1))
    assert counts(store) == (1_010, 1_010, 1_010)


def test_same_rows_under_two_tokens_are_two_segments(store: Store):
    rows = encode_rows(10)
    store.insert_rows("a", rows)
    store.insert_rows("b", rows)
    assert store.query("SELECT count() FROM events") == [(20,)]


def test_a_segment_over_many_partitions_stores_once(store: Store):
    add_rollup(store)
    now = now_us()
    rows = b"".join(
        encode_row(url=f"/{number}", timestamp=now - number * WEEK_US, retention_days=3650) for number in range(104)
    )
    for _ in range(2):
        store.insert_rows("t", rows)
    ((partitions,),) = store.query(
        "SELECT uniqExact(partition) FROM system.parts WHERE database = {d:String} AND table = 'events' AND active",
        {"d": store.database},
    )
    assert partitions > 100
    assert counts(store) == (104, 104, 104)


def test_a_segment_larger_than_the_engines_own_blocks_stores_once(embedded_store_url: str):
    size = 1_060_000  # the engine's default is 1,048,449 rows a block
    rows = encode_rows(10_000) * (size // 10_000)
    store = Store(embedded_store_url)
    store.open()
    try:
        migrations.migrate(store)
        add_rollup(store)
        for _ in range(2):
            store.insert_rows("t", rows)
        ((count,),) = store.query("SELECT count() FROM events")
        ((rolled_up,),) = store.query("SELECT sum(requests) FROM per_minute")
    finally:
        store.close()
    assert (count, rolled_up) == (size, size)


def test_a_token_is_remembered_after_reopening(store_url: str):
    rows = encode_rows(100)
    for _ in range(3):
        store = Store(store_url)
        store.open()
        migrations.migrate(store)
        store.insert_rows("t", rows)
        count = store.query("SELECT count() FROM events")
        store.close()
        assert count == [(100,)]


def test_lost_answers_change_no_count(server_store: Store, clickhouse_server: ClickHouseServer):
    add_rollup(server_store)
    for number in range(10):
        clickhouse_server.fault("reset_after_commit", statement="INSERT INTO events")
        rows = encode_rows(50, consumer_id=str(number))
        with pytest.raises(StoreUnavailable):
            server_store.insert_rows(f"t{number}", rows)
        server_store.insert_rows(f"t{number}", rows)
        server_store.insert_rows(f"t{number}", rows)
    assert clickhouse_server.seen()["fault reset_after_commit"] >= 10
    assert counts(server_store)[0] == counts(server_store)[2] == 500


def test_an_insert_is_sent_once_for_each_call(server_store: Store, clickhouse_server: ClickHouseServer):
    before = clickhouse_server.seen()["INSERT"]
    clickhouse_server.fault("reset_after_commit", count=1, statement="INSERT INTO events")
    with pytest.raises(StoreUnavailable):
        server_store.insert_rows("t", encode_rows(1))
    assert clickhouse_server.seen()["INSERT"] == before + 1


def test_an_insert_whose_answer_never_comes_is_given_up_and_repeatable(
    server_store: Store, clickhouse_server: ClickHouseServer
):
    rows = encode_rows(5)
    clickhouse_server.fault("hang", statement="INSERT INTO events")
    with pytest.raises(StoreUnavailable):
        server_store.insert_rows("t", rows)
    clickhouse_server.clear_faults()
    server_store.insert_rows("t", rows)
    assert server_store.query("SELECT count() FROM events") == [(5,)]


def test_a_killed_server_keeps_what_it_acknowledged_and_its_tokens(
    server_store: Store, clickhouse_server: ClickHouseServer
):
    add_rollup(server_store)
    rows = {f"t{number}": encode_rows(20, consumer_id=str(number)) for number in range(5)}
    for token, body in rows.items():
        server_store.insert_rows(token, body)
        clickhouse_server.kill()
        with pytest.raises(StoreUnavailable):
            server_store.insert_rows(token, body)
        clickhouse_server.restart()
        server_store.insert_rows(token, body)
    assert counts(server_store)[0] == counts(server_store)[2] == 100


def with_column(name: str, type_name: str, value: object) -> bytes:
    """A block of one row, one of whose columns is of another type, or is another."""
    columns = {column.name: (column.type, column.values) for column in decode_block(encode_row())}
    columns[name] = (type_name, [value])
    return encode_block(
        {name: type_name for name, (type_name, _) in columns.items()}, [values for _, values in columns.values()]
    )


@pytest.mark.parametrize(
    "body",
    [
        encode_row()[:-1],
        encode_row()[:40],
        encode_row().replace((1 << 9 | 1 << 10).to_bytes(8, "little"), b"\xff" * 8),
        with_column("status_code", "String", "200"),
        with_column("status_code", "UInt64", 2**16 + 200),
        with_column("status_code", "Nullable(UInt64)", None),
        with_column("timestamp", "UInt64", 1),
        with_column("data", "String", "{}"),
        with_column("later", "String", "of a newer version"),
    ],
    ids=range(9),
)
def test_faulty_bytes_are_rejected_and_nothing_of_them_is_stored(store: Store, body: bytes):
    with pytest.raises(StoreRejected) as caught:
        store.insert_rows("bad", encode_rows(3) + body)
    assert caught.value.code is not None
    assert store.query("SELECT count() FROM events") == [(0,)]
    store.insert_rows("good", encode_rows(3))
    assert store.query("SELECT count() FROM events") == [(3,)]


def test_an_insert_needs_a_token(store: Store):
    with pytest.raises(StoreRejected, match="token"):
        store.insert_rows("", encode_rows(1))


def test_expired_rows_are_not_kept(store: Store):
    old = now_us() - round(timedelta(days=40).total_seconds() * 1_000_000)
    store.insert_rows("t", encode_row(url="/old", timestamp=old, retention_days=30) + encode_row(url="/new"))
    assert store.query("SELECT url FROM events") == [("/new",)]


def test_queries_answer_while_inserts_run(store: Store):
    stop = threading.Event()
    errors: list[Exception] = []

    def insert() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                store.insert_rows(f"t{number}", encode_rows(500, consumer_id=str(number)))
            except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
                errors.append(error)
                return

    thread = threading.Thread(target=insert)
    thread.start()
    counted = [store.query("SELECT count() FROM events")[0][0] for _ in range(30)]
    stop.set()
    thread.join()
    assert not errors
    assert counted == sorted(counted)
    assert all(count % 500 == 0 for count in counted)


def test_files_of_a_killed_process_are_cleared_at_the_next_start(embedded_store_url: str):
    directory = Path(embedded_store_url.removeprefix("chdb://"))
    directory.mkdir()
    (directory / f"{INSERT_FILE_PREFIX}left").write_bytes(b"x")
    store = Store(embedded_store_url)
    store.open()
    files = list(directory.glob(f"{INSERT_FILE_PREFIX}*"))
    store.close()
    assert not files
