"""A body that is not of its format is refused, whatever it holds, and no limit is exceeded on the way."""

from __future__ import annotations

import json
import time

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimetry.collector.errors import DecodeError, TooManyEventsError
from apimetry.collector.formats import blocks
from apimetry.collector.formats.json import decode_json
from apimetry.collector.formats.msgpack import decode_msgpack
from apimetry.collector.formats.user_agents import UserAgents
from tests.support.services.collecting import envelope, event, wire_row

NOW_US = int(time.time() * 1e6)
TARGET = blocks.make_target("shop", 90, now_us=NOW_US, max_ahead_s=86_400, user_agents=UserAgents())


def read_json(sent, **options):
    body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    return decode_json(body, TARGET, **{"max_events": 10_000, **options})


def read_wire(*sent, **changes):
    return decode_msgpack(envelope(list(sent), **changes), TARGET, max_events=10_000)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "0 bytes"),
        (b"{", "1 bytes"),
        (b"[1, 2", "5 bytes"),
        (b"[{}] x", "trailing"),
        (b"[nan]", "byte"),
        (b"\xff\xfe", "byte"),
        (b'{"timestamp": 1}', "array"),
        (b'"text"', "array"),
        (b"[" * 100_000, "nested"),
        (b'[{"a":' * 10_000, "nested"),
    ],
)
def test_body_that_is_not_json_is_refused_with_the_place(body, says):
    with pytest.raises(DecodeError, match=says):
        read_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[1e999]",
        b"[" + b"9" * 5000 + b"]",
        b'[{"timestamp": 1e400}]',
        b'["\\ud800xxxxxxxx"]',
        b'["\xff"]',
        b'[{"url": "\xed\xa0\x80"}]',
        b"[" + b'{"a":' * 500 + b"1" + b"}" * 500 + b"]",
        b"[NaN]",
        b"[null, true, [], {}]",
    ],
)
def test_hostile_json_stores_nothing(body):
    try:
        batch = read_json(body)
    except DecodeError:
        return
    assert (batch.accepted, batch.row_bytes) == (0, b"")
    assert batch.rejected_total >= 1


def test_bottomless_unknown_field_costs_the_batch():
    # Deeper than the recursion limit of every Python: 3.13 follows some 10,000 levels.
    deep = b'{"x":' * 40_000 + b"1" + b"}" * 40_000
    body = json.dumps([event(extra=0), event()]).encode().replace(b'"extra": 0', b'"extra": ' + deep)
    with pytest.raises(DecodeError, match="nested"):
        read_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x91" * 10_000,
        b"\x81" * 10_000,
        b"\xc1",
        b"\x83\xa1v\x01\xa6events\xdd\xff\xff\xff\xff",
        msgpack.packb({"v": 1}),
        msgpack.packb({"v": 1, "events": 5}),
        msgpack.packb({"v": 1, "events": {}}),
        msgpack.packb({"v": "1", "events": []}),
        msgpack.packb({"v": 2, "events": []}),
        msgpack.packb({"v": 2**63, "events": []}),
        msgpack.packb({"events": []}),
        msgpack.packb({"v": 1, "events": [], "id": b"short"}),
        msgpack.packb({"v": 1, "events": [], "id": "text"}),
        msgpack.packb({"v": 1, "events": [], "sender": 5}),
        msgpack.packb({"v": 1, "events": [], "sender": {"captured": -1}}),
        msgpack.packb({"v": 1, "events": [], "sender": {"source": "x" * 70_000}}),
        msgpack.packb({"v": 1, "events": []}) + b"\x00",
        msgpack.packb([1, 2, 3]),
        msgpack.packb(msgpack.ExtType(5, b"x")),
        msgpack.packb({"v": 1, "events": msgpack.ExtType(1, b"\xff" * 12)}),
    ],
)
def test_hostile_msgpack_is_refused(body):
    with pytest.raises(DecodeError):
        decode_msgpack(body, TARGET, max_events=100)


def test_unknown_wire_version_names_the_known_one():
    with pytest.raises(DecodeError, match="version 1"):
        read_wire(v=2)


def test_batch_over_the_limit_is_refused_in_both_formats():
    with pytest.raises(TooManyEventsError, match="at most 2"):
        read_json([event()] * 3, max_events=2)
    with pytest.raises(TooManyEventsError, match="at most 2"):
        read_json([1] * 3, max_events=2)
    with pytest.raises(TooManyEventsError):
        read_json(b"[" + b"1," * 1_000_000 + b"1]")
    with pytest.raises(TooManyEventsError, match="at most 2"):
        decode_msgpack(envelope([wire_row()] * 3), TARGET, max_events=2)


def test_event_of_a_million_entries_is_refused_before_it_is_decoded():
    data = {str(number): "" for number in range(1_000_000)}
    wide = read_wire(wire_row(data=data), wire_row())
    assert (wide.accepted, wide.rejected_total) == (1, 1)
    assert "at most 262144" in wide.details[0].message
    batch = read_json([event(data={str(number): "" for number in range(40_000)}), event(url="x" * 100_000)])
    assert (batch.accepted, batch.rejected_total, batch.cut_strings) == (1, 1, 1)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body):
    for read in (decode_json, decode_msgpack):
        try:
            batch = read(body, TARGET, max_events=100)
        except (DecodeError, TooManyEventsError):
            continue
        assert batch.accepted == 0
