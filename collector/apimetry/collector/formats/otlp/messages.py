"""Protobuf messages with the fields of OTLP's Span, Resource and Event that an event is made of.

They have OTLP's field numbers and other types. A map of texts to bytes is on the wire what a list of KeyValue is: so
protobuf's C code finds an attribute by its key, and makes no Python object of any other. Unknown fields are skipped.

Sources: opentelemetry/proto/trace/v1/trace.proto, common/v1/common.proto and resource/v1/resource.proto;
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
_TEXT, _BYTES, _ENUM = (
    FieldDescriptorProto.TYPE_STRING,
    FieldDescriptorProto.TYPE_BYTES,
    FieldDescriptorProto.TYPE_INT32,
)
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


def _message(message_name: str, attributes: int, **fields: tuple[int, int]) -> DescriptorProto:
    """Return a message with attributes under a number, and single fields with their numbers and types."""
    message = DescriptorProto(name=message_name)
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
    for field, (number, type_) in fields.items():
        message.field.add(name=field, number=number, type=type_)
    return message


def _make_decoders() -> list[Any]:
    span = _message(
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
    messages = [span, _message("Resource", 1), _message("Event", 3)]
    file = FileDescriptorProto(name="apimetry/otlp.proto", package=_PACKAGE, syntax="proto3", message_type=messages)
    # A pool of our own: the host's may have a file of the same name.
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    names = [f"{_PACKAGE}.{message.name}" for message in messages]
    return [GetMessageClass(pool.FindMessageTypeByName(name)).FromString for name in names]


_span, _resource, _event = _make_decoders()
decode_span: Callable[[bytes], SpanMessage] = _span
"""Raises google.protobuf.message.DecodeError, as the others do."""
decode_resource: Callable[[bytes], HasAttributes] = _resource
decode_event: Callable[[bytes], HasAttributes] = _event
