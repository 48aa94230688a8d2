"""Turn a segment into the body of an insert, and split a rejected insert into smaller inserts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from apimetry.collector.spool.journal import Journal
from apimetry.collector.spool.segment import VERSION, Damage, Record, Sealed, read_version, scan
from apimetry.store.events import ROW_COLUMNS
from apimetry.store.native import NativeError, slice_block, with_nullable_types


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that are inserted together: whole records `[first, last)`, or rows `[first, last)` of one record.

    The part with all rows of a segment has the segment's token. The token of a smaller part is the segment's token
    and the part's place. So the same part has the same token in every process that tries to insert it.
    """

    token: str
    body: bytes | memoryview
    rows: int
    first: int
    last: int
    record: int | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """A segment as it was read: its whole records, the counts of its losses, and its batch ids."""

    token: str
    records: list[Record]
    whole: Part
    keys: list[tuple[bytes, int]]
    damaged_pieces: int
    damaged_rows: int


def load(journal: Journal, sealed: Sealed) -> Contents:
    """Read and verify a segment, and quarantine its damaged bytes; blocking, raises OSError."""
    data = journal.read(sealed)
    records, damages = scan(data, sealed.token)
    rows = sum(record.rows for record in records)
    if len(data) < sealed.length:
        damages.append(Damage(len(data), sealed.length))
    lost = max(0, sealed.rows - rows)
    for damage in damages:
        _quarantine(journal, sealed, data, damage)
    keys = [
        (record.meta.batch_key, record.meta.received_us) for record in records if record.meta.batch_key is not None
    ]
    if read_version(data) == VERSION:
        body, records = _join_in_place(data, records)
    else:
        # An earlier version wrote this segment, or its header is damaged. Its blocks may have former column types.
        records = [replace(record, row_bytes=_with_current_types(record.row_bytes)) for record in records]
        body = _join(records)
    whole = Part(sealed.token, body, rows, 0, len(records))
    return Contents(sealed.token, records, whole, keys, len(damages), lost)


def without(contents: Contents, offsets: Collection[int]) -> Contents:
    """Return the contents without the records at these offsets; the token stays, and the batch ids."""
    if not offsets:
        return contents
    records = [record for record in contents.records if record.offset not in offsets]
    rows = sum(record.rows for record in records)
    return replace(contents, records=records, whole=Part(contents.token, _join(records), rows, 0, len(records)))


def _quarantine(journal: Journal, sealed: Sealed, data: bytes | bytearray, damage: Damage) -> None:
    journal.quarantine.add(
        f"{sealed.token}.{damage.offset}.damaged",
        bytes(data[damage.offset : damage.end]),
        reason=f"bytes {damage.offset} to {damage.end} of the segment do not match their checksums",
        rows=0,
    )


def _with_current_types(block: bytes | memoryview) -> memoryview:
    """Return a block of any version with the current column types; an unreadable block stays as it is."""
    try:
        return memoryview(with_nullable_types(block, ROW_COLUMNS))
    except NativeError:
        return memoryview(block)


def _join_in_place(data: bytes | bytearray, records: list[Record]) -> tuple[bytes | memoryview, list[Record]]:
    """Move all rows to the front of `data`, without gaps: so a segment is in memory once, not twice."""
    if not isinstance(data, bytearray):
        return _join(records), records
    view, end, moved_records = memoryview(data), 0, []
    for record in records:
        start, end = end, end + len(record.row_bytes)
        view[start:end] = record.row_bytes
        moved_records.append(replace(record, row_bytes=view[start:end]))
    return view[:end], moved_records


def _join(records: list[Record]) -> bytes:
    return b"".join(record.row_bytes for record in records)


def split(part: Part, contents: Contents) -> list[Part]:
    """Return the two halves of a rejected part, in order; [] for a single row or an unreadable block."""
    if part.rows <= 1:
        return []
    if part.record is None and part.last - part.first > 1:
        middle = (part.first + part.last) // 2
        return [_records_part(contents, part.first, middle), _records_part(contents, middle, part.last)]
    record = part.first if part.record is None else part.record
    first, last = (0, part.rows) if part.record is None else (part.first, part.last)
    middle = (first + last) // 2
    try:
        return [_rows_part(contents, record, first, middle), _rows_part(contents, record, middle, last)]
    except NativeError:
        return []


def _records_part(contents: Contents, first: int, last: int) -> Part:
    records = contents.records[first:last]
    rows = sum(record.rows for record in records)
    return Part(f"{contents.token}-b{first}-{last}", _join(records), rows, first, last)


def _rows_part(contents: Contents, record: int, first: int, last: int) -> Part:
    body = slice_block(contents.records[record].row_bytes, first, last)
    return Part(f"{contents.token}-b{record}-r{first}-{last}", body, last - first, first, last, record)
