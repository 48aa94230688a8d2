"""A request's body to rows, and what was wrong with the rest.

The fast path decodes and validates the whole batch in C. Where it refuses, the slow path looks at each event
on its own: a valid one is kept, one with too long strings or unknown fields is kept, cut and counted, any
other is reported. Nothing here does I/O. Of duplicate keys the last one holds.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Generic, TypeVar

import msgspec
from msgspec import Raw

from apimetry.collector import rows
from apimetry.collector.errors import DecodeError, TooManyEventsError
from apimetry.collector.events import (
    STRING_LIMITS,
    Envelope,
    JSONEvent,
    LenientJSONEvent,
    LenientWireEvent,
    Sender,
    WireEvent,
)
from apimetry.collector.formats.lenient import Detail, cut, describe, repair

WIRE_VERSION = 1
BATCH_ID_BYTES = 16
MAX_DETAILS = 100
MAX_SENDER_BYTES = 64 * 1024
# An event has at most 18 fields. A body with far more commas than its events could need is refused unread,
# because each of its elements would become an object of some 60 bytes.
COMMAS_PER_EVENT = 64
# All strings and 64 data entries at their limits, in ASCII, three times over. A larger event is a map of a million
# entries, or the like: it is refused before it is decoded.
MAX_EVENT_BYTES = 256 * 1024

Strict = TypeVar("Strict", JSONEvent, WireEvent)
Lenient = TypeVar("Lenient", LenientJSONEvent, LenientWireEvent)
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(slots=True, kw_only=True)
class Batch:
    """What a body held: rows as a block, and counts of everything else."""

    accepted: int = 0
    row_bytes: bytes = b""
    """The rows to store as one block; empty if there are none."""
    batch_id: bytes | None = None
    sender: Sender | None = None
    rejected: Counter[str] = field(default_factory=Counter)
    """Events by reason: `invalid`, `timestamp_ahead`, `timestamp_expired`."""
    details: list[Detail] = field(default_factory=list)
    """Of the first rejected events, ascending."""
    cut_strings: int = 0
    unknown_fields: int = 0

    @property
    def rejected_total(self) -> int:
        """Events that are not stored."""
        return sum(self.rejected.values())


class Format(Generic[Strict, Lenient]):
    """The decoders of one content type; `module` is `msgspec.json` or `msgspec.msgpack`."""

    def __init__(self, name: str, decoder: type, *, strict: type[Strict], lenient: type[Lenient]) -> None:
        self.name = name
        self.decode_events = decoder(list[strict]).decode  # type: ignore[valid-type]
        self.decode_raws = decoder(list[Raw]).decode
        self.decode_strict = decoder(strict).decode
        self.decode_lenient = decoder(lenient).decode
        self.fields = strict.__struct_fields__


JSON = Format("JSON", msgspec.json.Decoder, strict=JSONEvent, lenient=LenientJSONEvent)
WIRE = Format("msgpack", msgspec.msgpack.Decoder, strict=WireEvent, lenient=LenientWireEvent)
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_envelope = msgspec.msgpack.Decoder(Envelope).decode
_decode_sender = msgspec.msgpack.Decoder(Sender).decode


def decode_json(body: bytes, target: rows.Target, *, max_events: int) -> Batch:
    """Decode an array of objects; raises DecodeError or TooManyEventsError."""
    if body.count(b",") > max_events * COMMAS_PER_EVENT:
        raise _too_many(max_events)
    batch = Batch()
    events, indexes = _read_events(JSON, body, batch, max_events)
    out = rows.encode_json_events(events, target)
    times_s = [(indexes[position], events[position].timestamp) for position in out.left_out]
    return _finish(batch, out, times_s, target)


def decode_msgpack(body: bytes, target: rows.Target, *, max_events: int) -> Batch:
    """Decode the middleware's envelope; raises DecodeError or TooManyEventsError."""
    envelope = _read_envelope(body)
    if not isinstance(envelope.events, Raw):
        raise DecodeError("The msgpack body has no `events`")
    if _array_length(bytes(memoryview(envelope.events)[:5])) > max_events:
        raise _too_many(max_events)
    batch = Batch(batch_id=envelope.id)
    batch.sender = _read_sender(envelope)
    sender = _cut_sender(batch)
    events, indexes = _read_events(WIRE, envelope.events, batch, max_events)
    out = rows.encode_wire_events(events, target, sender)
    times_s = [(indexes[each], events[each].timestamp_us / rows.US_PER_S) for each in out.left_out]
    return _finish(batch, out, times_s, target)


def _too_many(max_events: int) -> TooManyEventsError:
    return TooManyEventsError(f"A batch holds at most {max_events} events")


def _unreadable(name: str, error: Exception, size: int) -> DecodeError:
    if isinstance(error, RecursionError):
        return DecodeError(f"The {name} body is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return DecodeError(f"The {name} body holds a string that is not valid UTF-8")
    return DecodeError(f"The body is not the {name} expected here: {error} (it has {size} bytes)")


def _read_envelope(body: bytes) -> Envelope:
    try:
        envelope = _decode_envelope(body)
    except UNREADABLE as error:
        raise _unreadable("msgpack", error, len(body)) from error
    if envelope.v != WIRE_VERSION:
        raise DecodeError(f"Wire format version {envelope.v} is unknown here; this collector reads version 1")
    if envelope.id is not None and len(envelope.id) != BATCH_ID_BYTES:
        raise DecodeError(f"The batch id has {len(envelope.id)} bytes instead of {BATCH_ID_BYTES}")
    return envelope


def _array_length(head: bytes) -> int:
    """The length that a msgpack array announces in its first five bytes."""
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


def _cut_sender(batch: Batch) -> Sender:
    """The sender with its strings within their columns' limits."""
    sender = batch.sender or Sender()
    source, cut_source = cut(sender.source, STRING_LIMITS["source"])
    version, cut_version = cut(sender.version, STRING_LIMITS["version"])
    batch.cut_strings += cut_source + cut_version
    return msgspec.structs.replace(sender, source=source, version=version)


def _read_events(
    form: Format[Strict, Lenient], body: bytes | Raw, batch: Batch, max_events: int
) -> tuple[Sequence[Strict | Lenient], Sequence[int]]:
    """All events that can be stored, and their indexes; the others are reported to the batch."""
    if len(memoryview(body)) > MAX_EVENT_BYTES:
        raws = _read_raws(form, body, max_events)
        if any(len(memoryview(raw)) > MAX_EVENT_BYTES for raw in raws):
            return _read_each(form, raws, batch)
    try:
        events: list[Strict] = form.decode_events(body)
    except UNREADABLE:
        return _read_each(form, _read_raws(form, body, max_events), batch)
    if len(events) > max_events:
        raise _too_many(max_events)
    return events, range(len(events))


def _read_raws(form: Format[Strict, Lenient], body: bytes | Raw, max_events: int) -> list[Raw]:
    try:
        raws: list[Raw] = form.decode_raws(body)
    except UNREADABLE as error:
        raise _unreadable(form.name, error, len(memoryview(body))) from error
    if len(raws) > max_events:
        raise _too_many(max_events)
    return raws


def _read_each(
    form: Format[Strict, Lenient], raws: list[Raw], batch: Batch
) -> tuple[list[Strict | Lenient], list[int]]:
    events: list[Strict | Lenient] = []
    indexes = []
    for index, raw in enumerate(raws):
        event: Strict | Lenient | None
        try:
            _check_size(raw)
            event = form.decode_strict(raw)
        except UNREADABLE:
            event = _read_leniently(form, index, raw, batch)
        if event is not None:
            events.append(event)
            indexes.append(index)
    return events, indexes


def _check_size(raw: Raw) -> None:
    size = len(memoryview(raw))
    if size > MAX_EVENT_BYTES:
        raise msgspec.ValidationError(f"the event has {size} bytes; at most {MAX_EVENT_BYTES} are allowed")


def _read_leniently(form: Format[Strict, Lenient], index: int, raw: Raw, batch: Batch) -> Lenient | None:
    try:
        _check_size(raw)
        lenient: Lenient = form.decode_lenient(raw)
        event, cut_strings = repair(lenient)
        if form is JSON:
            batch.unknown_fields += len(_decode_object(raw).keys() - set(form.fields))
    except UNREADABLE as error:
        batch.rejected["invalid"] += 1
        if len(batch.details) < MAX_DETAILS:
            batch.details.append(describe(index, error, form.fields))
        return None
    batch.cut_strings += cut_strings
    return event


def _finish(batch: Batch, out: rows.Rows, out_of_range: list[tuple[int, float]], target: rows.Target) -> Batch:
    for index, timestamp_s in out_of_range:
        reason, message = _explain(timestamp_s, target)
        batch.rejected[reason] += 1
        # Details are first in the order of the batch, and these come on top of up to 100 invalid ones.
        if len(batch.details) < 2 * MAX_DETAILS:
            batch.details.append(Detail(index, "timestamp", message))
    batch.details.sort(key=attrgetter("index"))
    del batch.details[MAX_DETAILS:]
    batch.accepted, batch.row_bytes = out.count, out.block
    return batch


def _explain(timestamp_s: float, target: rows.Target) -> tuple[str, str]:
    if timestamp_s * rows.US_PER_S > target.latest_us:
        hint = "; it is in seconds since the epoch" if timestamp_s > 1e11 else ""
        return "timestamp_ahead", f"{timestamp_s!r} is more than 24 hours ahead{hint}"
    return (
        "timestamp_expired",
        f"{timestamp_s!r} is older than the application's retention of {target.retention_days} days",
    )
