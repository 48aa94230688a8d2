"""Decode the spans of a body into a batch. A span that cannot become an event costs no other span anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from typing import Final, Protocol

from apimetry.collector.errors import DecodeError
from apimetry.collector.formats.batch import MAX_DETAILS, Batch
from apimetry.collector.formats.blocks import US_PER_S, Columns, Target, encode_columns
from apimetry.collector.formats.decoding import MAX_EVENT_BYTES, UNREADABLE, finish, too_many
from apimetry.collector.formats.event_structs import STRING_LIMITS
from apimetry.collector.formats.lenient import describe
from apimetry.collector.formats.otlp.conventions import COLUMNS, Row, Rows, Service, SpanFault, make_service
from apimetry.collector.formats.otlp.json import JSONSpans
from apimetry.collector.formats.otlp.protobuf import ProtobufSpans
from apimetry.collector.formats.otlp.span import Attributes, Span
from apimetry.serving.errors import Detail

SPANS_PER_EVENT: Final = 16
"""A body has at most so many spans of all kinds for each server span that it may have."""
# A span has some 30 attributes at most, and each has two commas. Every comma may become an object of some 60 bytes.
COMMAS_PER_EVENT: Final = 128
BATCH_ID_BYTES: Final = 16
CHUNK: Final = 512


_NO_RESOURCE: Final[Attributes] = {}


class Spans(Protocol):
    """The spans of one body in one encoding."""

    def __iter__(self) -> Iterator[tuple[Attributes, bytes]]:
        """Yield every span's bytes with the attributes of its resource; raises DecodeError."""

    def read(self, body: bytes, /, *, private: bool) -> Span | None:
        """Return the span of these bytes, or None if its kind is not SERVER; raises DecodeError or UNREADABLE.

        `private` asks for its PRIVATE_TEXTS, too.
        """


def decode_protobuf(body: bytes, target: Target, *, max_events: int) -> Batch:
    """Decode an ExportTraceServiceRequest; raises DecodeError or TooManyEventsError."""
    return _decode(ProtobufSpans(body), target, max_events)


def decode_json(body: bytes, target: Target, *, max_events: int) -> Batch:
    """Decode an ExportTraceServiceRequest in JSON; raises DecodeError or TooManyEventsError."""
    if body.count(b",") > max_events * COMMAS_PER_EVENT:
        raise too_many(max_events)
    return _decode(JSONSpans(body), target, max_events)


@dataclass(slots=True)
class _Events:
    """The rows of a body, with the positions and the ids of their spans."""

    make_row: Callable[[Span, Service], Row | None]
    rows: list[Row] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)


def _decode(spans: Spans, target: Target, max_events: int) -> Batch:
    batch, events = Batch(), _Events(Rows().make)
    _read(spans, batch, events, max_events)
    if not events.rows:
        return finish(batch, encode_columns({}, target), [], target)
    columns: Columns = dict(zip(COLUMNS, zip(*events.rows, strict=True), strict=True))
    _cut(columns, batch)
    # The order does not count: an exporter may gather the same spans anew.
    batch.batch_id = blake2b(b"".join(sorted(events.seen)), digest_size=BATCH_ID_BYTES).digest()
    block = encode_columns(columns, target)
    out_of_range = [
        (events.indexes[position], columns["timestamp"][position] / US_PER_S) for position in block.out_of_range
    ]
    return finish(batch, block, out_of_range, target)


def _read(spans: Spans, batch: Batch, events: _Events, max_events: int) -> None:
    """Make the rows of all server spans; count the other spans, and count and describe the invalid ones."""
    resource, service = _NO_RESOURCE, make_service(_NO_RESOURCE)
    numbered = enumerate(spans)
    # One step for many spans, then the next step: that is a quarter faster than all steps for one span.
    while chunk := list(islice(numbered, CHUNK)):
        if chunk[-1][0] >= max_events * SPANS_PER_EVENT:
            raise too_many(max_events)
        read = []
        for index, (attributes, body) in chunk:
            if attributes is not resource:
                resource, service = attributes, make_service(attributes)
            read.append((index, service, _span(spans, body, service)))
        for index, its_service, span in read:
            _add(batch, events, index, span, its_service)
        if len(events.rows) > max_events:
            raise too_many(max_events)


def _span(spans: Spans, body: bytes, service: Service) -> Span | Exception | None:
    if len(body) > MAX_EVENT_BYTES:
        return DecodeError(f"the span has {len(body)} bytes; at most {MAX_EVENT_BYTES} are allowed")
    try:
        return spans.read(body, private=service.is_private)
    except (DecodeError, *UNREADABLE) as error:
        return error


def _add(batch: Batch, events: _Events, index: int, span: Span | Exception | None, service: Service) -> None:
    """Add the row of a span, or count why it has none."""
    if span is None:
        batch.ignored += 1
        return
    if isinstance(span, Exception):
        _reject(batch, index, span)
        return
    try:
        row = events.make_row(span, service)
    except SpanFault as error:
        _reject(batch, index, error)
        return
    # The start is for spans without ids.
    span_id = span.trace_id + span.span_id + span.start_ns.to_bytes(8, "big")
    if row is None or span_id in events.seen:
        batch.ignored += 1
        return
    events.seen.add(span_id)
    events.rows.append(row)
    events.indexes.append(index)


def _reject(batch: Batch, index: int, error: Exception) -> None:
    batch.rejected["invalid"] += 1
    if len(batch.details) < MAX_DETAILS:
        if isinstance(error, SpanFault):
            batch.details.append(Detail(index, error.field, str(error)))
        else:
            batch.details.append(describe(index, error, ()))


def _cut(columns: Columns, batch: Batch) -> None:
    """Cut texts to the limits of their columns, and count them."""
    for name, limit in STRING_LIMITS.items():
        values = columns[name]
        if max(map(len, values)) > limit:
            batch.cut_strings += sum(len(value) > limit for value in values)
            columns[name] = [value[:limit] for value in values]
