"""The format of a segment: what its bytes mean, and which of them can be trusted.

Numbers, all big-endian:

- A file is a header of 24 bytes and then records without gaps. Header: magic `APIMSPOL`, version u16, six reserved
  bytes, created_ns >> 32 as u32, CRC-32 of the preceding 20 bytes.
- A record is a header of 22 bytes, a meta part and the rows: one block of ClickHouse's Native format, which names its
  columns and their types, so that a later version can insert it. What an earlier version could not insert, a new
  column above all, makes a new format version. The header: magic A5 `REC`, length u32 of meta and
  rows, row count u32, meta length u16, CRC-32 of meta and rows, CRC-32 of the preceding 18 bytes. Both CRCs
  start from the CRC of the segment's token and the record's offset, so that a record in a wrong place is none.
- The meta part is msgpack `[batch key bin(16) or nil, application, received_us, report or nil]`; a report is
  `[instance, captured, sent_before, sent, {reason: dropped}]`. A reader ignores what a later version appends.
- Names: `{token}.open` while it grows, `{token}.{length}.{rows}.seg` once it is sealed; only the first
  `length` bytes count. A token is `{created_ns:020d}-{32 hex digits of randomness}`: sorted by time, never
  reused, and the insert's deduplication token. A sealed segment's rows are the same bytes for ever.
"""

import secrets
import struct
import zlib
from dataclasses import dataclass

import msgspec

VERSION = 3
READABLE_VERSIONS = (2, VERSION)
"""Version 2 had response times that are never null. Version 1, of which no release wrote any, had rows of MsgPack."""
MAGIC = b"APIMSPOL"
RECORD_MAGIC = b"\xa5REC"
_HEADER = struct.Struct(">8sH6xI")
_RECORD = struct.Struct(">4sIIHI")
_CRC = struct.Struct(">I")
HEADER_BYTES = _HEADER.size + _CRC.size
RECORD_HEADER_BYTES = _RECORD.size + _CRC.size
# At most: a key of 16 bytes, an application of 64 and an instance of 64 characters, and five numbers.
META_BYTES = 512
REASON_BYTES = 64
NOTHING_SENT_BEFORE = 2**63


class Report(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A sender's cumulative counts with this batch settled: see `apimetry.collector.reports`."""

    instance: str
    captured: int
    sent_before: int
    sent: int
    dropped: dict[str, int]


class Meta(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a record says about its rows."""

    batch_key: bytes | None
    application: str
    received_us: int
    report: Report | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A batch on its way to the disk: `rows` rows as a block in `row_bytes`."""

    meta: Meta
    rows: int
    row_bytes: bytes

    @property
    def record_bytes(self) -> int:
        """At most what it takes on the disk."""
        reasons = len(self.meta.report.dropped) if self.meta.report else 0
        return len(self.row_bytes) + RECORD_HEADER_BYTES + META_BYTES + reasons * REASON_BYTES


@dataclass(frozen=True, slots=True)
class Record:
    """A whole record as read back: its bytes matched their checksum."""

    offset: int
    end: int
    meta: Meta
    rows: int
    row_bytes: memoryview


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes between whole records that are none."""

    offset: int
    end: int


@dataclass(frozen=True, slots=True, order=True)
class Sealed:
    """A segment that will not change any more. `file_bytes` is what it takes on the disk."""

    token: str
    length: int
    rows: int
    file_bytes: int

    @property
    def name(self) -> str:
        """Its file's name."""
        return f"{self.token}.{self.length}.{self.rows}.seg"

    @property
    def created_ns(self) -> int:
        """When it was begun."""
        return int(self.token[:20])


def new_token(now_ns: int) -> str:
    """A name that no segment ever had: 128 random bits guard against clock steps and wiped spools."""
    return f"{now_ns:020d}-{secrets.token_hex(16)}"


def open_name(token: str) -> str:
    """The file's name while the segment grows."""
    return f"{token}.open"


def parse_sealed(name: str, file_bytes: int) -> Sealed | None:
    """The segment that a file's name stands for; None for any other file."""
    parts = name.split(".")
    if len(parts) != 4 or parts[3] != "seg" or not (parts[1].isdigit() and parts[2].isdigit()):
        return None
    return Sealed(parts[0], int(parts[1]), int(parts[2]), file_bytes)


def encode_header(created_ns: int) -> bytes:
    """A segment's first bytes."""
    header = _HEADER.pack(MAGIC, VERSION, created_ns >> 32 & 0xFFFFFFFF)
    return header + _CRC.pack(zlib.crc32(header))


def read_version(data: bytes | bytearray) -> int | None:
    """The format's version; None if the header is torn or damaged."""
    if len(data) < HEADER_BYTES or zlib.crc32(data[: _HEADER.size]) != _CRC.unpack_from(data, _HEADER.size)[0]:
        return None
    magic, version, _ = _HEADER.unpack_from(data)
    return int(version) if magic == MAGIC else None


def encode_record(entry: Entry, token: str, offset: int) -> bytes:
    """The record as it stands at `offset` of the segment."""
    seed = _seed(token, offset)
    meta = msgspec.msgpack.encode(entry.meta)
    crc = zlib.crc32(entry.row_bytes, zlib.crc32(meta, seed))
    length = len(meta) + len(entry.row_bytes)
    header = _RECORD.pack(RECORD_MAGIC, length, entry.rows, len(meta), crc)
    return b"".join((header, _CRC.pack(zlib.crc32(header, seed)), meta, entry.row_bytes))


def scan(data: bytes | bytearray, token: str) -> tuple[list[Record], list[Damage]]:
    """Every whole record, and what lies between and after them.

    After damage the search goes on at the next place where a record's checksums match, so that a flipped bit
    loses one record. A damaged file header alone loses nothing.
    """
    view = memoryview(data)
    records: list[Record] = []
    damages: list[Damage] = []
    offset = HEADER_BYTES
    while offset < len(data):
        record = _read_record(view, token, offset)
        if record is None:
            found = _next_record(data, view, token, offset + 1)
            damages.append(Damage(offset, found.offset if found else len(data)))
            if found is None:
                break
            record = found
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
