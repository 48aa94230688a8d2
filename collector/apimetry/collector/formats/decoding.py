"""Events of a body as structs, and what was wrong with the rest: the part that every format shares.

The fast path decodes and validates the whole batch in C. Where it refuses, the slow path looks at each event
on its own: a valid one is kept, one with too long strings or unknown fields is kept, cut and counted, any
other is reported. Nothing here does I/O. Of duplicate keys the last one holds.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Generic, TypeVar

import msgspec
from msgspec import Raw

from apimetry.collector.errors import DecodeError, TooManyEventsError
from apimetry.collector.formats.batch import MAX_DETAILS, Batch
from apimetry.collector.formats.blocks import US_PER_S, Block, Target
from apimetry.collector.formats.event_structs import JSONEvent, LenientJSONEvent, LenientWireEvent, WireEvent
from apimetry.collector.formats.lenient import Detail, describe, repair

# All strings and 64 data entries at their limits, in ASCII, three times over. A larger event is a map of a million
# entries, or the like: it is refused before it is decoded.
MAX_EVENT_BYTES = 256 * 1024

Strict = TypeVar("Strict", JSONEvent, WireEvent)
Lenient = TypeVar("Lenient", LenientJSONEvent, LenientWireEvent)
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def no_unknown_fields(_: Raw) -> int:
    """Return 0: a positional event has no fields that are not known."""
    return 0


class Decoders(Generic[Strict, Lenient]):
    """The decoders of one content type, by msgspec's `decoder` class.

    `unknown_fields` counts the fields of an event that are not known.
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
    """Return the error of a batch with more than `max_events` events."""
    return TooManyEventsError(f"A batch holds at most {max_events} events")


def unreadable(name: str, error: Exception, size: int) -> DecodeError:
    """Return the error of a body of `size` bytes that the decoder called `name` refused with `error`."""
    if isinstance(error, RecursionError):
        return DecodeError(f"The {name} body is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return DecodeError(f"The {name} body holds a string that is not valid UTF-8")
    return DecodeError(f"The body is not the {name} expected here: {error} (it has {size} bytes)")


def read_events(
    decoders: Decoders[Strict, Lenient], body: bytes | Raw, batch: Batch, max_events: int
) -> tuple[Sequence[Strict | Lenient], Sequence[int]]:
    """Return all events that can be stored, and their indexes; report the others to the batch."""
    if len(memoryview(body)) > MAX_EVENT_BYTES:
        raws = _read_raws(decoders, body, max_events)
        if any(len(memoryview(raw)) > MAX_EVENT_BYTES for raw in raws):
            return _read_each(decoders, raws, batch)
    try:
        events: list[Strict] = decoders.decode_events(body)
    except UNREADABLE:
        return _read_each(decoders, _read_raws(decoders, body, max_events), batch)
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


def _read_each(
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


def finish(batch: Batch, out: Block, out_of_range: list[tuple[int, float]], target: Target) -> Batch:
    """Return the batch with its block, its details in order; `out_of_range` is (index, timestamp in seconds)."""
    for index, timestamp_s in out_of_range:
        reason, message = _explain(timestamp_s, target)
        batch.rejected[reason] += 1
        # Details are first in the order of the batch, and these come on top of up to 100 invalid ones.
        if len(batch.details) < 2 * MAX_DETAILS:
            batch.details.append(Detail(index, "timestamp", message))
    batch.details.sort(key=attrgetter("index"))
    del batch.details[MAX_DETAILS:]
    batch.accepted, batch.row_bytes = out.count, out.row_bytes
    return batch


def _explain(timestamp_s: float, target: Target) -> tuple[str, str]:
    if timestamp_s * US_PER_S > target.latest_us:
        hint = "; it is in seconds since the epoch" if timestamp_s > 1e11 else ""
        return "timestamp_ahead", f"{timestamp_s!r} is more than 24 hours ahead{hint}"
    return (
        "timestamp_expired",
        f"{timestamp_s!r} is older than the application's retention of {target.retention_days} days",
    )
