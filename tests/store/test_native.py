"""Blocks: what is written is what the engine reads, what the engine writes can be read, and nothing else is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apimetry.store.client import Store
from apimetry.store.events import ROW_COLUMNS
from apimetry.store.native import NativeError, decode_block, decode_blocks, encode_block, slice_block
from tests.support.oracles.event_rows import DEFAULTS, now_us

LONG = (
    "",
    "x",
    "x" * 127,
    "x" * 128,
    "é" * 64,
    "x" * 1023,
    "x" * 1024,
    "x" * 16_383,
    "x" * 16_384,
    "\0",
    "\0\n\t'\\",
    "🦊",
)
TYPES = {f"c{number}": name for number, name in enumerate(sorted({*ROW_COLUMNS.values(), "Map(String, UInt64)"}))}

texts = st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.sampled_from(LONG))
VALUES = {
    "String": texts,
    "LowCardinality(String)": texts,
    "UInt16": st.integers(0, 2**16 - 1),
    "UInt32": st.integers(0, 2**32 - 1),
    "UInt64": st.integers(0, 2**64 - 1),
    "Nullable(UInt64)": st.none() | st.integers(0, 2**64 - 1),
    "DateTime64(6, 'UTC')": st.integers(0, 2**53),
    "Map(LowCardinality(String), String)": st.dictionaries(texts, texts, max_size=5),
    "Map(String, UInt64)": st.dictionaries(texts, st.integers(0, 2**64 - 1), max_size=5),
}
EVENTS = {
    **dict.fromkeys(("url", "route", "function", "consumer_id", "user_agent"), VALUES["String"]),
    **dict.fromkeys(("ttfb_us", "request_bytes", "response_bytes"), VALUES["Nullable(UInt64)"]),
    "status_code": VALUES["UInt16"],
    "sample_weight": VALUES["UInt32"],
    "data": VALUES["Map(LowCardinality(String), String)"],
}
rows = st.lists(st.tuples(*[VALUES[name] for name in TYPES.values()]), min_size=1, max_size=40)


def read(block: bytes) -> list[list[object]]:
    return [list(column.values) for column in decode_block(block)]


@given(rows)
def test_a_block_reads_back_as_it_was(rows: list[tuple[object, ...]]):
    columns = [list(column) for column in zip(*rows, strict=True)]
    block = encode_block(TYPES, columns)
    assert read(block) == columns
    assert {column.name: column.type for column in decode_block(block)} == TYPES
    middle = len(rows) // 2
    halves = [slice_block(block, 0, middle), slice_block(block, middle, len(rows))]
    assert [first + last for first, last in zip(*map(read, halves), strict=True)] == columns
    assert slice_block(block, 0, len(rows)) == block
    assert len(decode_blocks(block * 3)) == 3


def stored_and_read_back(store: Store, columns: dict[str, Sequence[object]], directory: Path) -> list[list[object]]:
    """The columns as the engine writes them after it read our block of them, in the order of `response_us`."""
    path = directory / "written"
    path.unlink(missing_ok=True)
    store.command("TRUNCATE TABLE events")
    store.insert_rows(uuid4().hex, encode_block(ROW_COLUMNS, [columns[name] for name in ROW_COLUMNS]))
    store.command(
        f"SELECT {', '.join(ROW_COLUMNS)} FROM events ORDER BY response_us INTO OUTFILE '{path}' FORMAT Native"
    )
    blocks = decode_blocks(path.read_bytes())
    assert all({column.name: column.type for column in block} == ROW_COLUMNS for block in blocks)
    return [list(chain.from_iterable(block[i].values for block in blocks)) for i in range(len(ROW_COLUMNS))]


def numbered(count: int, **columns: Sequence[object]) -> dict[str, Sequence[object]]:
    """Columns of `count` rows of now, with `response_us` 0, 1, …"""
    defaults = {**DEFAULTS, "timestamp": now_us()}
    return {**{name: [defaults[name]] * count for name in ROW_COLUMNS}, "response_us": range(count), **columns}


def test_any_columns_are_read_by_the_engine_and_back(embedded_store: Store, tmp_path: Path):
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.fixed_dictionaries(EVENTS), min_size=1, max_size=40))
    def check(rows: list[dict[str, object]]) -> None:
        columns = numbered(len(rows), **{name: [row[name] for row in rows] for name in EVENTS})
        assert stored_and_read_back(embedded_store, columns, tmp_path) == [
            list(values) for values in columns.values()
        ]

    check()


@pytest.mark.parametrize("keys", [1, 255, 256, 257, 65_536, 65_537])
def test_a_dictionary_of_any_size_is_read_by_the_engine_and_back(embedded_store: Store, tmp_path: Path, keys: int):
    texts = [f"/{number % keys}" for number in range(max(keys, 600))]
    columns = numbered(len(texts), route=texts, url=texts)
    assert stored_and_read_back(embedded_store, columns, tmp_path) == [list(values) for values in columns.values()]


def test_the_bytes_are_those_that_the_engine_writes(embedded_store: Store, tmp_path: Path):
    path = tmp_path / "written"
    embedded_store.command(
        "SELECT 'GET' AS s, toUInt16(7) AS n, CAST(300, 'Nullable(UInt64)') AS o,"
        f" map('a', 'b') AS m FROM numbers(2) INTO OUTFILE '{path}' FORMAT Native"
    )
    types = {"s": "String", "n": "UInt16", "o": "Nullable(UInt64)", "m": "Map(String, String)"}
    assert encode_block(types, [["GET"] * 2, [7, 7], [300, 300], [{"a": "b"}] * 2]) == path.read_bytes()


def test_columns_without_rows_make_a_block():
    assert read(encode_block(TYPES, [[] for _ in TYPES])) == [[] for _ in TYPES]


def test_a_type_that_is_not_known_is_refused():
    for name in (
        "Float64",
        "Nullable(String)",
        "Array(String)",
        "Map(String, Float64)",
        "LowCardinality(UInt64)",
        "",
    ):
        with pytest.raises(NativeError, match="is not a type known here"):
            encode_block({"c": name}, [[]])


def test_damaged_bytes_are_refused_or_read_as_other_values():
    """Never anything but a NativeError, whatever bytes: what is halved was rejected by the engine."""
    rng = random.Random(7)
    columns = [["a", "b", "a"]] * 2 + [[1, 2, 3], [None, 1, 2], [{}, {"a": "b"}, {"a": "c", "d": "e"}]]
    kinds = ["LowCardinality(String)", "String", "UInt16", "Nullable(UInt64)", "Map(LowCardinality(String), String)"]
    block = encode_block({f"c{number}": kind for number, kind in enumerate(kinds)}, columns)
    for end in range(len(block)):
        with pytest.raises(NativeError):
            decode_block(block[:end])
    refused = 0
    for _ in range(3_000):
        damaged = bytearray(block)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        try:
            decode_block(bytes(damaged))
        except NativeError:
            refused += 1
    assert refused > 1_000
    with pytest.raises(NativeError, match="follow the block"):
        decode_block(block + b"\0")
