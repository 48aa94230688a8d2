"""Read server spans from OTLP's JSON: protobuf's mapping to JSON, with ids in hexadecimal and enums as numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Raw, Struct

from apimetry.collector.errors import DecodeError
from apimetry.collector.formats.decoding import UNREADABLE, unreadable
from apimetry.collector.formats.otlp.span import (
    EXCEPTION_TYPE,
    NUMBERS,
    OTHER_NUMBERS,
    OTHER_TEXTS,
    PRIVATE_TEXTS,
    SERVER,
    Attributes,
    Span,
    as_number,
    as_text,
    is_stable,
)
from apimetry.collector.formats.surrogates import replace_halves

_KINDS: Final = (SERVER, "SPAN_KIND_SERVER")
_ERRORS: Final = (2, "STATUS_CODE_ERROR")
_OTHERS: Final = frozenset(OTHER_TEXTS + OTHER_NUMBERS)
_HEX: Final = re.compile("(?:[0-9a-fA-F]{2})*")


class _Value(Struct, rename="camel", frozen=True, gc=False):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None


class _Attribute(Struct, frozen=True, gc=False):
    key: str | None = None
    value: _Value | None = None


class _Event(Struct, frozen=True, gc=False):
    attributes: list[_Attribute] | None = None


class _Status(Struct, frozen=True, gc=False):
    code: int | str | None = None


class _Span(Struct, rename="camel", frozen=True, gc=False):
    trace_id: str | None = None
    span_id: str | None = None
    trace_state: str | None = None
    name: str | None = None
    kind: int | str | None = None
    start_time_unix_nano: int | str | None = None
    end_time_unix_nano: int | str | None = None
    attributes: list[_Attribute] | None = None
    events: list[_Event] | None = None
    status: _Status | None = None


class _Resource(Struct, frozen=True):
    attributes: list[_Attribute] | None = None


class _ScopeSpans(Struct, frozen=True):
    spans: list[Raw] | None = None


class _ResourceSpans(Struct, rename="camel", frozen=True):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _Request(Struct, rename="camel", frozen=True):
    resource_spans: list[_ResourceSpans] | None = None


_decode_request = msgspec.json.Decoder(_Request).decode
_decode_span = msgspec.json.Decoder(_Span).decode


class JSONSpans:
    """The spans of one body."""

    def __init__(self, body: bytes) -> None:
        try:
            self._request = _read_request(body)
        except UNREADABLE as error:
            raise unreadable("JSON", error, len(body)) from error

    def __iter__(self) -> Iterator[tuple[Attributes, bytes]]:
        """Yield every span's bytes with the attributes of its resource."""
        for resource_spans in self._request.resource_spans or ():
            resource = resource_spans.resource
            attributes = _attributes(resource.attributes if resource else None)
            for scope_spans in resource_spans.scope_spans or ():
                for span in scope_spans.spans or ():
                    yield attributes, bytes(span)

    def read(self, body: bytes, *, private: bool) -> Span | None:
        """Return the span of these bytes, or None if its kind is not SERVER; raises UNREADABLE."""
        span = _decode_span(body)
        if span.kind not in _KINDS:
            return None
        attributes = _attributes(span.attributes)
        if not private:
            attributes = {name: value for name, value in attributes.items() if name not in PRIVATE_TEXTS}
        if is_stable(attributes):
            attributes = {name: value for name, value in attributes.items() if name not in _OTHERS}
        for event in span.events or ():
            exception = _attributes(event.attributes)
            if EXCEPTION_TYPE in exception:
                attributes[EXCEPTION_TYPE] = exception[EXCEPTION_TYPE]
        return Span(
            attributes=attributes,
            trace_id=_id(span.trace_id),
            span_id=_id(span.span_id),
            trace_state=span.trace_state or "",
            name=span.name or "",
            start_ns=_number(span.start_time_unix_nano),
            end_ns=_number(span.end_time_unix_nano),
            status=2 if span.status is not None and span.status.code in _ERRORS else 0,
        )


def _read_request(body: bytes) -> _Request:
    try:
        return _decode_request(body)
    except UNREADABLE:
        replaced = replace_halves(body)
        if replaced == body:
            raise
        return _decode_request(replaced)


def _attributes(attributes: list[_Attribute] | None) -> Attributes:
    known: Attributes = {}
    for attribute in attributes or ():
        key, value = attribute.key or "", attribute.value
        if value is None:
            continue
        held = (value.string_value, value.bool_value, value.int_value, _double(value.double_value))
        convert = as_number if key in NUMBERS else as_text
        known[key] = convert(next((member for member in held if member is not None), None))
    return known


def _double(value: float | str | None) -> float | None:
    """Return a double, which JSON may hold as a text ("Infinity", "1e3"); None where the text is of no number."""
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def _id(text: str | None) -> bytes:
    return bytes.fromhex(text) if text and _HEX.fullmatch(text) else b""


def _number(value: int | str | None) -> int:
    """Return a 64-bit number, which JSON may hold as text; raises DecodeError."""
    if isinstance(value, str):
        if not (value.isascii() and value.isdecimal() and len(value) <= 20):
            raise DecodeError(f"{value[:40]!r} is not a time in nanoseconds")
        value = int(value)
    if value is None:
        return 0
    if not 0 <= value < 2**64:
        raise DecodeError("a time is not a number of 64 bits")
    return value
