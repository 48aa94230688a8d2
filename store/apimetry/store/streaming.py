"""The rows of one SELECT as bytes of a file, formatted by the engine, in constant memory both ways.

- Embedded, chDB streams a block at a time: some 10,000 rows of text. clickhouse-connect would collect the whole
  result wherever settings come with it, so a stream has a handle of chDB's own, which carries its settings. A block
  is no Parquet file, so Parquet's blocks come as Arrow and are written here, as row groups.
- Over HTTP the server writes the file. A fault in its middle is text in the answer's body, so what a stream ends
  with is checked: half a file never looks like a whole one.

A stream is consumed and closed by one thread at a time. Closing it early ends the query.
"""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Iterator, Mapping
from datetime import timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from clickhouse_connect.driver.binding import bind_query
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, Error

from apimetry.store.errors import StoreUnavailable, map_error
from apimetry.store.statement import Statement

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped] # it ships no stubs

StreamFormat = Literal["RawBLOB", "CSV", "Parquet"]
"""RawBLOB is for a statement that makes the lines itself: texts of one column, each of which ends with `}` and LF."""

# A stream may last as long as its reader likes. It gets one thread and little memory: questions come first.
STREAM_SETTINGS: Final[Mapping[str, int | str]] = {
    "max_execution_time": 0,
    "max_memory_usage": 1024**3,
    "max_result_rows": 0,
    "max_result_bytes": 0,
    "max_threads": 1,
    "max_block_size": 16_384,
    "output_format_json_escape_forward_slashes": 0,
    # An empty field, as every reader of CSV takes it.
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
# No error message of ClickHouse ends like this: it ends with its version, or with a tag.
_ENDINGS: Final[Mapping[StreamFormat, bytes]] = {"RawBLOB": b"}\n", "CSV": b'"\n', "Parquet": b"PAR1"}
_READ_BYTES: Final = 1024**2
_CODE = re.compile(r"Code: (\d+)\. DB::Exception")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)")


def stream_from_server(client: Client, statement: Statement, form: StreamFormat) -> Generator[bytes, None, None]:
    """Yield the file as the server sends it; the client is the stream's own and is closed with it."""
    known = client.server_settings
    settings = {name: value for name, value in {**STREAM_SETTINGS, **_SERVER_SETTINGS}.items() if name in known}
    tail = b""
    try:
        response: Any = client.raw_stream(
            statement.sql, parameters=dict(statement.parameters), settings=settings, fmt=form
        )
        try:
            while chunk := response.read(_READ_BYTES):
                tail = (tail + chunk)[-len(_ENDINGS[form]) :]
                yield chunk
        finally:
            # Not given back: what is unread of a result would have to be read first.
            response.close()
    except Exception as error:
        raise map_error(error, inserting=False) from error
    finally:
        client.close()
    if tail and tail != _ENDINGS[form]:
        raise StoreUnavailable("ClickHouse broke off in the middle of a stream")


def stream_from_engine(
    path: Path, database: str, statement: Statement, form: StreamFormat
) -> Generator[bytes, None, None]:
    """Yield the file from the engine in this process, which runs already."""
    import chdb  # noqa: PLC0415 - 300 MB that only an embedded store has

    sql, bound = bind_query(statement.sql, dict(statement.parameters), timezone.utc)
    parameters = {name.removeprefix("param_"): value for name, value in bound.items()}
    try:
        handle: Any = chdb.connect(str(path))  # type: ignore[no-untyped-call] # nor does this
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


def _parquet(handle: Any, sql: str | bytes, parameters: Mapping[str, str]) -> Iterator[bytes]:  # noqa: ANN401 - likewise
    result = handle.send_query(sql, "Arrow", params=parameters)
    try:
        reader = result.record_batch(rows_per_batch=_ROW_GROUP_ROWS)
        if reader.schema:
            yield from _row_groups(reader)
            return
    finally:
        result.close()
    # Without rows Arrow's stream has no columns either; the engine's empty file does.
    yield handle.query(sql, "Parquet", params=parameters).bytes()


def _row_groups(reader: pa.RecordBatchReader) -> Iterator[bytes]:
    from pyarrow import parquet  # noqa: PLC0415 - chDB depends on it, a client of a server does not

    pieces = io.BytesIO()
    with parquet.ParquetWriter(_Growing(pieces), reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch, row_group_size=_ROW_GROUP_ROWS)
            yield _taken(pieces)
    yield _taken(pieces)


class _Growing(io.RawIOBase):
    """A file that is only written to: it knows how long it is, and keeps what was not taken yet."""

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


def _taken(pieces: io.BytesIO) -> bytes:
    data = pieces.getvalue()
    pieces.seek(0)
    pieces.truncate()
    return data


def _as_driver_error(error: Exception) -> Exception:
    """An error of chDB as clickhouse-connect would raise it."""
    if isinstance(error, Error):
        return error
    text = str(error)
    code, name = _CODE.search(text), _NAME.findall(text)
    return DatabaseError(text, code=int(code[1]) if code else None, name=name[-1] if name else None)
