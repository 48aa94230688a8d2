"""OTLP's responses, and protobuf messages with the fields of Span, Resource and Event that an event is made of.

They have OTLP's field numbers and other types. A map of texts to bytes is on the wire what a list of KeyValue is: so
protobuf's C code finds an attribute by its key, and makes no Python object of any other. Unknown fields are skipped.

Sources: opentelemetry/proto/trace/v1/trace.proto, common/v1/common.proto, resource/v1/resource.proto and
collector/trace/v1/trace_service.proto; google/rpc/status.proto;
https://protobuf.dev/programming-guides/proto3/#maps for maps on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from google.protobuf.descriptor_pb2 import (  # type: ignore[import-untyped]  # it ships no stubs
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool  # type: ignore[import-untyped]  # likewise
from google.protobuf.message_factory import GetMessageClass  # type: ignore[import-untyped]  # likewise

_PACKAGE: Final = "apimetry.otlp"
_TEXT = FieldDescriptorProto.TYPE_STRING
_BYTES = FieldDescriptorProto.TYPE_BYTES
_ENUM = FieldDescriptorProto.TYPE_INT32
_NUMBER = FieldDescriptorProto.TYPE_INT64
_TIME = FieldDescriptorProto.TYPE_FIXED64


class HasAttributes(Protocol):
    """A message with attributes; the values are messages of the type AnyValue."""

    attributes: Mapping[str, bytes]


class SpanMessage(HasAttributes, Protocol):
    """A span."""

    trace_id: bytes
    span_id: bytes
    trace_state: bytes
    name: bytes
    kind: int
    start_ns: int
    end_ns: int
    events: Sequence[bytes]
    status: bytes


def encode_status(message: str) -> bytes:
    """Return a Status with a message."""
    return _status(message=message.encode(errors="replace")).SerializeToString()  # type: ignore[no-any-return]


def encode_partial_success(rejected: int, message: str) -> bytes:
    """Return an ExportTraceServiceResponse with the number of rejected spans and a message."""
    partial = _partial_success(rejected_spans=rejected, error_message=message.encode(errors="replace"))
    return _response(partial_success=partial.SerializeToString()).SerializeToString()  # type: ignore[no-any-return]


def _message(name: str, fields: Mapping[str, tuple[int, int]]) -> DescriptorProto:
    """Return a message with single fields, whose numbers and types are given."""
    message = DescriptorProto(name=name)
    for field, (number, type_) in fields.items():
        message.field.add(name=field, number=number, type=type_)
    return message


def _with_attributes(message_name: str, attributes: int, **fields: tuple[int, int]) -> DescriptorProto:
    """Return a message with attributes under a number, and with single fields."""
    message = _message(message_name, fields)
    entry = message.nested_type.add(name="AttributesEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_TEXT)
    entry.field.add(name="value", number=2, type=_BYTES)
    message.field.add(
        name="attributes",
        number=attributes,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        label=FieldDescriptorProto.LABEL_REPEATED,
        type_name=f".{_PACKAGE}.{message_name}.AttributesEntry",
    )
    return message


def _make_classes() -> list[Any]:
    span = _with_attributes(
        "Span",
        9,
        trace_id=(1, _BYTES),
        span_id=(2, _BYTES),
        trace_state=(3, _BYTES),
        name=(5, _BYTES),
        kind=(6, _ENUM),
        start_ns=(7, _TIME),
        end_ns=(8, _TIME),
        status=(15, _BYTES),
    )
    span.field.add(name="events", number=11, type=_BYTES, label=FieldDescriptorProto.LABEL_REPEATED)
    messages = [
        *(span, _with_attributes("Resource", 1), _with_attributes("Event", 3)),
        _message("Status", {"message": (2, _BYTES)}),
        _message("PartialSuccess", {"rejected_spans": (1, _NUMBER), "error_message": (2, _BYTES)}),
        # A message within another one is on the wire what bytes are.
        _message("Response", {"partial_success": (1, _BYTES)}),
    ]
    file = FileDescriptorProto(name="apimetry/otlp.proto", package=_PACKAGE, syntax="proto3", message_type=messages)
    # A pool of our own: the host's may have a file of the same name.
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    names = [f"{_PACKAGE}.{message.name}" for message in messages]
    return [GetMessageClass(pool.FindMessageTypeByName(name)) for name in names]


_span, _resource, _event, _status, _partial_success, _response = _make_classes()
decode_span: Callable[[bytes], SpanMessage] = _span.FromString
"""Raises google.protobuf.message.DecodeError, as the others do."""
decode_resource: Callable[[bytes], HasAttributes] = _resource.FromString
decode_event: Callable[[bytes], HasAttributes] = _event.FromString
