"""Define the columns of the events table, and insert a segment's blocks exactly once.

Exactly once needs four conditions. Every insert sets all its settings, because servers and chDB have different
defaults:

- The segment's name is the `insert_deduplication_token`. The same token always comes with the same bytes.
- The tables remember the tokens of the last 10,000 blocks (`migrations.check` refuses a table that does not).
- `deduplicate_blocks_in_dependent_materialized_views` carries the token into every rollup.
- The engine joins the blocks of an insert in the same way every time: with one thread, and the block sizes below. A
  segment of up to 4,000,000 rows and 1 GiB in memory becomes one part per partition, whatever its number of blocks.
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
    "user_agent_family": "LowCardinality(String)",
}
"""The columns that the collector writes, in the collector's order, and their types in the table."""

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
    # A partition is a week. The collector refuses events older than the retention, which bounds the number of
    # partitions. A limit here would cause TOO_MANY_PARTS: it looks like an overload, and the spool would retry for
    # ever.
    "max_partitions_per_insert_block": 0,
    # Three faults must be errors: a null in a column without nulls (the default would store a zero), a column that
    # the table lacks (it would be left out), and a type other than the column's (numbers would be cut to fit).
    "input_format_null_as_default": 0,
    "input_format_skip_unknown_fields": 0,
    "input_format_native_allow_types_conversion": 0,
    # A block that was written before the table got a column takes the column's default.
    "input_format_defaults_for_omitted_fields": 1,
    # A Distributed table answers when every shard has stored its rows, so that a retry reaches the same shards.
    "distributed_foreground_insert": 1,
    "max_execution_time": 0,
}
# Newer servers' names for the same settings. An older server refuses an unknown setting.
_NEWER_SETTINGS: Final[Mapping[str, str]] = {"deduplicate_insert": "enable"}


# On a cluster an insert is acknowledged when most replicas of each shard have its rows. A shard without enough live
# replicas refuses the insert, and the segment waits in the spool. Tables without replicas ignore the settings.
_CLUSTER_SETTINGS: Final[Mapping[str, str | int]] = {
    "insert_quorum": "auto",
    "insert_quorum_timeout": 30_000,
    # The rows stay in their order, so that a shard gets the same rows under the same token.
    "max_threads": 1,
}


def insert_settings(
    client: Client, token: str, *, on_cluster: bool = False, shard: int | None = None
) -> dict[str, object]:
    """Return all settings of one insert; every attempt with the same token gets the same settings.

    With a `shard` (its number from 1 on) all rows go to that shard; else a Distributed table's key divides them.
    """
    newer = {name: value for name, value in _NEWER_SETTINGS.items() if name in client.server_settings}
    quorum = _CLUSTER_SETTINGS if on_cluster else {}
    whole = {} if shard is None else {"insert_shard_id": shard}
    return {**INSERT_SETTINGS, **newer, **quorum, **whole, "insert_deduplication_token": token}


def insert_into(  # noqa: PLR0913 - an insert, and where it goes, by keyword
    client: Client,
    table: str,
    token: str,
    body: bytes | memoryview,
    *,
    directory: Path | None,
    on_cluster: bool = False,
    shard: int | None = None,
) -> None:
    """Insert Native blocks into a table, once per token; `directory` is an embedded store's, None for a server.

    On a cluster all rows go to the `shard`; without one the table's key divides them.
    """
    if not token:
        raise StoreRejected("an insert needs a token: without one a retry would store its rows twice")
    settings = insert_settings(client, token, on_cluster=on_cluster, shard=shard)
    if directory is None:
        # clickhouse-connect sends a memoryview without a copy, with the statement in the URL. After a reset it does
        # not resend a memoryview; it would resend bytes.
        client.raw_insert(
            _in_large_blocks(table) if on_cluster else table,
            None,
            memoryview(body),  # type: ignore[arg-type] # urllib3 takes any buffer; the hint does not say so
            {**settings, "wait_end_of_query": 1},
            "Native",
        )
        return
    clause = ", ".join(f"{name} = {_quoted(str(value))}" for name, value in settings.items())
    _insert_from_file(client, table, clause, body, directory)


def _in_large_blocks(table: str) -> str:
    """Return the target of an insert into a Distributed table, for rows that come in many small blocks.

    The table would split each of them and send the halves: with blocks of 500 rows, two shards stored less than one
    server. `input` reads the same rows and gives larger blocks. A column that a block lacks takes its type's default,
    as it does in the table.
    """
    if table != EVENTS:
        return table
    columns = ", ".join(ROW_COLUMNS)
    structure = ", ".join(f"{name} {kind}" for name, kind in ROW_COLUMNS.items())
    return f"{table} ({columns}) SELECT {columns} FROM input({_quoted(structure)})"  # noqa: S608 - our own names


def _insert_from_file(client: Client, table: str, settings: str, body: bytes | memoryview, directory: Path) -> None:
    """Insert blocks into chDB, which reads blocks from a file only.

    After a kill, clickhouse-connect's own file would stay in the temporary directory. Our file is in the data
    directory: it is private, it is on the disk for data, and the next start removes it.
    """
    descriptor, name = tempfile.mkstemp(prefix=INSERT_FILE_PREFIX, dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
        client.command(f"INSERT INTO {table} FROM INFILE {_quoted(name)} SETTINGS {settings} FORMAT Native")
    finally:
        Path(name).unlink()


def clear_insert_files(directory: Path) -> None:
    """Remove the insert files of a killed process; the segments are still in the spool."""
    for path in directory.glob(f"{INSERT_FILE_PREFIX}*"):
        path.unlink()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
