"""A SELECT as a file: whole, in any format, or an error."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import threading

import pyarrow.parquet
import pytest

from apimetry.store.client import Store
from apimetry.store.errors import QueryLimitExceeded, StoreRejected, StoreUnavailable
from apimetry.store.statement import Statement

NASTY = "a\"b'c\\d,\n\r\t\0ü😀</script>{x:Int}"
ROWS = "SELECT number, nullIf(number, 1) AS n, {text:String} AS text FROM numbers({rows:UInt64})"
LINES = """SELECT concat('{"number":', toString(number), ',"text":', toJSONString({text:String}), '}\n')
FROM numbers({rows:UInt64})"""
ENDLESS = "SELECT concat('{', toString(number), '}\n') FROM system.numbers"


def read(store, form, sql=ROWS, **parameters):
    return b"".join(store.stream(Statement(sql, {"text": NASTY, "rows": 3, **parameters}), form=form))


WITHOUT_ARROW = """
import sys
from apimetry.store.client import Store
from apimetry.store.statement import Statement

store = Store(sys.argv[1])
store.open()
assert store.query("SELECT 1") == [(1,)]
assert {"pyarrow", "numpy", "pandas"}.isdisjoint(sys.modules), "they take memory"
written = b"".join(store.stream(Statement("SELECT number FROM numbers(3)", {}), form="Parquet"))
assert (written[:4], written[-4:]) == (b"PAR1", b"PAR1")
store.close()
"""


def test_engine_takes_no_memory_for_arrow_before_a_parquet_file_is_asked_for(tmp_path):
    subprocess.run([sys.executable, "-c", WITHOUT_ARROW, f"chdb://{tmp_path}/store"], check=True, timeout=60)


def test_lines_that_a_statement_makes_come_as_it_made_them(store):
    lines = read(store, "RawBLOB", LINES).decode().split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == [{"number": number, "text": NASTY} for number in range(3)]


def test_csv_holds_every_value_as_it_is(store):
    rows = list(csv.reader(io.StringIO(read(store, "CSV").decode(), newline="")))
    assert rows == [["0", "0", NASTY], ["1", "", NASTY], ["2", "2", NASTY]]


def test_parquet_holds_every_value_as_it_is(store):
    table = pyarrow.parquet.read_table(io.BytesIO(read(store, "Parquet", rows=200_000)))
    assert table.num_rows == 200_000
    assert table.slice(0, 3).to_pylist() == [
        {"number": number, "n": None if number == 1 else number, "text": NASTY} for number in range(3)
    ]


def test_no_rows_are_a_file_without_rows(store):
    assert read(store, "RawBLOB", LINES, rows=0) == b""
    assert read(store, "CSV", rows=0) == b""
    assert pyarrow.parquet.read_table(io.BytesIO(read(store, "Parquet", rows=0))).num_rows == 0


def test_values_of_lists_are_bound_by_the_server(store):
    sql = "SELECT concat('[', toJSONString(arrayJoin({texts:Array(String)})), ',{}]\n{}\n')"
    assert (
        read(store, "RawBLOB", sql, texts=[NASTY, NASTY]).count(json.dumps(NASTY, ensure_ascii=False).encode()) == 2
    )


def test_more_rows_than_a_query_may_have_are_streamed(store):
    assert read(store, "RawBLOB", LINES, rows=1_200_000, text="").count(b"\n") == 1_200_000


def test_a_mistake_in_the_middle_is_an_error_and_not_an_end(store):
    for form in ("RawBLOB", "CSV", "Parquet"):
        with pytest.raises(StoreRejected, match="FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"):
            read(store, form, "SELECT toString(throwIf(number = 500000)) AS text FROM numbers(1000000)")


def test_too_much_memory_is_an_error_of_limits(store):
    with pytest.raises(QueryLimitExceeded):
        read(store, "RawBLOB", "SELECT toString(length(groupArray(toString(number)))) FROM system.numbers")


def test_closing_a_stream_ends_its_query(embedded_store):
    endless = embedded_store.stream(Statement(ENDLESS), form="RawBLOB")
    assert next(endless).startswith(b"{0}\n{1}\n")
    endless.close()
    running = "SELECT count() FROM system.processes WHERE query LIKE '%system.numbers%' AND query NOT LIKE '%count%'"
    assert embedded_store.query(running) == [(0,)]


def test_questions_are_answered_while_streams_are_open(embedded_store):
    streams = [embedded_store.stream(Statement(ENDLESS), form="RawBLOB") for _ in range(3)]
    for stream in streams:
        next(stream)
    assert embedded_store.query("SELECT 1") == [(1,)]
    for stream in streams:
        stream.close()


def test_another_thread_may_go_on_with_a_stream_and_close_it(embedded_store):
    stream = embedded_store.stream(Statement(ENDLESS), form="RawBLOB")
    next(stream)
    chunks = []
    thread = threading.Thread(target=lambda: (chunks.append(next(stream)), stream.close()))
    thread.start()
    thread.join()
    assert chunks


@pytest.mark.parametrize(("kind", "error"), [("cut", StoreUnavailable), ("broken", QueryLimitExceeded)])
def test_an_answer_that_ends_in_its_middle_is_an_error(clickhouse_server, server_store, kind, error):
    for form in ("RawBLOB", "CSV", "Parquet"):
        clickhouse_server.fault(kind, statement="SELECT concat")
        with pytest.raises(error):
            read(server_store, form, LINES, rows=100_000)


@pytest.mark.parametrize("compress", ["", "?compress=zstd"])
def test_a_servers_text_of_an_error_is_no_part_of_a_stream(clickhouse_url, compress):
    store = Store(clickhouse_url + compress)
    store.open()
    pieces, text = [], "Code: 60. DB::Exception: (UNKNOWN_TABLE)"
    sql = "SELECT concat({text:String}, toString(throwIf(number = 900000))) AS text FROM numbers(1000000)"
    stream = store.stream(Statement(sql, {"text": text}), form="CSV")
    with pytest.raises(StoreRejected, match="FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"):
        pieces.extend(stream)
    store.close()
    assert b"exception" not in b"".join(pieces)


def test_an_error_in_the_middle_of_a_querys_answer_is_named(store):
    with pytest.raises(StoreRejected, match="FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"):
        store.query("SELECT throwIf(number = 90000) FROM numbers(100000)", settings={"max_block_size": 1000})


def test_a_server_that_is_away_is_unavailable(clickhouse_server, server_store):
    clickhouse_server.fault("status", status=503, code=203, statement="SELECT number, nullIf")
    with pytest.raises(StoreUnavailable):
        read(server_store, "CSV")


def test_a_closed_store_streams_nothing(embedded_store_url):
    with pytest.raises(StoreUnavailable):
        read(Store(embedded_store_url), "CSV")
