"""The middleware's format: a msgpack envelope with events by position. Nothing here does I/O."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from apimetry.collector.errors import DecodeError
from apimetry.collector.formats.batch import Batch
from apimetry.collector.formats.blocks import US_PER_S, Target, encode_wire_events
from apimetry.collector.formats.decoding import UNREADABLE, Decoders, finish, read_events, too_many, unreadable
from apimetry.collector.formats.event_structs import (
    STRING_LIMITS,
    Envelope,
    LenientWireEvent,
    Sender,
    WireEvent,
)
from apimetry.collector.formats.lenient import cut

CONTENT_TYPE = "application/msgpack"
WIRE_VERSION = 1
BATCH_ID_BYTES = 16
MAX_SENDER_BYTES = 64 * 1024

_WIRE = Decoders("msgpack", msgspec.msgpack.Decoder, strict=WireEvent, lenient=LenientWireEvent)
_decode_envelope = msgspec.msgpack.Decoder(Envelope).decode
_decode_sender = msgspec.msgpack.Decoder(Sender).decode


def decode_msgpack(body: bytes, target: Target, *, max_events: int) -> Batch:
    """Decode the middleware's envelope; raises DecodeError or TooManyEventsError."""
    envelope = _read_envelope(body)
    if not isinstance(envelope.events, Raw):
        raise DecodeError("The msgpack body has no `events`")
    if _array_length(bytes(memoryview(envelope.events)[:5])) > max_events:
        raise too_many(max_events)
    batch = Batch(batch_id=envelope.id)
    sender = _read_sender(envelope)
    if sender is not None:
        sender = batch.sender = _cut(sender, batch)
    events, indexes = read_events(_WIRE, envelope.events, batch, max_events)
    block = encode_wire_events(events, target, sender or Sender())
    out_of_range = [(indexes[position], events[position].timestamp_us / US_PER_S) for position in block.out_of_range]
    return finish(batch, block, out_of_range, target)


def _read_envelope(body: bytes) -> Envelope:
    try:
        envelope = _decode_envelope(body)
    except UNREADABLE as error:
        raise unreadable("msgpack", error, len(body)) from error
    if envelope.v != WIRE_VERSION:
        raise DecodeError(f"Wire format version {envelope.v} is unknown here; this collector reads version 1")
    if envelope.id is not None and len(envelope.id) != BATCH_ID_BYTES:
        raise DecodeError(f"The batch id has {len(envelope.id)} bytes instead of {BATCH_ID_BYTES}")
    return envelope


def _array_length(head: bytes) -> int:
    """Return the length that a msgpack array announces in its first five bytes."""
    if head[0] & 0xF0 == 0x90:
        return head[0] & 0x0F
    if head[0] == 0xDC:
        return int.from_bytes(head[1:3], "big")
    if head[0] == 0xDD:
        return int.from_bytes(head[1:5], "big")
    raise DecodeError("`events` of the msgpack body is not an array")


def _read_sender(envelope: Envelope) -> Sender | None:
    if not isinstance(envelope.sender, Raw):
        return None
    raw = memoryview(envelope.sender)
    if len(raw) > MAX_SENDER_BYTES:
        raise DecodeError(f"The sender record has {len(raw)} bytes; the limit is {MAX_SENDER_BYTES}")
    try:
        return _decode_sender(raw)
    except UNREADABLE as error:
        raise DecodeError(f"The sender record is not readable: {error}") from error


def _cut(sender: Sender, batch: Batch) -> Sender:
    """Return the sender with its strings cut to the limits of their columns; count the cut strings in `batch`."""
    source, cut_source = cut(sender.source, STRING_LIMITS["source"])
    version, cut_version = cut(sender.version, STRING_LIMITS["version"])
    batch.cut_strings += cut_source + cut_version
    return msgspec.structs.replace(sender, source=source, version=version)
