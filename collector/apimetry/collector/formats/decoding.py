"""Decode the events of a body into structs, and describe the invalid events: the part that all formats share.

The fast path decodes and validates the whole batch in C. If it refuses the batch, the slow path decodes every event
alone. A valid event is accepted. An event with too long strings or unknown fields is accepted; its strings are cut
and counted. Any other event is rejected and described. For duplicate keys the last value holds. Nothing here does
I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Generic, TypeVar

import msgspec
from msgspec import Raw

from apimetry.collector.errors import DecodeError, TooManyEventsError
from apimetry.collector.formats.batch import MAX_DETAILS, Batch
from apimetry.collector.formats.blocks import US_PER_S, Block, Target
from apimetry.collector.formats.event_structs import JSONEvent, LenientJSONEvent, LenientWireEvent, WireEvent
from apimetry.collector.formats.lenient import describe, repair
from apimetry.serving.errors import Detail

# Three times the size of an event with all strings and 64 data entries at their limits, in ASCII. A larger event,
# such as a map of a million entries, is refused before it is decoded.
MAX_EVENT_BYTES = 256 * 1024

Strict = TypeVar("Strict", JSONEvent, WireEvent)
Lenient = TypeVar("Lenient", LenientJSONEvent, LenientWireEvent)
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def no_unknown_fields(_: Raw) -> int:
    """Return 0: a positional event has no unknown fields."""
    return 0


class Decoders(Generic[Strict, Lenient]):
    """The decoders of one content type.

    Args:
        name: of the format, for error messages.
        decoder: msgspec's decoder class of the format.
        strict: the struct of a valid event.
        lenient: the struct of an event whose strings may be too long.
        unknown_fields: counts an event's unknown fields.
    """

    def __init__(
        self,
        name: str,
        decoder: type,
        *,
        strict: type[Strict],
        lenient: type[Lenient],
        unknown_fields: Callable[[Raw], int] = no_unknown_fields,
    ) -> None:
        self.name = name
        self.unknown_fields = unknown_fields
        self.decode_events = decoder(list[strict]).decode  # type: ignore[valid-type]
        self.decode_raws = decoder(list[Raw]).decode
        self.decode_strict = decoder(strict).decode
        self.decode_lenient = decoder(lenient).decode
        self.fields = strict.__struct_fields__


def too_many(max_events: int) -> TooManyEventsError:
    """Return the error for a batch with more than `max_events` events."""
    return TooManyEventsError(f"A batch holds at most {max_events} events")


def unreadable(name: str, error: Exception, size: int) -> DecodeError:
    """Return the error for a body of `size` bytes that the decoder of format `name` refused with `error`."""
    if isinstance(error, RecursionError):
        return DecodeError(f"The {name} body is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return DecodeError(f"The {name} body holds a string that is not valid UTF-8")
    return DecodeError(f"The body is not the {name} expected here: {error} (it has {size} bytes)")


def read_events(
    decoders: Decoders[Strict, Lenient], body: bytes | Raw, batch: Batch, max_events: int
) -> tuple[Sequence[Strict | Lenient], Sequence[int]]:
    """Return all valid events and their indexes; count and describe the invalid events in `batch`."""
    if len(memoryview(body)) > MAX_EVENT_BYTES:
        raws = _read_raws(decoders, body, max_events)
        if any(len(memoryview(raw)) > MAX_EVENT_BYTES for raw in raws):
            return _read_one_by_one(decoders, raws, batch)
    try:
        events: list[Strict] = decoders.decode_events(body)
    except UNREADABLE:
        return _read_one_by_one(decoders, _read_raws(decoders, body, max_events), batch)
    if len(events) > max_events:
        raise too_many(max_events)
    return events, range(len(events))


def _read_raws(decoders: Decoders[Strict, Lenient], body: bytes | Raw, max_events: int) -> list[Raw]:
    try:
        raws: list[Raw] = decoders.decode_raws(body)
    except UNREADABLE as error:
        raise unreadable(decoders.name, error, len(memoryview(body))) from error
    if len(raws) > max_events:
        raise too_many(max_events)
    return raws


def _read_one_by_one(
    decoders: Decoders[Strict, Lenient], raws: list[Raw], batch: Batch
) -> tuple[list[Strict | Lenient], list[int]]:
    events: list[Strict | Lenient] = []
    indexes = []
    for index, raw in enumerate(raws):
        event: Strict | Lenient | None
        try:
            _check_size(raw)
            event = decoders.decode_strict(raw)
        except UNREADABLE:
            event = _read_leniently(decoders, index, raw, batch)
        if event is not None:
            events.append(event)
            indexes.append(index)
    return events, indexes


def _check_size(raw: Raw) -> None:
    size = len(memoryview(raw))
    if size > MAX_EVENT_BYTES:
        raise msgspec.ValidationError(f"the event has {size} bytes; at most {MAX_EVENT_BYTES} are allowed")


def _read_leniently(decoders: Decoders[Strict, Lenient], index: int, raw: Raw, batch: Batch) -> Lenient | None:
    try:
        _check_size(raw)
        lenient: Lenient = decoders.decode_lenient(raw)
        event, cut_strings = repair(lenient)
        batch.unknown_fields += decoders.unknown_fields(raw)
    except UNREADABLE as error:
        batch.rejected["invalid"] += 1
        if len(batch.details) < MAX_DETAILS:
            batch.details.append(describe(index, error, decoders.fields))
        return None
    batch.cut_strings += cut_strings
    return event


def finish(batch: Batch, block: Block, out_of_range: list[tuple[int, float]], target: Target) -> Batch:
    """Put the block and the details into the batch, and return it.

    `out_of_range` has the index and the timestamp, in seconds, of every event whose timestamp is out of range.
    """
    for index, timestamp_s in out_of_range:
        reason, message = _explain(timestamp_s, target)
        batch.rejected[reason] += 1
        # The batch may have MAX_DETAILS invalid events already. The sort below mixes both kinds by index.
        if len(batch.details) < 2 * MAX_DETAILS:
            batch.details.append(Detail(index, "timestamp", message))
    batch.details.sort(key=attrgetter("index"))
    del batch.details[MAX_DETAILS:]
    batch.accepted, batch.row_bytes, batch.tally = block.count, block.row_bytes, block.tally
    return batch


def _explain(timestamp_s: float, target: Target) -> tuple[str, str]:
    if timestamp_s * US_PER_S > target.latest_us:
        hint = "; it is in seconds since the epoch" if timestamp_s > 1e11 else ""
        return "timestamp_ahead", f"{timestamp_s!r} is more than 24 hours ahead{hint}"
    return (
        "timestamp_expired",
        f"{timestamp_s!r} is older than the application's retention of {target.retention_days} days",
    )
