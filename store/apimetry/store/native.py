"""Blocks of ClickHouse's `Native` format: columns to bytes and back, for the types that our tables have.

The engine takes a block as it is instead of parsing rows, which is most of what another format's insert costs. A
block names its columns and their types; blocks one after another are a body. Layout, with numbers little-endian and
lengths as LEB128 varints:

- a block: number of columns, number of rows; for each column its name, its type's name, its prefix, its values;
- an integer: its bytes; a DateTime64(6): µs since the epoch as Int64; a DateTime: seconds as UInt32;
- a String: length in bytes, and the bytes;
- Nullable(T): a byte for each row, 1 for a null; then a T for each row, whatever it is for a null;
- LowCardinality(String): the prefix is UInt64 1. Values: UInt64 of the indexes' width (0 UInt8, 1 UInt16, 2 UInt32)
  and the bits 9 (keys follow) and 10 (of this block alone); UInt64 number of keys, the keys as Strings; UInt64 number
  of rows, an index for each;
- Map(K, V): the prefixes of K and V. Values: for each row the UInt64 number of entries up to its end; then all keys,
  then all values. Of no values at all nothing is written, not even by LowCardinality.

Sources: https://clickhouse.com/docs/interfaces/formats/Native; SerializationLowCardinality.cpp of ClickHouse; and the
bytes that chDB 26.9 writes, with which the tests compare.
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
"""A column's values: of which Python type is said by the name of its ClickHouse type."""

_INTEGERS: Final = {
    "UInt8": "B",
    "UInt16": "H",
    "UInt32": "I",
    "UInt64": "Q",
    "DateTime('UTC')": "I",
    "DateTime64(6, 'UTC')": "q",
}
_WIDTHS: Final = "BHI"
_KEYS_OF_THIS_BLOCK: Final = 1 << 9 | 1 << 10
_LOW_CARDINALITY_PREFIX: Final = struct.pack("<Q", 1)


class NativeError(ValueError):
    """Bytes that are no block of the types known here, or a type that is not."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a block that was read."""

    name: str
    type: str
    values: Values


def encode_block(types: Mapping[str, str], columns: Iterable[Values]) -> bytes:
    """The columns as one block: `types` are their names and types in order, and all have the same number of rows.

    The same columns give the same bytes in every process. Raises NativeError for a type that is not known, and
    struct.error, TypeError or AttributeError for values that are not of their type.
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
    """The columns of one block; raises NativeError unless the bytes are exactly that."""
    reader = _Reader(bytes(body))
    columns = _read_block(reader)
    if reader.position != len(reader.body):
        raise NativeError(f"{len(reader.body) - reader.position} bytes follow the block")
    return columns


def decode_blocks(body: bytes | memoryview) -> list[list[Column]]:
    """The columns of each block of a body; raises NativeError."""
    reader = _Reader(bytes(body))
    blocks = []
    while reader.position < len(reader.body):
        blocks.append(_read_block(reader))
    return blocks


def slice_block(body: bytes | memoryview, first: int, last: int) -> bytes:
    """A block of the rows `[first, last)` of a block; raises NativeError."""
    columns = decode_block(body)
    return encode_block({each.name: each.type for each in columns}, [each.values[first:last] for each in columns])


def with_nullable_types(body: bytes | memoryview, types: Mapping[str, str]) -> bytes | memoryview:
    """The block with those columns Nullable that `types` has so, by name; raises NativeError.

    For a block that was written before its table took nulls: the engine is told to convert nothing.
    """
    columns = decode_block(body)
    wanted = {each.name: types.get(each.name) for each in columns}
    own = {each.name: each.type for each in columns}
    changed = {name: f"Nullable({kind})" for name, kind in own.items() if wanted[name] == f"Nullable({kind})"}
    return encode_block({**own, **changed}, [each.values for each in columns]) if changed else body


@dataclass(slots=True)
class _Reader:
    body: bytes
    position: int = 0

    def take(self, size: int) -> bytes:
        """The next bytes."""
        end = self.position + size
        if end > len(self.body):
            raise NativeError(f"the block ends within a value, {end - len(self.body)} bytes too early")
        taken = self.body[self.position : end]
        self.position = end
        return taken

    def integers(self, code: str, number: int) -> tuple[int, ...]:
        """The next integers of one kind."""
        return struct.unpack(f"<{number}{code}", self.take(number * struct.calcsize(f"<{code}")))

    def varint(self) -> int:
        """The next length."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7


@dataclass(frozen=True, slots=True)
class _Codec:
    """How a type's values are written and read; reading is told how many there are."""

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
    """What stands before a column's values, and how these are written."""
    codec = _codec(type_name)
    return _encode_strings((name, type_name)) + codec.prefix, codec


def _codec(type_name: str) -> _Codec:
    if type_name == "String":
        return _Codec(_encode_strings, _decode_strings)
    if type_name == "LowCardinality(String)":
        return _Codec(_encode_low_cardinality, _decode_low_cardinality, _LOW_CARDINALITY_PREFIX)
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


# Before a string of so many ASCII characters, and before one of so many bytes: most are short.
_SHORT: Final = tuple(map(chr, range(0x80)))
_LENGTHS: Final = tuple(map(_varint, range(0x400)))


def _all_alike(values: Values) -> bool:
    # Many columns hold one value, often one object; the ends of the others mostly differ.
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


def _encode_strings(values: Values) -> bytes:
    if len(values) > 1 and _all_alike(values):
        return _encode_strings(values[:1]) * len(values)
    try:
        joined = "".join([_SHORT[len(value)] + value for value in values])
        if joined.isascii():
            return joined.encode()
    except IndexError:
        pass  # one is longer
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
    if _all_alike(values):
        return _encode_dictionary(values[:1], 0, bytes(len(values)), len(values))
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    found = list(map(numbers.__getitem__, values))
    width = 0 if len(numbers) <= 1 << 8 else 1 if len(numbers) <= 1 << 16 else 2
    return _encode_dictionary(tuple(numbers), width, _encode_integers(_WIDTHS[width], found), len(values))


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
