"""Encode and decode blocks of ClickHouse's `Native` format, for the types of our tables.

The engine inserts a block without parsing rows; parsing is most of the cost of an insert in another format. A block
names its columns and their types. A body is a sequence of blocks. Numbers are little-endian, and lengths are LEB128
varints. The layout:

- a block: number of columns, number of rows; then per column its name, its type's name, its prefix, its values;
- an integer: its bytes; a DateTime64(6): µs since the epoch as Int64; a DateTime: seconds as UInt32;
- a String: its length in bytes, then its bytes; a FixedString(16): its bytes;
- Nullable(T): one byte per row, 1 for a null; then one T per row, and any T for a null;
- LowCardinality(String): the prefix is UInt64 1. The values begin with a UInt64 of flags: the width of the indexes
  (0 UInt8, 1 UInt16, 2 UInt32), bit 9 (keys follow) and bit 10 (the keys belong to this block only). Then: UInt64
  number of keys, the keys as Strings, UInt64 number of rows, one index per row;
- Map(K, V): the prefixes of K and V. The values: per row the UInt64 number of entries up to the row's end, then all
  keys, then all values. A LowCardinality column of no values writes nothing.

Sources: https://clickhouse.com/docs/interfaces/formats/Native; SerializationLowCardinality.cpp of ClickHouse; the
bytes of chDB 26.9, with which the tests compare.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate, chain, count, pairwise
from typing import Any, Final

Values = Sequence[Any]
"""A column's values. The column's ClickHouse type determines their Python type."""

_INTEGERS: Final = {
    "UInt8": "B",
    "UInt16": "H",
    "UInt32": "I",
    "UInt64": "Q",
    "DateTime('UTC')": "I",
    "DateTime64(6, 'UTC')": "q",
}
_WIDTHS: Final = "BHI"
_KEY_BYTES: Final = 16
_KEYS_OF_THIS_BLOCK: Final = 1 << 9 | 1 << 10
_LOW_CARDINALITY_PREFIX: Final = struct.pack("<Q", 1)


class NativeError(ValueError):
    """The bytes are not a block of supported types, or a type is not supported."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a decoded block."""

    name: str
    type: str
    values: Values


def encode_block(types: Mapping[str, str], columns: Iterable[Values]) -> bytes:
    """Return the columns as one block; `types` maps their names to their types, in the order of the columns.

    All columns have the same number of rows. The same columns give the same bytes in every process. Raises
    NativeError for a type that is not supported, and struct.error, TypeError or AttributeError for a value of the
    wrong type.
    """
    parts = [b""]
    rows = 0
    for (name, type_name), values in zip(types.items(), columns, strict=True):
        rows = len(values)
        heading, codec = _column(name, type_name)
        parts += (heading, codec.encode(values))
    parts[0] = _varint(len(types)) + _varint(rows)
    return b"".join(parts)


def decode_block(body: bytes | memoryview) -> list[Column]:
    """Return the columns of one block; raises NativeError unless the bytes are exactly one block."""
    reader = _Reader(bytes(body))
    columns = _read_block(reader)
    if reader.position != len(reader.body):
        raise NativeError(f"{len(reader.body) - reader.position} bytes follow the block")
    return columns


def decode_blocks(body: bytes | memoryview) -> list[list[Column]]:
    """Return the columns of every block of a body; raises NativeError."""
    reader = _Reader(bytes(body))
    blocks = []
    while reader.position < len(reader.body):
        blocks.append(_read_block(reader))
    return blocks


def slice_block(body: bytes | memoryview, first: int, last: int) -> bytes:
    """Return a block of the rows `[first, last)` of a block; raises NativeError."""
    columns = decode_block(body)
    types = {column.name: column.type for column in columns}
    return encode_block(types, [column.values[first:last] for column in columns])


def with_nullable_types(body: bytes | memoryview, types: Mapping[str, str]) -> bytes | memoryview:
    """Return the block with Nullable columns where `types` has Nullable for the same name; raises NativeError.

    Use it for a block that was written before its table's column became Nullable: inserts convert no types.
    """
    columns = decode_block(body)
    old_types = {column.name: column.type for column in columns}
    new_types = {
        name: f"Nullable({type_name})" if types.get(name) == f"Nullable({type_name})" else type_name
        for name, type_name in old_types.items()
    }
    return body if new_types == old_types else encode_block(new_types, [column.values for column in columns])


@dataclass(slots=True)
class _Reader:
    body: bytes
    position: int = 0

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        end = self.position + size
        if end > len(self.body):
            raise NativeError(f"the block ends within a value, {end - len(self.body)} bytes too early")
        data = self.body[self.position : end]
        self.position = end
        return data

    def integers(self, code: str, number: int) -> tuple[int, ...]:
        """Return the next integers; `code` is their format of `struct`."""
        return struct.unpack(f"<{number}{code}", self.take(number * struct.calcsize(f"<{code}")))

    def varint(self) -> int:
        """Return the next varint."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7


@dataclass(frozen=True, slots=True)
class _Codec:
    """How to write and read the values of one type; `decode` gets the number of values."""

    encode: Callable[[Values], bytes]
    decode: Callable[[_Reader, int], Values]
    prefix: bytes = b""


def _read_block(reader: _Reader) -> list[Column]:
    columns, rows = reader.varint(), reader.varint()
    return [_read_column(reader, rows) for _ in range(columns)]


def _read_column(reader: _Reader, rows: int) -> Column:
    name, type_name = _decode_strings(reader, 2)
    _, codec = _column(name, type_name)
    if reader.take(len(codec.prefix)) != codec.prefix:
        raise NativeError(f"{name} is written in another version of {type_name}")
    return Column(name, type_name, codec.decode(reader, rows))


@lru_cache
def _column(name: str, type_name: str) -> tuple[bytes, _Codec]:
    """Return the bytes before a column's values, and the codec of the values."""
    codec = _codec(type_name)
    return _encode_strings((name, type_name)) + codec.prefix, codec


def _codec(type_name: str) -> _Codec:
    if type_name == "String":
        return _Codec(_encode_strings, _decode_strings)
    if type_name == "LowCardinality(String)":
        return _Codec(_encode_low_cardinality, _decode_low_cardinality, _LOW_CARDINALITY_PREFIX)
    if type_name == "FixedString(16)":
        return _Codec(_encode_keys, _decode_keys)
    if type_name in _INTEGERS:
        code = _INTEGERS[type_name]
        return _Codec(partial(_encode_integers, code), partial(_decode_integers, code))
    outer, _, inner = type_name.removesuffix(")").partition("(")
    if outer == "Nullable" and inner in _INTEGERS:
        code = _INTEGERS[inner]
        return _Codec(partial(_encode_nullable, code), partial(_decode_nullable, code))
    if outer == "Map" and ", " in inner:
        keys, values = map(_codec, inner.split(", ", 1))
        prefix = keys.prefix + values.prefix
        return _Codec(partial(_encode_maps, keys, values), partial(_decode_maps, keys, values), prefix)
    raise NativeError(f"{type_name} is not a type known here")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


# The varints of short lengths, by length: as text before ASCII characters, and as bytes. Most strings are short.
_SHORT_LENGTHS: Final = tuple(map(chr, range(0x80)))
_LENGTHS: Final = tuple(map(_varint, range(0x400)))


def _is_constant(values: Values) -> bool:
    # Many columns hold one value, often one object. In other columns the first and the last value mostly differ.
    return len(values) > 0 and values[0] == values[-1] and values.count(values[0]) == len(values)


def _encode_integers(code: str, values: Values) -> bytes:
    return struct.pack(f"<{len(values)}{code}", *values)


def _decode_integers(code: str, reader: _Reader, rows: int) -> Values:
    return reader.integers(code, rows)


def _encode_nullable(code: str, values: Values) -> bytes:
    nulls = values.count(None)
    if not nulls:
        return bytes(len(values)) + _encode_integers(code, values)
    if nulls == len(values):
        return b"\x01" * nulls + bytes(nulls * struct.calcsize(f"<{code}"))
    return bytes([value is None for value in values]) + _encode_integers(code, [value or 0 for value in values])


def _decode_nullable(code: str, reader: _Reader, rows: int) -> Values:
    nulls = reader.take(rows)
    return [None if null else value for null, value in zip(nulls, reader.integers(code, rows), strict=True)]


def _encode_keys(values: Values) -> bytes:
    wrong = next((value for value in values if len(value) != _KEY_BYTES), None)
    if wrong is not None:
        raise TypeError(f"a key has {len(wrong)} bytes instead of {_KEY_BYTES}")
    return b"".join(values)


def _decode_keys(reader: _Reader, rows: int) -> Values:
    return [reader.take(_KEY_BYTES) for _ in range(rows)]


def _encode_strings(values: Values) -> bytes:
    if len(values) > 1 and _is_constant(values):
        return _encode_strings(values[:1]) * len(values)
    try:
        joined = "".join([_SHORT_LENGTHS[len(value)] + value for value in values])
        if joined.isascii():
            return joined.encode()
    except IndexError:
        pass  # a string is longer
    return b"".join([_length(encoded) + encoded for encoded in map(str.encode, values)])


def _length(encoded: bytes) -> bytes:
    size = len(encoded)
    return _LENGTHS[size] if size < len(_LENGTHS) else _varint(size)


def _decode_strings(reader: _Reader, rows: int) -> Values:
    try:
        return [str(reader.take(reader.varint()), "utf-8") for _ in range(rows)]
    except UnicodeDecodeError as error:
        raise NativeError("a string is not valid UTF-8") from error


def _encode_low_cardinality(values: Values) -> bytes:
    if not values:
        return b""
    if _is_constant(values):
        return _encode_dictionary(values[:1], 0, bytes(len(values)), len(values))
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    indexes = list(map(numbers.__getitem__, values))
    width = 0 if len(numbers) <= 1 << 8 else 1 if len(numbers) <= 1 << 16 else 2
    return _encode_dictionary(tuple(numbers), width, _encode_integers(_WIDTHS[width], indexes), len(values))


def _encode_dictionary(keys: Values, width: int, indexes: bytes, rows: int) -> bytes:
    head = struct.pack("<QQ", width | _KEYS_OF_THIS_BLOCK, len(keys))
    return b"".join((head, _encode_strings(keys), struct.pack("<Q", rows), indexes))


def _decode_low_cardinality(reader: _Reader, rows: int) -> Values:
    if not rows:
        return []
    flags, size = reader.integers("Q", 2)
    width = flags ^ _KEYS_OF_THIS_BLOCK
    if not 0 <= width < len(_WIDTHS):
        raise NativeError(f"a dictionary has the flags {flags:#x}")
    keys = _decode_strings(reader, size)
    if reader.integers("Q", 1) != (rows,):
        raise NativeError("a dictionary has another number of rows than its block")
    indexes = reader.integers(_WIDTHS[width], rows)
    if max(indexes) >= size:
        raise NativeError("a row points beyond its dictionary")
    return [keys[index] for index in indexes]


def _encode_maps(keys: _Codec, values: _Codec, maps: Values) -> bytes:
    if not any(maps):
        return bytes(8 * len(maps))
    ends = struct.pack(f"<{len(maps)}Q", *accumulate(map(len, maps)))
    return b"".join(
        (
            ends,
            keys.encode(list(chain.from_iterable(maps))),
            values.encode(list(chain.from_iterable(map(dict.values, maps)))),
        )
    )


def _decode_maps(keys: _Codec, values: _Codec, reader: _Reader, rows: int) -> Values:
    ends = reader.integers("Q", rows)
    if any(end < start for start, end in pairwise((0, *ends))):
        raise NativeError("a map ends before it begins")
    entries = ends[-1] if ends else 0
    pairs = list(zip(keys.decode(reader, entries), values.decode(reader, entries), strict=True))
    return [dict(pairs[start:end]) for start, end in pairwise((0, *ends))]
