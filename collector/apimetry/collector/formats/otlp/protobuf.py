"""Read server spans from an ExportTraceServiceRequest in protobuf.

The messages around the spans are read here, one span after the other. So a body of millions of empty spans takes no
more memory than its bytes. A message is a sequence of fields. A field is a tag (number * 8 + wire type, a varint) and
its value: a varint (wire type 0), 8 bytes (1), a length and so many bytes (2), 4 bytes (5). Groups (3 and 4) are not
read: OTLP never had one.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count
from typing import Any, Final

from google.protobuf.message import DecodeError as ProtobufError  # type: ignore[import-untyped]  # no stubs

from apimetry.collector.errors import DecodeError
from apimetry.collector.formats.decoding import MAX_EVENT_BYTES
from apimetry.collector.formats.otlp.messages import (
    SpanMessage,
    decode_event,
    decode_key_value,
    decode_resource,
    decode_span,
)
from apimetry.collector.formats.otlp.span import (
    EXCEPTION_TYPE,
    NUMBERS,
    SERVER,
    TEXTS,
    Attributes,
    Read,
    Span,
    as_number,
    as_text,
    too_large,
)

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
_STRING, _BOOL, _INT, _DOUBLE = 1, 2, 3, 4
"""The numbers of an AnyValue's fields."""
MAX_RESOURCES_AND_SCOPES: Final = 100_000
"""An empty resource costs the sender two bytes, and the collector some microseconds."""
MAX_KNOWN: Final = 8192
"""When so many attributes of a body are kept decoded, they are forgotten."""
_UNREADABLE = "The protobuf body is truncated, or is no ExportTraceServiceRequest"

Range = tuple[int, int]
"""Where a message begins and ends in the body."""
Convert = Callable[[object], Any]
"""Makes a value a text or a number, or None."""
Item = tuple[str, Any] | None
"""The name and the value of an attribute; None if no event has it."""

_DAMAGED: Final = ""
"""The name of an attribute that is not readable."""

_CONVERTERS: Final[dict[bytes, tuple[str, Convert]]] = {
    name.encode(): (name, convert) for names, convert in ((TEXTS, as_text), (NUMBERS, as_number)) for name in names
}
_EXCEPTION_TYPE: Final = EXCEPTION_TYPE.encode()


class ProtobufSpans:
    """The spans of one body."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        # Most attributes repeat from span to span.
        self._known: dict[bytes, Item] = {}

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

    def read(self, bodies: Sequence[bytes]) -> list[Read]:
        """Return for each body its span, None if its kind is not SERVER, or the error why it cannot be read."""
        # One step for all spans, then the next step: that is much faster than all steps for one span.
        messages = list(map(_decode_span, bodies))
        pairs = [
            () if isinstance(span, DecodeError) or span.kind != SERVER else span.attributes[:] for span in messages
        ]
        self._learn(chain.from_iterable(pairs))
        find = self._known.get
        attributes = [dict(filter(None, map(find, each))) for each in pairs]
        return list(map(self._span, bodies, messages, attributes))

    def _span(self, body: bytes, message: SpanMessage | DecodeError, attributes: Attributes) -> Read:
        if isinstance(message, DecodeError):
            return message
        if message.kind != SERVER:
            return None
        if _EXCEPTION_TYPE in body:
            for event in message.events:
                self._add_exception(attributes, event)
        if _DAMAGED in attributes:
            return DecodeError("an attribute of the span is not readable")
        try:
            status = _status_code(message.status) if message.status else 0
        except DecodeError:
            return DecodeError("the status of the span is not readable")
        return Span(
            attributes,
            message.trace_id,
            message.span_id,
            _text(message.trace_state),
            _text(message.name),
            message.start_ns,
            message.end_ns,
            status,
        )

    def _add_exception(self, attributes: Attributes, event: bytes) -> None:
        try:
            exception = self._attributes(decode_event(event).attributes)
        except ProtobufError:
            exception = {_DAMAGED: None}
        attributes.update((name, exception[name]) for name in (EXCEPTION_TYPE, _DAMAGED) if name in exception)

    def _resource(self, body: bytes) -> Attributes:
        if len(body) > MAX_EVENT_BYTES:
            raise DecodeError(f"A resource has {len(body)} bytes; at most {MAX_EVENT_BYTES} are allowed")
        try:
            attributes = self._attributes(decode_resource(body).attributes)
        except ProtobufError as error:
            raise DecodeError(_UNREADABLE) from error
        if _DAMAGED in attributes:
            raise DecodeError(_UNREADABLE)
        return attributes

    def _attributes(self, pairs: Sequence[bytes]) -> Attributes:
        """Return the attributes that an event may have."""
        self._learn(pairs)
        return dict(filter(None, map(self._known.get, pairs)))

    def _learn(self, pairs: Iterable[bytes]) -> None:
        """Decode those of these attributes that are not known yet."""
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
        new = set(pairs).difference(self._known)
        self._known.update(zip(new, map(_item, new), strict=True))


def _decode_span(body: bytes) -> SpanMessage | DecodeError:
    if len(body) > MAX_EVENT_BYTES:
        return too_large(body)
    try:
        return decode_span(body)
    except ProtobufError:
        return DecodeError("the span is not readable")


def _item(pair: bytes) -> Item:
    """Return the attribute of a KeyValue."""
    size = len(pair)
    # Nearly all pairs are a key and a value of less than 128 bytes.
    if size >= 4 and pair[0] == 0x0A and pair[1] < 0x80:
        end = pair[1] + 2
        named = _CONVERTERS.get(pair[2:end])
        if named is None:
            return None
        if end + 2 <= size < end + 0x82 and pair[end] == 0x12 and pair[end + 1] == size - end - 2:
            return _convert(named, pair[end + 2 :])
    try:
        read = decode_key_value(pair)
    except ProtobufError:
        return (_DAMAGED, None)
    named = _CONVERTERS.get(read.key)
    return _convert(named, read.value) if named else None


def _convert(named: tuple[str, Convert], value: bytes) -> Item:
    try:
        return named[0], named[1](_any_value(value))
    except DecodeError:
        return (_DAMAGED, None)


def _check_groups(number: int) -> None:
    if number > MAX_RESOURCES_AND_SCOPES:
        raise DecodeError(f"The body has more than {MAX_RESOURCES_AND_SCOPES} resources and scopes")


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
    for number, wire_type, start, _ in _fields(body, (0, len(body))):
        if number == 3 and wire_type == _VARINT:
            code, _ = _varint(body, start)
    return code


def _text(value: bytes) -> str:
    # A malformed byte of one span never costs the whole batch.
    return value.decode(errors="replace")


def _messages(body: bytes, within: Range, number: int) -> Iterator[Range]:
    """Yield where the messages in a field of a message are."""
    for field_number, wire_type, start, end in _fields(body, within):
        if field_number == number:
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
