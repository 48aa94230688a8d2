"""The JSON format: an array of objects. Nothing here does I/O."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from apimetry.collector.errors import DecodeError
from apimetry.collector.formats.batch import Batch
from apimetry.collector.formats.blocks import Target, encode_json_events
from apimetry.collector.formats.decoding import Decoders, finish, read_events, too_many
from apimetry.collector.formats.event_structs import JSONEvent, LenientJSONEvent
from apimetry.collector.formats.surrogates import replace_halves

CONTENT_TYPE = "application/json"
# An event has at most 18 fields. A body with far more commas than its events could need is refused before it is
# decoded: every one of its elements would become an object of some 60 bytes.
COMMAS_PER_EVENT = 64

_FIELDS = frozenset(JSONEvent.__struct_fields__)
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


def _unknown_fields(event: Raw) -> int:
    return len(_decode_object(event).keys() - _FIELDS)


_JSON = Decoders(
    "JSON",
    msgspec.json.Decoder,
    strict=JSONEvent,
    lenient=LenientJSONEvent,
    unknown_fields=_unknown_fields,
)


def decode_json(body: bytes, target: Target, *, max_events: int) -> Batch:
    """Decode an array of objects; raises DecodeError or TooManyEventsError."""
    if body.count(b",") > max_events * COMMAS_PER_EVENT:
        raise too_many(max_events)
    try:
        return _decode(body, target, max_events)
    except DecodeError:
        replaced = replace_halves(body)
        if replaced == body:
            raise
        return _decode(replaced, target, max_events)


def _decode(body: bytes, target: Target, max_events: int) -> Batch:
    batch = Batch()
    events, indexes = read_events(_JSON, body, batch, max_events)
    block = encode_json_events(events, target)
    out_of_range = [(indexes[position], events[position].timestamp) for position in block.out_of_range]
    return finish(batch, block, out_of_range, target)
