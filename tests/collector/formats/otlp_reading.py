"""Read a request of OTLP in either encoding, and return what is stored of it."""

from __future__ import annotations

import time

from apimetry.collector.formats.blocks import make_target
from apimetry.collector.formats.otlp.decode import decode_json, decode_protobuf
from apimetry.collector.formats.user_agents import UserAgents
from tests.support.services.collecting import unpack_rows
from tests.support.services.spans import as_json, as_protobuf, request

TARGET = make_target("shop", 90, now_us=int(time.time() * 1e6), max_ahead_s=86_400, user_agents=UserAgents())
ENCODINGS = {"json": (as_json, decode_json), "protobuf": (as_protobuf, decode_protobuf)}


def read(encoding, sent, max_events=1000):
    encode, decode = ENCODINGS[encoding]
    return decode(encode(sent), TARGET, max_events=max_events)


def rows(encoding, *spans, **resource):
    batch = read(encoding, request(*spans, **resource))
    assert (batch.accepted, batch.rejected_total) == (len(spans), 0), batch.details
    return unpack_rows(batch.row_bytes)
