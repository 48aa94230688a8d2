"""Read server spans from an ExportTraceServiceRequest in protobuf.

The messages around the spans are read here, one span after the other. So a body of millions of empty spans takes no
more memory than its bytes. A message is a sequence of fields. A field is a tag (number * 8 + wire type, a varint) and
its value: a varint (wire type 0), 8 bytes (1), a length and so many bytes (2), 4 bytes (5). Groups (3 and 4) are not
read: OTLP never had one.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, Final

from google.protobuf.message import DecodeError as ProtobufError  # type: ignore[import-untyped]  # no stubs

from apimetry.collector.errors import DecodeError
from apimetry.collector.formats.decoding import MAX_EVENT_BYTES
from apimetry.collector.formats.otlp.messages import decode_event, decode_resource, decode_span
from apimetry.collector.formats.otlp.span import (
    EXCEPTION_TYPE,
    OTHER_NUMBERS,
    OTHER_TEXTS,
    PRIVATE_TEXTS,
    RESOURCE_TEXTS,
    SERVER,
    STABLE_NUMBERS,
    STABLE_TEXTS,
    Attributes,
    Span,
    as_number,
    as_text,
    is_stable,
)

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
_STRING, _BOOL, _INT, _DOUBLE = 1, 2, 3, 4
"""The numbers of an AnyValue's fields."""
MAX_GROUPS: Final = 100_000
"""An empty resource costs the sender two bytes, and the collector some microseconds."""
MAX_KNOWN_VALUES: Final = 4096
MAX_KNOWN_BYTES: Final = 128
"""Values of one body that are kept decoded: 2 MB at most."""
_EXCEPTION_TYPE: Final = EXCEPTION_TYPE.encode()
_UNREADABLE = "The protobuf body is truncated, or is no ExportTraceServiceRequest"

Range = tuple[int, int]
"""Where a message begins and ends in the body."""


class ProtobufSpans:
    """The spans of one body."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        # Most values repeat from span to span.
        self._texts = _Decoded(as_text)
        self._numbers = _Decoded(as_number)

    def __iter__(self) -> Iterator[tuple[Attributes, bytes]]:
        """Yield every span's bytes with the attributes of its resource; raises DecodeError."""
        body, groups = self._body, count(1)
        for resource_spans in _messages(body, (0, len(body)), 1):
            resource: Attributes = {}
            for start, end in _messages(body, resource_spans, 1):
                resource.update(self._resource(body[start:end]))
            _check_groups(next(groups))
            for scope_spans in _messages(body, resource_spans, 2):
                _check_groups(next(groups))
                for start, end in _messages(body, scope_spans, 2):
                    yield resource, body[start:end]

    def read(self, body: bytes, *, private: bool) -> Span | None:
        """Return the span of these bytes, or None if its kind is not SERVER; raises DecodeError."""
        try:
            span = decode_span(body)
        except ProtobufError as error:
            raise DecodeError("the span is not readable") from error
        if span.kind != SERVER:
            return None
        attributes = self._attributes(span.attributes)
        if private:
            self._add(attributes, span.attributes, PRIVATE_TEXTS, self._texts)
        if _EXCEPTION_TYPE in body:
            for event in span.events:
                attributes.update(self._exception(event))
        return Span(
            attributes,
            span.trace_id,
            span.span_id,
            _text(span.trace_state),
            _text(span.name),
            span.start_ns,
            span.end_ns,
            _status_code(span.status),
        )

    def _attributes(self, values: Mapping[str, bytes]) -> Attributes:
        """Return the known ones of a span's attributes; the value of one may be None."""
        known: Attributes = {}
        self._add(known, values, STABLE_TEXTS, self._texts)
        self._add(known, values, STABLE_NUMBERS, self._numbers)
        if not is_stable(known):
            self._add(known, values, OTHER_TEXTS, self._texts)
            self._add(known, values, OTHER_NUMBERS, self._numbers)
        return known

    @staticmethod
    def _add(known: Attributes, values: Mapping[str, bytes], names: tuple[str, ...], decoded: _Decoded) -> None:
        get, find = values.get, decoded.get
        for name in names:
            value = get(name)
            if value is not None:
                known[name] = find(value) or decoded.decode(value)

    def _resource(self, body: bytes) -> Attributes:
        if len(body) > MAX_EVENT_BYTES:
            raise DecodeError(f"A resource has {len(body)} bytes; at most {MAX_EVENT_BYTES} are allowed")
        try:
            get = decode_resource(body).attributes.get
        except ProtobufError as error:
            raise DecodeError(_UNREADABLE) from error
        return {name: self._texts.decode(value) for name in RESOURCE_TEXTS if (value := get(name)) is not None}

    def _exception(self, body: bytes) -> Attributes:
        try:
            value = decode_event(body).attributes.get(EXCEPTION_TYPE)
        except ProtobufError as error:
            raise DecodeError("an event of the span is not readable") from error
        return {} if value is None else {EXCEPTION_TYPE: self._texts.decode(value)}


def _check_groups(number: int) -> None:
    if number > MAX_GROUPS:
        raise DecodeError(f"The body has more than {MAX_GROUPS} resources and scopes")


class _Decoded(dict[bytes, Any]):
    """Values by their bytes; `convert` makes a value a text or a number, or None."""

    def __init__(self, convert: Callable[[object], Any]) -> None:
        super().__init__()
        self._convert = convert

    def decode(self, body: bytes) -> Any:  # noqa: ANN401 - a text or a number
        """Return a value, and keep it if there is room."""
        value = self._convert(_any_value(body))
        if len(self) < MAX_KNOWN_VALUES and len(body) <= MAX_KNOWN_BYTES:
            self[body] = value
        return value


def _any_value(body: bytes) -> object:
    """Return the value of an AnyValue: a text, a boolean, an integer or a double; None for lists, maps and bytes."""
    size = len(body)
    # Nearly all values are these two.
    if 2 <= size < 0x80 and body[0] == 0x0A and body[1] == size - 2:
        return _text(body[2:])
    if size == 3 and body[0] == 0x18 and body[1] >= 0x80 > body[2]:
        return body[1] - 0x80 + body[2] * 0x80
    value: object = None
    for number, wire_type, start, end in _fields(body, (0, size)):
        if number == _STRING and wire_type == _BYTES:
            value = _text(body[start:end])
        elif number in (_BOOL, _INT) and wire_type == _VARINT:
            whole, _ = _varint(body, start)
            value = bool(whole) if number == _BOOL else whole - (whole >> 63 << 64)
        elif number == _DOUBLE and wire_type == _EIGHT:
            (value,) = struct.unpack("<d", body[start:end])
        else:
            value = None
    return value


def _status_code(body: bytes) -> int:
    code = 0
    for number, wire_type, start, _ in _fields(body, (0, len(body))) if body else ():
        if number == 3 and wire_type == _VARINT:
            code, _ = _varint(body, start)
    return code


def _text(value: bytes) -> str:
    # A malformed byte of one span never costs the whole batch.
    return value.decode(errors="replace")


def _messages(body: bytes, within: Range, number: int) -> Iterator[Range]:
    """Yield where the messages in a field of a message are."""
    for field, wire_type, start, end in _fields(body, within):
        if field == number:
            if wire_type != _BYTES:
                raise DecodeError(_UNREADABLE)
            yield start, end


def _fields(body: bytes, within: Range) -> Iterator[tuple[int, int, int, int]]:
    """Yield the number and type of every field of a message, and where its value begins and ends.

    Raises DecodeError.
    """
    position, end = within
    while position < end:
        try:
            number, wire_type, start, position = _field(body, position)
        except IndexError:
            raise DecodeError(_UNREADABLE) from None
        if position > end:
            raise DecodeError(_UNREADABLE)
        yield number, wire_type, start, position


def _field(body: bytes, position: int) -> tuple[int, int, int, int]:
    tag, position = _varint(body, position)
    number, wire_type = tag >> 3, tag & 7
    start = position
    if wire_type == _BYTES:
        size, start = _varint(body, position)
        position = start + size
    elif wire_type == _VARINT:
        _, position = _varint(body, position)
    elif wire_type in (_EIGHT, _FOUR):
        position += 8 if wire_type == _EIGHT else 4
    else:
        raise DecodeError(_UNREADABLE)
    if number == 0:
        raise DecodeError(_UNREADABLE)
    return number, wire_type, start, position


def _varint(body: bytes, position: int) -> tuple[int, int]:
    """Return the varint at a position, and the position behind it; raises IndexError at the body's end."""
    byte = body[position]
    if byte < 0x80:
        return byte, position + 1
    value = byte & 0x7F
    for index in range(1, _MAX_VARINT_BYTES):
        byte = body[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & (2**64 - 1), position + index + 1
    raise DecodeError(_UNREADABLE)
