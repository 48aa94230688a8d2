"""The events table's columns, and the insert that stores a segment's blocks exactly once.

Exactly once rests on four things, and each insert states them all, because servers and chDB differ in their defaults:

- the segment's name is the `insert_deduplication_token`, and the same token always comes with the same bytes;
- the tables keep a window of the last 10,000 blocks (`migrations.check` refuses one that does not);
- `deduplicate_blocks_in_dependent_materialized_views` carries the token into every rollup;
- the blocks sent are joined alike each time: one thread, and block sizes given here. A segment of up to 4,000,000
  rows and 1 GiB in memory is one part for each partition, of however many blocks it was sent.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.client import Client

from apimetry.store.errors import StoreRejected

EVENTS: Final = "events"
INSERT_FILE_PREFIX: Final = "insert-"

ROW_COLUMNS: Final[Mapping[str, str]] = {
    "application": "LowCardinality(String)",
    "timestamp": "DateTime64(6, 'UTC')",
    "method": "LowCardinality(String)",
    "url": "String",
    "route": "LowCardinality(String)",
    "function": "LowCardinality(String)",
    "status_code": "UInt16",
    "response_us": "Nullable(UInt64)",
    "ttfb_us": "Nullable(UInt64)",
    "request_bytes": "Nullable(UInt64)",
    "response_bytes": "Nullable(UInt64)",
    "consumer_id": "String",
    "error_type": "LowCardinality(String)",
    "client_ip": "String",
    "user_agent": "String",
    "sample_weight": "UInt32",
    "data": "Map(LowCardinality(String), String)",
    "source": "LowCardinality(String)",
    "version": "LowCardinality(String)",
    "retention_days": "UInt16",
}
"""The columns that the collector writes, in its order, and their types: those of the table."""

_BLOCK_ROWS: Final = 4_000_000
_BLOCK_BYTES: Final = 1024**3

INSERT_SETTINGS: Final[Mapping[str, int]] = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "materialized_views_ignore_errors": 0,
    "max_insert_threads": 1,
    "max_insert_block_size": _BLOCK_ROWS,
    "min_insert_block_size_rows": _BLOCK_ROWS,
    "min_insert_block_size_bytes": _BLOCK_BYTES,
    # Weekly partitions: the collector refuses what is older than the retention, which bounds them. A limit here would
    # be answered as TOO_MANY_PARTS, which looks like an overload and would be tried again for ever.
    "max_partitions_per_insert_block": 0,
    # A null where a value must be is a fault, not a zero; so are a column that the table lacks, which would be left
    # out, and a type other than the column's, whose numbers would be cut to fit.
    "input_format_null_as_default": 0,
    "input_format_skip_unknown_fields": 0,
    "input_format_native_allow_types_conversion": 0,
    # A block written before the table got a column takes its default.
    "input_format_defaults_for_omitted_fields": 1,
    # Through a Distributed table: answer when every shard has its rows, so that a retry finds the same shards.
    "distributed_foreground_insert": 1,
    "max_execution_time": 0,
}
# Newer servers' names for the same promises; an older one refuses a setting that it does not know.
_NEWER_SETTINGS: Final[Mapping[str, str]] = {"deduplicate_insert": "enable"}


def insert_settings(client: Client, token: str) -> dict[str, object]:
    """Every setting of one insert; the same for the same token, on every attempt."""
    newer = {name: value for name, value in _NEWER_SETTINGS.items() if name in client.server_settings}
    return {**INSERT_SETTINGS, **newer, "insert_deduplication_token": token}


def insert_into(client: Client, table: str, token: str, body: bytes | memoryview, *, directory: Path | None) -> None:
    """Send Native blocks to a table, once for each token; `directory` is that of an embedded store."""
    if not token:
        raise StoreRejected("an insert needs a token: without one a retry would store its rows twice")
    settings = insert_settings(client, token)
    if directory is None:
        # A memoryview goes out as it is, with the statement in the URL: no copy of the segment, and
        # clickhouse-connect does not send it again by itself after a reset, as it would with bytes.
        client.raw_insert(
            table,
            None,
            memoryview(body),  # type: ignore[arg-type] # urllib3 takes any buffer; the hint does not say so
            {**settings, "wait_end_of_query": 1},
            "Native",
        )
        return
    clause = ", ".join(f"{name} = {_quoted(str(value))}" for name, value in settings.items())
    _insert_from_file(client, table, clause, body, directory)


def _insert_from_file(client: Client, table: str, settings: str, body: bytes | memoryview, directory: Path) -> None:
    """Blocks reach chDB as a file only.

    clickhouse-connect's own way leaves its file in the temporary directory after a kill; one of ours in the data
    directory is private, on the disk that was chosen for data, and cleared at the next start.
    """
    descriptor, name = tempfile.mkstemp(prefix=INSERT_FILE_PREFIX, dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
        client.command(f"INSERT INTO {table} FROM INFILE {_quoted(name)} SETTINGS {settings} FORMAT Native")
    finally:
        Path(name).unlink()


def clear_insert_files(directory: Path) -> None:
    """Remove what a killed process left of its inserts; their segments are still in the spool."""
    for path in directory.glob(f"{INSERT_FILE_PREFIX}*"):
        path.unlink()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
