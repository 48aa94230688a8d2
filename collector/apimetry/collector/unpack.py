"""Segments to what an insert sends, and an insert that was rejected to smaller ones."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgpack  # type: ignore[import-untyped]  # it ships no stubs

from apimetry.collector.rows import ROW_FIELDS, ROW_SCHEMAS
from apimetry.collector.spool.journal import Journal
from apimetry.collector.spool.segment import Damage, Record, Sealed, read_header, scan


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that are inserted together: whole records `[first, last)`, or rows `[first, last)` of one record.

    The token of a segment as a whole is the segment's; a smaller part adds its place to it, so that the same part
    has the same token in every process that ever tries it.
    """

    token: str
    body: bytes | memoryview
    rows: int
    first: int
    last: int
    record: int | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """A segment as it was read: what is whole, what is lost, and its batch ids."""

    token: str
    columns: tuple[str, ...]
    records: list[Record]
    whole: Part
    keys: list[tuple[bytes, int]]
    damaged_pieces: int
    damaged_rows: int


def load(journal: Journal, sealed: Sealed, row_schemas: Mapping[int, tuple[str, ...]] = ROW_SCHEMAS) -> Contents:
    """Read and verify a segment, and put damaged bytes aside; blocking, raises OSError."""
    data = journal.read(sealed)
    records, damages = scan(data, sealed.token)
    rows = sum(record.rows for record in records)
    if len(data) < sealed.length:
        damages.append(Damage(len(data), sealed.length))
    lost = max(0, sealed.rows - rows)
    for damage in damages:
        _put_aside(journal, sealed, data, damage)
    keys = [
        (record.meta.batch_key, record.meta.received_us) for record in records if record.meta.batch_key is not None
    ]
    columns = columns_of(data, records, row_schemas)
    body, records = _join_in_place(data, records)
    whole = Part(sealed.token, body, rows, 0, len(records))
    return Contents(sealed.token, columns, records, whole, keys, len(damages), lost)


def columns_of(
    data: bytes | bytearray, records: list[Record], row_schemas: Mapping[int, tuple[str, ...]] = ROW_SCHEMAS
) -> tuple[str, ...]:
    """The columns of a segment's rows: as its header says, or where that is damaged, as many as its rows have."""
    header = read_header(data)
    if header is not None:
        return row_schemas.get(header[1], ROW_FIELDS)
    former = [fields for fields in row_schemas.values() if fields != ROW_FIELDS]
    if records and former:
        values = count_values(records[0].row_bytes)
        return next((each for each in former if len(each) * records[0].rows == values), ROW_FIELDS)
    return ROW_FIELDS


def _put_aside(journal: Journal, sealed: Sealed, data: bytes | bytearray, damage: Damage) -> None:
    journal.quarantine.keep(
        f"{sealed.token}.{damage.offset}.damaged",
        bytes(data[damage.offset : damage.end]),
        reason=f"bytes {damage.offset} to {damage.end} of the segment do not match their checksums",
        rows=0,
    )


def _join_in_place(data: bytes | bytearray, records: list[Record]) -> tuple[bytes | memoryview, list[Record]]:
    """All rows in a row, where the segment was read to: a segment is in memory once, not twice."""
    if not isinstance(data, bytearray):
        return _join(records), records
    view, end, moved = memoryview(data), 0, []
    for record in records:
        start, end = end, end + len(record.row_bytes)
        view[start:end] = record.row_bytes
        moved.append(replace(record, row_bytes=view[start:end]))
    return view[:end], moved


def _join(records: list[Record]) -> bytes:
    return b"".join(record.row_bytes for record in records)


def split(part: Part, contents: Contents) -> list[Part]:
    """Two halves of a rejected part, in order; none of a single row."""
    if part.rows <= 1:
        return []
    if part.record is None and part.last - part.first > 1:
        middle = (part.first + part.last) // 2
        return [_records(contents, part.first, middle), _records(contents, middle, part.last)]
    record = part.first if part.record is None else part.record
    first, last = (0, part.rows) if part.record is None else (part.first, part.last)
    middle = (first + last) // 2
    ends = row_ends(contents.records[record].row_bytes, len(contents.columns))
    return [_rows(contents, record, ends, (first, middle)), _rows(contents, record, ends, (middle, last))]


def _records(contents: Contents, first: int, last: int) -> Part:
    records = contents.records[first:last]
    rows = sum(record.rows for record in records)
    return Part(f"{contents.token}-b{first}-{last}", _join(records), rows, first, last)


def _rows(contents: Contents, record: int, ends: list[int], span: tuple[int, int]) -> Part:
    first, last = span
    body = contents.records[record].row_bytes[ends[first] : ends[last]]
    return Part(f"{contents.token}-b{record}-r{first}-{last}", body, last - first, first, last, record)


def count_values(row_bytes: memoryview) -> int:
    """How many msgpack values there are."""
    return len(row_ends(row_bytes, 1)) - 1


def row_ends(row_bytes: memoryview, width: int) -> list[int]:
    """Where each row of `width` values begins, and where the last one ends."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(row_bytes))
    unpacker.feed(row_bytes)
    ends = [0]
    while ends[-1] < len(row_bytes):
        for _ in range(width):
            unpacker.skip()
        ends.append(unpacker.tell())
    return ends
