"""OTLP's responses, and protobuf messages with the fields of Span, Resource and Event that an event is made of.

They have OTLP's field numbers and other types. A message within another one is on the wire what bytes are: so an
attribute stays bytes, of which most repeat from span to span. Unknown fields are skipped.

Sources: opentelemetry/proto/trace/v1/trace.proto, common/v1/common.proto, resource/v1/resource.proto and
collector/trace/v1/trace_service.proto; google/rpc/status.proto;
https://protobuf.dev/programming-guides/encoding/#submessages for messages within messages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from apimetry.collector.protobuf import BYTES, FIXED64, INT32, INT64, make_classes, message


class HasAttributes(Protocol):
    """A message with attributes, which are messages of the type KeyValue."""

    attributes: Sequence[bytes]


class KeyValueMessage(Protocol):
    """An attribute; its value is a message of the type AnyValue."""

    key: bytes
    value: bytes


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


def encode_status(text: str) -> bytes:
    """Return a Status with a message."""
    return _status(message=text.encode(errors="replace")).SerializeToString()  # type: ignore[no-any-return]


def encode_partial_success(rejected: int, text: str) -> bytes:
    """Return an ExportTraceServiceResponse with the number of rejected spans and a message."""
    partial = _partial_success(rejected_spans=rejected, error_message=text.encode(errors="replace"))
    return _response(partial_success=partial.SerializeToString()).SerializeToString()  # type: ignore[no-any-return]


_span, _resource, _event, _key_value, _status, _partial_success, _response = make_classes(
    "apimetry.otlp",
    message(
        "Span",
        ("attributes", 9, BYTES),
        ("events", 11, BYTES),
        trace_id=(1, BYTES),
        span_id=(2, BYTES),
        trace_state=(3, BYTES),
        name=(5, BYTES),
        kind=(6, INT32),
        start_ns=(7, FIXED64),
        end_ns=(8, FIXED64),
        status=(15, BYTES),
    ),
    message("Resource", ("attributes", 1, BYTES)),
    message("Event", ("attributes", 3, BYTES)),
    message("KeyValue", key=(1, BYTES), value=(2, BYTES)),
    message("Status", message=(2, BYTES)),
    message("PartialSuccess", rejected_spans=(1, INT64), error_message=(2, BYTES)),
    message("Response", partial_success=(1, BYTES)),
)
decode_span: Callable[[bytes], SpanMessage] = _span.FromString
"""Raises google.protobuf.message.DecodeError, as the others do."""
decode_resource: Callable[[bytes], HasAttributes] = _resource.FromString
decode_event: Callable[[bytes], HasAttributes] = _event.FromString
decode_key_value: Callable[[bytes], KeyValueMessage] = _key_value.FromString
