"""The format of a segment file, and how damage in it is recognized.

All numbers are big-endian.

- A file is a header of 24 bytes, and then records without gaps. The header: magic `APIMSPOL`, version u16, six
  reserved bytes, created_ns >> 32 as u32, CRC-32 of the preceding 20 bytes.
- A record is a header of 22 bytes, a meta part, and the rows. The header: magic A5 `REC`, length u32 of meta and
  rows, row count u32, meta length u16, CRC-32 of meta and rows, CRC-32 of the preceding 18 bytes. Both CRCs start
  from the CRC of the segment's token and the record's offset. So a record in a wrong place is not valid.
- The rows are one block of ClickHouse's Native format. The block names its columns and their types, so that a later
  version can insert it. A change that an earlier version could not insert, such as a new column, makes a new version
  of the segment format.
- The meta part is msgpack `[batch key bin(16) or nil, application, received_us, report or nil, is first]`; earlier
  versions did not write whether the batch is surely a first attempt. A report is
  `[instance, captured, sent_before, sent, {reason: dropped}, source, version]`; earlier versions wrote neither source
  nor version. A reader ignores elements that a later version
  appends.
- The file's name is `{token}.open` while it grows, and `{token}.{length}.{rows}.seg` once it is sealed. Only its
  first `length` bytes are valid.
- A token is `{created_ns:020d}-{32 random hex digits}`. Tokens sort by time and are never reused. The token is the
  insert's deduplication token: the rows of a sealed segment never change.
"""

from __future__ import annotations

import secrets
import struct
import zlib
from dataclasses import dataclass

import msgspec

VERSION = 4
READABLE_VERSIONS = (2, 3, VERSION)
"""In version 3 there was no family of user agents, and in version 2 no response time was null. Version 1 had rows of
MsgPack; no release wrote version 1."""
MAGIC = b"APIMSPOL"
RECORD_MAGIC = b"\xa5REC"
_HEADER = struct.Struct(">8sH6xI")
_RECORD = struct.Struct(">4sIIHI")
_CRC = struct.Struct(">I")
HEADER_BYTES = _HEADER.size + _CRC.size
RECORD_HEADER_BYTES = _RECORD.size + _CRC.size
# The most that a meta part takes: a key of 16 bytes, an application and an instance of 64 characters, five numbers.
META_BYTES = 512
REASON_BYTES = 64
UTF8_BYTES = 4
NOTHING_SENT_BEFORE = 2**63


class Report(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A sender's cumulative counts with the batch's outcome added: see `apimetry.collector.reports`."""

    instance: str
    captured: int
    sent_before: int
    sent: int
    dropped: dict[str, int]
    source: str = ""
    version: str = ""

    @property
    def text_bytes(self) -> int:
        """Return the most bytes that the texts of its sender take beyond META_BYTES."""
        return (len(self.source) + len(self.version)) * UTF8_BYTES + len(self.dropped) * REASON_BYTES


class Meta(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The meta part of a record: where its rows come from."""

    batch_key: bytes | None
    application: str
    received_us: int
    report: Report | None = None
    is_first: bool = False
    """Whether the sender says that it never sent the batch before."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A batch that will be written: its number of rows, and the rows as one block."""

    meta: Meta
    rows: int
    row_bytes: bytes

    @property
    def record_bytes(self) -> int:
        """Return the most bytes that the record can take on the disk."""
        texts = self.meta.report.text_bytes if self.meta.report else 0
        return len(self.row_bytes) + RECORD_HEADER_BYTES + META_BYTES + texts


@dataclass(frozen=True, slots=True)
class Record:
    """A whole record of a file: its bytes match their checksums."""

    offset: int
    end: int
    meta: Meta
    rows: int
    row_bytes: memoryview


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that belong to no whole record."""

    offset: int
    end: int


@dataclass(frozen=True, slots=True, order=True)
class Sealed:
    """A segment that will not change any more. `file_bytes` is its size on the disk; `length` bytes are valid."""

    token: str
    length: int
    rows: int
    file_bytes: int

    @property
    def name(self) -> str:
        """Return the name of the segment's file."""
        return f"{self.token}.{self.length}.{self.rows}.seg"

    @property
    def created_ns(self) -> int:
        """Return when the segment was begun."""
        return created_ns(self.token)


def created_ns(token: str) -> int:
    """Return when a segment was begun, in nanoseconds since the epoch."""
    return int(token[:20])


def new_token(now_ns: int) -> str:
    """Return a token that no segment ever had: its 128 random bits also hold after a clock step or a wiped spool."""
    return f"{now_ns:020d}-{secrets.token_hex(16)}"


def open_name(token: str) -> str:
    """Return the file's name while the segment grows."""
    return f"{token}.open"


def parse_sealed(name: str, file_bytes: int) -> Sealed | None:
    """Return the sealed segment that a file's name describes; None for any other file."""
    parts = name.split(".")
    if len(parts) != 4 or parts[3] != "seg" or not (parts[1].isdigit() and parts[2].isdigit()):
        return None
    return Sealed(parts[0], int(parts[1]), int(parts[2]), file_bytes)


def encode_header(created_ns: int) -> bytes:
    """Return the header of a segment."""
    header = _HEADER.pack(MAGIC, VERSION, created_ns >> 32 & 0xFFFFFFFF)
    return header + _CRC.pack(zlib.crc32(header))


def read_version(data: bytes | bytearray) -> int | None:
    """Return the version of the segment format; None if the header is torn or damaged."""
    if len(data) < HEADER_BYTES or zlib.crc32(data[: _HEADER.size]) != _CRC.unpack_from(data, _HEADER.size)[0]:
        return None
    magic, version, _ = _HEADER.unpack_from(data)
    return int(version) if magic == MAGIC else None


def encode_record(entry: Entry, token: str, offset: int) -> bytes:
    """Return the bytes of a record at `offset` of the segment."""
    seed = _seed(token, offset)
    meta = msgspec.msgpack.encode(entry.meta)
    crc = zlib.crc32(entry.row_bytes, zlib.crc32(meta, seed))
    length = len(meta) + len(entry.row_bytes)
    header = _RECORD.pack(RECORD_MAGIC, length, entry.rows, len(meta), crc)
    return b"".join((header, _CRC.pack(zlib.crc32(header, seed)), meta, entry.row_bytes))


def scan(data: bytes | bytearray, token: str) -> tuple[list[Record], list[Damage]]:
    """Return all whole records, and the damage between and after them.

    After damage, the scan goes on at the next place where a record's checksums match. So a flipped bit loses one
    record. A damaged file header alone loses no record.
    """
    view = memoryview(data)
    records: list[Record] = []
    damages: list[Damage] = []
    offset = HEADER_BYTES
    while offset < len(data):
        record = _read_record(view, token, offset)
        if record is None:
            record = _next_record(data, view, token, offset + 1)
            damages.append(Damage(offset, record.offset if record else len(data)))
            if record is None:
                break
        records.append(record)
        offset = record.end
    return records, damages


def _seed(token: str, offset: int) -> int:
    return zlib.crc32(offset.to_bytes(8, "big"), zlib.crc32(token.encode()))


def _read_record(view: memoryview, token: str, offset: int) -> Record | None:
    body = offset + RECORD_HEADER_BYTES
    if body > len(view):
        return None
    magic, length, rows, meta_length, crc = _RECORD.unpack_from(view, offset)
    end, seed = body + length, _seed(token, offset)
    header_crc: int = _CRC.unpack_from(view, offset + _RECORD.size)[0]
    if magic != RECORD_MAGIC or end > len(view) or meta_length > length:
        return None
    if zlib.crc32(view[offset : offset + _RECORD.size], seed) != header_crc:
        return None
    if zlib.crc32(view[body:end], seed) != crc:
        return None
    meta = msgspec.msgpack.decode(view[body : body + meta_length], type=Meta)
    return Record(offset, end, meta, rows, view[body + meta_length : end])


def _next_record(data: bytes | bytearray, view: memoryview, token: str, start: int) -> Record | None:
    offset = data.find(RECORD_MAGIC, start)
    while offset >= 0:
        record = _read_record(view, token, offset)
        if record is not None:
            return record
        offset = data.find(RECORD_MAGIC, offset + 1)
    return None
