"""Stream the rows of one SELECT as bytes of a file that the engine formats, in constant memory.

- Embedded, chDB streams one block at a time: some 10,000 rows of text. clickhouse-connect would collect the whole
  result of a query with settings. So a stream uses its own chDB handle and sets the settings there. A block is not a
  Parquet file: for Parquet chDB sends Arrow, and this module writes the row groups.
- Over HTTP the server writes the file. An error in the middle is text at the end of the response's body, and newer
  servers break the body off after it. So this module checks how a stream ends: half a file never looks like a whole
  file. It holds the last bytes back, so that the server's text never reaches the caller.

Only one thread at a time may consume or close a stream. Closing it early ends the query.
"""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from clickhouse_connect.driver.binding import bind_query
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, Error
from urllib3.exceptions import HTTPError

from apimetry.store.connections import give_arrow
from apimetry.store.errors import StoreUnavailable, map_error
from apimetry.store.statement import Statement

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped] # pyarrow has no stubs

StreamFormat = Literal["RawBLOB", "CSV", "Parquet"]
"""RawBLOB is for a statement that makes the lines itself: one column of Strings that end with `}` and LF."""

# The reader determines how long a stream lasts. A stream gets one thread and little memory: queries come first.
STREAM_SETTINGS: Final[Mapping[str, int | str]] = {
    "max_execution_time": 0,
    "max_memory_usage": 1024**3,
    "max_result_rows": 0,
    "max_result_bytes": 0,
    "max_threads": 1,
    "max_block_size": 16_384,
    "output_format_json_escape_forward_slashes": 0,
    # A null is an empty field, which every reader of CSV understands.
    "format_csv_null_representation": "",
}
_ROW_GROUP_ROWS: Final = 65_536
_ARROW_SETTINGS: Final[Mapping[str, int | str]] = {
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
}
_SERVER_SETTINGS: Final[Mapping[str, int | str]] = {
    "output_format_parquet_row_group_size": _ROW_GROUP_ROWS,
    "output_format_parquet_string_as_string": 1,
    "output_format_parquet_compression_method": "zstd",
    "cancel_http_readonly_queries_on_client_close": 1,
}
# No error message of ClickHouse ends with these bytes: it ends with its version, or with a tag.
_ENDINGS: Final[Mapping[StreamFormat, bytes]] = {"RawBLOB": b"}\n", "CSV": b'"\n', "Parquet": b"PAR1"}
_READ_BYTES: Final = 1024**2
# ClickHouse cuts the text of an error to 16 KiB.
_HELD_BYTES: Final = 32 * 1024
_CODE = re.compile(r"Code: (\d+)\. DB::Exception")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)")


def stream_from_server(client: Client, statement: Statement, form: StreamFormat) -> Generator[bytes, None, None]:
    """Yield the file that the server sends; the stream owns the client and closes it."""
    known = client.server_settings
    settings = {name: value for name, value in {**STREAM_SETTINGS, **_SERVER_SETTINGS}.items() if name in known}
    try:
        response: Any = client.raw_stream(
            statement.sql, parameters=dict(statement.parameters), settings=settings, fmt=form
        )
        try:
            yield from _whole(response.stream(_READ_BYTES), form)
        finally:
            # The connection is not reused: the rest of the result would have to be read first.
            response.close()
    except Exception as error:
        raise map_error(error, inserting=False) from error
    finally:
        client.close()


def _whole(chunks: Iterable[bytes], form: StreamFormat) -> Iterator[bytes]:
    """Yield the bytes of a response's body; raise the server's error where the body is not a whole file."""
    held = b""
    try:
        for chunk in chunks:
            held += chunk
            if len(held) > _HELD_BYTES:
                yield held[:-_HELD_BYTES]
                held = held[-_HELD_BYTES:]
    except HTTPError as error:
        raise _broken_off(held) from error
    if held and not held.endswith(_ENDINGS[form]):
        raise _broken_off(held)
    if held:
        yield held


def _broken_off(end: bytes) -> Exception:
    """Return the error that the server wrote at the end of a body, or the error for a body without such a text."""
    codes = list(_CODE.finditer(end.decode("utf-8", "replace")))
    if not codes:
        return StoreUnavailable("ClickHouse broke off in the middle of a stream")
    return _as_driver_error(RuntimeError(codes[-1].string[codes[-1].start() :]))


def stream_from_engine(
    path: Path, database: str, statement: Statement, form: StreamFormat
) -> Generator[bytes, None, None]:
    """Yield the file from the engine in this process; the engine must be running."""
    import chdb  # noqa: PLC0415 - 300 MB that only an embedded store has

    sql, bound = bind_query(statement.sql, dict(statement.parameters), timezone.utc)
    parameters = {name.removeprefix("param_"): value for name, value in bound.items()}
    try:
        handle: Any = chdb.connect(str(path))  # type: ignore[no-untyped-call] # chDB is untyped
        try:
            handle.query(f"USE `{database}`")
            for name, value in {**STREAM_SETTINGS, **_ARROW_SETTINGS}.items():
                handle.query(f"SET {name} = '{value}'")
            if form == "Parquet":
                yield from _parquet(handle, sql, parameters)
            else:
                yield from _blocks(handle, sql, parameters, form)
        finally:
            handle.close()
    except (RuntimeError, Error) as error:
        raise map_error(_as_driver_error(error), inserting=False) from error


def _blocks(handle: Any, sql: str | bytes, parameters: Mapping[str, str], form: str) -> Iterator[bytes]:  # noqa: ANN401 - chDB is untyped
    result = handle.send_query(sql, form, params=parameters)
    try:
        for block in result:
            yield block.bytes()
    finally:
        result.close()


def _parquet(handle: Any, sql: str | bytes, parameters: Mapping[str, str]) -> Iterator[bytes]:  # noqa: ANN401 - chDB is untyped
    give_arrow()
    result = handle.send_query(sql, "Arrow", params=parameters)
    try:
        reader = result.record_batch(rows_per_batch=_ROW_GROUP_ROWS)
        if reader.schema:
            yield from _row_groups(reader)
            return
    finally:
        result.close()
    # Arrow's stream without rows has no columns. The engine's empty Parquet file has the columns.
    yield handle.query(sql, "Parquet", params=parameters).bytes()


def _row_groups(reader: pa.RecordBatchReader) -> Iterator[bytes]:
    from pyarrow import parquet  # noqa: PLC0415 - chDB depends on it, a client of a server does not

    pieces = io.BytesIO()
    with parquet.ParquetWriter(_AppendOnlyFile(pieces), reader.schema, compression="zstd") as writer:
        for record_batch in reader:
            writer.write_batch(record_batch, row_group_size=_ROW_GROUP_ROWS)
            yield _drain(pieces)
    yield _drain(pieces)


class _AppendOnlyFile(io.RawIOBase):
    """A file for a writer: it counts all bytes for `tell`, and `pieces` holds the bytes that were not drained yet."""

    def __init__(self, pieces: io.BytesIO) -> None:
        self._pieces = pieces
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        size = self._pieces.write(data)
        self._length += size
        return size

    def tell(self) -> int:
        return self._length


def _drain(pieces: io.BytesIO) -> bytes:
    data = pieces.getvalue()
    pieces.seek(0)
    pieces.truncate()
    return data


def _as_driver_error(error: Exception) -> Exception:
    """Return chDB's error as the exception that clickhouse-connect would raise."""
    if isinstance(error, Error):
        return error
    text = str(error)
    code, name = _CODE.search(text), _NAME.findall(text)
    return DatabaseError(text, code=int(code[1]) if code else None, name=name[-1] if name else None)
