"""The store's door: opening, owning, querying within limits, and errors that say what they mean."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import pytest

from apimetry.store.address import parse_address
from apimetry.store.client import Store
from apimetry.store.connections import CONNECT_TIMEOUT_S, http_client, sending_patiently
from apimetry.store.errors import (
    QueryLimitExceeded,
    StoreLocked,
    StoreRejected,
    StoreUnavailable,
    is_transient,
)
from apimetry.store.limits import QUERY_LIMITS, query_settings, statement_settings
from apimetry.store.statement import Statement
from tests.support.engine.clickhouse_server import ClickHouseServer

HOLD = """
import sys
from apimetry.store.client import Store
from apimetry.store import migrations
store = Store(sys.argv[1])
store.open()
migrations.migrate(store)
print("open", flush=True)
sys.stdin.read()
"""


class Holder:
    """Another process that has the embedded store open."""

    def __init__(self, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"open\n"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


def test_construction_connects_nothing():
    store = Store("clickhouse://nobody@127.0.0.1:1/db")
    with pytest.raises(StoreUnavailable, match="not available yet"):
        store.query("SELECT 1")
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.query("SELECT 1")


def test_a_server_that_is_away_is_unavailable():
    store = Store("clickhouse://127.0.0.1:1/db")
    with pytest.raises(StoreUnavailable) as caught:
        store.open()
    assert is_transient(caught.value)
    store.close()


def test_opening_creates_the_database_and_can_be_repeated(store_url: str):
    for _ in range(2):
        store = Store(store_url)
        store.open()
        store.open()
        rows = store.query("SELECT currentDatabase()")
        store.close()
        store.close()
        assert rows == [(store.database,)]


def test_a_store_opens_again_after_close(store_url: str):
    store = Store(store_url)
    for _ in range(2):
        store.open()
        assert store.query("SELECT 1") == [(1,)]
        store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.query("SELECT 1")


def test_the_data_directory_is_private(embedded_store_url: str):
    store = Store(embedded_store_url)
    store.open()
    directory = Path(embedded_store_url.removeprefix("chdb://"))
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (directory, directory / "apimetry.lock")]
    store.close()
    assert modes == [0o700, 0o600]


def test_a_second_process_is_refused_by_the_first_ones_pid(embedded_store_url: str):
    holder = Holder(embedded_store_url)
    try:
        with pytest.raises(StoreLocked, match=rf"pid {holder.process.pid}\b") as caught:
            Store(embedded_store_url).open()
        assert not is_transient(caught.value)
    finally:
        holder.kill()


def test_a_kill_leaves_no_stale_lock(embedded_store_url: str):
    holder = Holder(embedded_store_url)
    holder.kill()
    store = Store(embedded_store_url)
    store.open()
    tables = store.query("SELECT count() FROM system.tables WHERE database = 'apimetry' AND name = 'events'")
    store.close()
    assert tables == [(1,)]


def test_a_second_store_in_the_same_process_is_refused(embedded_store_url: str, tmp_path: Path):
    store = Store(embedded_store_url)
    store.open()
    for url in (embedded_store_url, f"chdb://{tmp_path}/other"):
        with pytest.raises(StoreLocked):
            Store(url).open()
    answer = store.query("SELECT 1")
    store.close()
    assert answer == [(1,)]


def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        Store(f"chdb://{tmp_path}/file/store").open()


HOSTILE = [
    "'; DROP TABLE events; --",
    '"',
    "\\",
    "\\'",
    "{x:Int32}",
    "/* */ -- #",
    "\0",
    "a\0b",
    "\n\t\r\b",
    "\\N",
    "NULL",
    "é日本🦊\u202e",
    "%s %(x)s {} $1 ?",
    "x" * 20_000,
    "",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_values_come_back_as_they_were(store: Store, text: str):
    assert store.query("SELECT {x:String}", {"x": text}) == [(text,)]
    assert store.query("SELECT {x:Array(String)}", {"x": [text, "b"]}) == [([text, "b"],)]
    assert store.query("SELECT {y:String} = {x:String}", {"x": text, "y": text}) == [(1,)]


def test_values_of_every_kind_are_bound(store: Store):
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc)
    values = {"t": moment, "n": None, "i": -(2**63), "u": 2**64 - 1, "f": 0.5, "a": [1, 2]}
    rows = store.query(
        "SELECT {t:DateTime64(6, 'UTC')}, {n:Nullable(String)}, {i:Int64}, {u:UInt64}, {f:Float64}, {a:Array(UInt8)}",
        values,
    )
    assert rows == [(moment, None, -(2**63), 2**64 - 1, 0.5, [1, 2])]


@pytest.mark.parametrize("value", ["x", "1 OR 1", "1; DROP TABLE events", "", "1\0"])
def test_a_value_of_the_wrong_type_is_rejected(store: Store, value: str):
    with pytest.raises(StoreRejected):
        store.query("SELECT {x:UInt8}", {"x": value})


def test_lone_surrogates_are_rejected(store: Store):
    with pytest.raises(StoreRejected):
        store.query("SELECT {x:String}", {"x": "\ud800"})


@pytest.mark.parametrize(
    "sql",
    ["SELEC", "SELECT nosuch", "SELECT * FROM nosuch", "SELECT {x:String}", "SELECT 'secret"],
)
def test_a_faulty_statement_is_rejected_without_its_text(store: Store, sql: str):
    with pytest.raises(StoreRejected) as caught:
        store.query(sql)
    assert "secret" not in str(caught.value)
    assert "SELECT" not in str(caught.value)
    assert not is_transient(caught.value)


@pytest.mark.parametrize(
    ("sql", "limit"),
    [
        ("SELECT sleepEachRow(0.5) FROM numbers(5)", {"max_execution_time": 1}),
        ("SELECT number FROM numbers(1000)", {"max_result_rows": 10}),
        ("SELECT groupArray(number) FROM numbers(10000000)", {"max_memory_usage": 10_000_000}),
    ],
)
def test_a_query_over_a_limit_is_ended(store: Store, sql: str, limit: dict[str, object]):
    with pytest.raises(QueryLimitExceeded) as caught:
        store.query(sql, settings=limit)
    assert caught.value.code in (158, 159, 241, 396)
    assert not is_transient(caught.value)
    assert store.query("SELECT 1") == [(1,)]


def test_limits_can_be_lowered_only():
    assert query_settings(None)["max_execution_time"] == QUERY_LIMITS["max_execution_time"]
    assert query_settings({"max_execution_time": 1})["max_execution_time"] == 1
    for value in (0, -1, 31, "5", None):
        with pytest.raises(StoreRejected):
            query_settings({"max_execution_time": value})
    with pytest.raises(StoreRejected):
        query_settings({"result_overflow_mode": "break"})


def test_a_statements_own_settings_hold_and_its_limits_where_they_are_lower(store: Store):
    assert statement_settings({"max_execution_time": 5}, Statement("")) == {"max_execution_time": 5}
    for caller, own, holds in [(None, 2.5, 2.5), ({"max_execution_time": 2.0}, 2.5, 2.0), (None, 99, 30)]:
        statement = Statement("", settings={"max_execution_time": own, "optimize_read_in_order": 0})
        expected = {"max_execution_time": holds, "optimize_read_in_order": 0}
        assert statement_settings(caller, statement) == expected
    slow = Statement("SELECT count() FROM numbers(100000000000)", settings={"max_execution_time": 0.2})
    with pytest.raises(QueryLimitExceeded):
        store.ask(slow)


def test_settings_of_one_query_end_with_it(store: Store):
    for _ in range(3):
        with pytest.raises(QueryLimitExceeded):
            store.query("SELECT number FROM numbers(1000)", settings={"max_result_rows": 10})
        assert len(store.query("SELECT number FROM numbers(1000)")) == 1000


def test_queries_of_many_threads_do_not_meet(store: Store):
    wrong: list[object] = []

    def ask(number: int) -> None:
        for _ in range(10):
            rows = store.query("SELECT {n:UInt32}, sum(number) FROM numbers(100000)", {"n": number})
            if rows != [(number, 4999950000)]:
                wrong.append(rows)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_statement_that_is_ended_leaves_nothing_to_the_next_ones(store: Store):
    long = "SELECT number, number + 1 FROM numbers(10000000000) WHERE sipHash64(number) % 1000 = 0"
    running = "SELECT count() FROM system.processes WHERE Settings['log_comment'] = 'long'"

    def run_long() -> None:
        with pytest.raises(StoreUnavailable):
            store.query(long, settings={"log_comment": "long", "max_threads": 1, "max_block_size": 1000})

    for _ in range(2):
        with ThreadPoolExecutor(4) as threads:
            ended = threads.submit(run_long)
            while not ended.done() and store.query(running) == [(0,)]:
                pass
            store.end_queries("long")
            ended.result()
            # One of these has the client of the statement that was ended, where it is used again.
            answers = [threads.submit(store.query, "SELECT toUInt8(7), 'a', 8") for _ in range(4)]
            assert [answer.result() for answer in answers] == [[(7, "a", 8)]] * 4


async def test_queries_run_beside_the_event_loop(store: Store):
    answers = await asyncio.gather(*(store.run(store.query, "SELECT {n:UInt8}", {"n": n}) for n in range(20)))
    assert answers == [[(n,)] for n in range(20)]
    assert await store.run(lambda a, b: a + b, 1, 2) == 3


async def test_reserved_work_does_not_wait_behind_queries(store: Store):
    blocked = threading.Event()
    started = threading.Barrier(5)

    def block() -> None:
        started.wait()
        blocked.wait()

    queries = [asyncio.create_task(store.run(block)) for _ in range(4)]
    await asyncio.to_thread(started.wait)
    assert await store.run_reserved(store.query, "SELECT 1") == [(1,)]
    blocked.set()
    await asyncio.gather(*queries)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, 202),
        (500, 164),
        (500, 242),
        (500, 243),
        (500, 252),
        (500, 999),
        (503, None),
        (502, None),
        (429, None),
        (500, 210),
    ],
)
def test_a_server_in_trouble_is_unavailable(
    server_store: Store, clickhouse_server: ClickHouseServer, status: int, code: int | None
):
    for call in (lambda: server_store.query("SELECT 1"), lambda: server_store.insert_rows("t", b"\x01")):
        clickhouse_server.fault("status", status=status, code=code)
        with pytest.raises(StoreUnavailable) as caught:
            call()
        assert caught.value.code == code


@pytest.mark.parametrize("code", [241, 60, 81, 497, 516, 1001])
def test_only_faulty_bytes_reject_an_insert(server_store: Store, clickhouse_server: ClickHouseServer, code: int):
    clickhouse_server.fault("status", code=code)
    with pytest.raises(StoreUnavailable):
        server_store.insert_rows("t", b"\x01")


@pytest.mark.parametrize("kind", ["refuse", "hang"])
def test_a_command_whose_answer_is_lost_is_unavailable(
    server_store: Store, clickhouse_server: ClickHouseServer, kind: str
):
    clickhouse_server.fault(kind, statement="CREATE")
    with pytest.raises(StoreUnavailable):
        server_store.command("CREATE TABLE x (a UInt8) ENGINE = Memory")


def test_a_slow_answer_is_waited_for(server_store: Store, clickhouse_server: ClickHouseServer):
    clickhouse_server.fault("slow", seconds=0.5)
    assert len(server_store.query("SELECT number FROM numbers(100)")) == 100
    clickhouse_server.fault("delay", seconds=0.2)
    assert server_store.query("SELECT 1") == [(1,)]


def test_a_wrong_password_is_named(tmp_path: Path):
    server = ClickHouseServer(tmp_path / "data", password="right")
    server.start()
    try:
        with pytest.raises(StoreUnavailable, match="516") as caught:
            Store(server.url("db").replace("right", "wrong")).open()
        assert "wrong" not in str(caught.value)
        store = Store(server.url("db"))
        store.open()
        store.close()
    finally:
        server.kill()


def test_answers_can_be_compressed(clickhouse_url: str):
    store = Store(f"{clickhouse_url}?compress=zstd")
    store.open()
    rows = store.query("SELECT toString(number) FROM numbers(10000)")
    store.close()
    assert len(rows) == 10_000


def test_no_session_is_used(clickhouse_url: str):
    store = Store(clickhouse_url)
    store.open()
    store.query("SELECT 1")
    sessions = [client.get_client_setting("session_id") for client in store._pool._idle]
    store.close()
    assert sessions == [None]


def test_a_server_may_pause_while_it_reads_a_body_as_long_as_before_an_answer(clickhouse_url: str):
    client = http_client(parse_address(clickhouse_url), None, receive_timeout_s=60)
    assert client.timeout.connect_timeout == CONNECT_TIMEOUT_S
    with sending_patiently(client, 60):
        # urllib3 bounds the sending of a body by this time.
        assert client.timeout.connect_timeout == 60
    assert client.timeout.connect_timeout == CONNECT_TIMEOUT_S
    client.close()


def test_the_pid_in_the_lock_is_ours(embedded_store_url: str):
    store = Store(embedded_store_url)
    store.open()
    text = Path(embedded_store_url.removeprefix("chdb://"), "apimetry.lock").read_text()
    store.close()
    assert int(text) == os.getpid()
