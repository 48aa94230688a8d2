from __future__ import annotations

import json
import time

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimetry.collector.errors import DecodeError
from apimetry.collector.formats import blocks, event_structs
from apimetry.collector.formats.json import decode_json
from apimetry.collector.formats.msgpack import decode_msgpack
from apimetry.collector.formats.surrogates import replace_halves
from apimetry.collector.formats.user_agents import UserAgents
from apimetry.middleware import wire
from tests.support.services.collecting import envelope, event, unpack_rows, wire_row

NOW_US = int(time.time() * 1e6)
TARGET = blocks.make_target("shop", 90, now_us=NOW_US, max_ahead_s=86_400, user_agents=UserAgents())


def read_json(sent, **options):
    body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    return decode_json(body, TARGET, **{"max_events": 10_000, **options})


def read_wire(*sent, **changes):
    return decode_msgpack(envelope(list(sent), **changes), TARGET, max_events=10_000)


def test_wire_event_has_the_middlewares_fields_in_its_order():
    assert event_structs.WireEvent.__struct_fields__ == wire.EVENT_FIELDS
    assert event_structs.LenientWireEvent.__struct_fields__ == wire.EVENT_FIELDS


def test_strict_and_lenient_events_differ_in_their_limits_only():
    assert event_structs.JSONEvent.__struct_fields__ == event_structs.LenientJSONEvent.__struct_fields__


@pytest.mark.parametrize("kind", [event_structs.WireEvent, event_structs.JSONEvent])
def test_documented_string_limits_are_the_enforced_ones(kind):
    for field in msgspec.inspect.type_info(kind).fields:
        types = getattr(field.type, "types", [field.type])
        for type_info in types:
            if isinstance(type_info, msgspec.inspect.StrType):
                assert type_info.max_length == event_structs.STRING_LIMITS[field.name]


def test_json_event_becomes_a_row_with_defaults():
    sent = event(timestamp=1.5 + NOW_US // 1_000_000)
    batch = read_json([sent])
    assert (batch.accepted, batch.rejected_total, batch.unknown_fields, batch.cut_strings) == (1, 0, 0, 0)
    assert unpack_rows(batch.row_bytes) == [
        {
            "application": "shop", "timestamp": round(sent["timestamp"] * 1e6), "method": "GET",
            "url": "/v1/scores/1", "route": "", "function": "unknown", "status_code": 200, "response_us": 1200,
            "ttfb_us": None, "request_bytes": None, "response_bytes": None, "consumer_id": "", "error_type": "",
            "client_ip": "", "user_agent": "", "sample_weight": 1, "data": {}, "source": "", "version": "",
            "retention_days": 90, "user_agent_family": "",
        }
    ]  # fmt: skip


def test_status_that_a_server_made_up_is_kept_up_to_999():
    statuses = [100, 599, 600, 777, 999]
    for batch in (
        read_json([event(status_code=status) for status in statuses]),
        read_wire(*(wire_row(status_code=status) for status in statuses)),
    ):
        assert [row["status_code"] for row in unpack_rows(batch.row_bytes)] == statuses


@pytest.mark.parametrize(
    ("method", "recorded", "text"),
    [
        ("GET", "GET", None),
        ("PROPFIND", "PROPFIND", None),
        ("QUERY", "QUERY", None),
        ("get", "GET", None),
        ("", "", None),
        ("HACK1", "OTHER", "HACK1"),
        ("OTHER", "OTHER", None),
        ("A" * 40, "OTHER", "A" * 32),
    ],
)
def test_method_that_nobody_knows_is_other_with_its_text_in_data(method, recorded, text):
    data = {"tier": "gold"}
    for batch in (
        read_json([event(method=method, data=data), event()]),
        read_wire(wire_row(method=method, data=data), wire_row()),
    ):
        row, second = unpack_rows(batch.row_bytes)
        assert (row["method"], row["data"].get("method"), row["data"]["tier"]) == (recorded, text, "gold")
        assert (second["method"], second["data"]) == ("GET", {})


def test_wire_event_takes_source_and_version_from_the_sender():
    (row,) = unpack_rows(read_wire(wire_row(7, data={"a": "b"})).row_bytes)
    assert (row["source"], row["version"], row["data"], row["url"]) == ("web-1", "1.0", {"a": "b"}, "/v1/scores/7")


def test_wire_row_may_leave_out_trailing_values_and_carry_later_ones():
    batch = read_wire(wire_row()[:7], [*wire_row(), "later", 5])
    assert batch.accepted == 2
    assert [row["sample_weight"] for row in unpack_rows(batch.row_bytes)] == [1, 1]


def test_real_wire_encoder_is_read():
    body = wire.encode_batch(b"x" * 16, {"source": "s"}, [tuple(wire_row(n)) for n in range(20)])
    batch = decode_msgpack(body, TARGET, max_events=100)
    assert (batch.accepted, batch.batch_id) == (20, b"x" * 16)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"status_code": 99}, "status_code"),
        ({"status_code": 1000}, "status_code"),
        ({"status_code": 0}, "status_code"),
        ({"status_code": "200"}, "status_code"),
        ({"status_code": True}, "status_code"),
        ({"response_us": -1}, "response_us"),
        ({"response_us": 2**40}, "response_us"),
        ({"response_us": 1.5}, "response_us"),
        ({"ttfb_us": -1}, "ttfb_us"),
        ({"request_bytes": 2**53 + 1}, "request_bytes"),
        ({"response_bytes": 10**400}, "response_bytes"),
        ({"sample_weight": 0}, "sample_weight"),
        ({"sample_weight": 1_000_001}, "sample_weight"),
        ({"method": None}, "method"),
        ({"url": 5}, "url"),
        ({"data": {"a": 1}}, "data"),
        ({"data": []}, "data"),
        ({"timestamp": "now"}, "timestamp"),
        ({"timestamp": None}, "timestamp"),
        ({"timestamp": -5}, "timestamp"),
        ({"timestamp": 0}, "timestamp"),
        ({"timestamp": time.time() * 1000}, "timestamp"),
        ({"timestamp": time.time() + 86_400 + 60}, "timestamp"),
        ({"timestamp": time.time() - 91 * 86_400}, "timestamp"),
    ],
)
def test_invalid_event_is_reported_and_the_others_are_kept(changes, field):
    batch = read_json([event(), event(**changes), event()])
    assert batch.accepted == 2
    assert [(detail.index, detail.field) for detail in batch.details] == [(1, field)]
    assert batch.details[0].message
    assert batch.rejected_total == 1


@pytest.mark.parametrize("field", ["timestamp", "method", "url", "status_code"])
def test_missing_field_is_named(field):
    sent = event()
    del sent[field]
    batch = read_json([sent, event()])
    assert (batch.details[0].field, batch.details[0].message) == (field, "this field is required")


def test_invalid_wire_event_is_reported_by_its_fields_name():
    batch = read_wire(wire_row(), wire_row(status_code=1000), "x", [1])
    assert batch.accepted == 1
    assert [(detail.index, detail.field) for detail in batch.details] == [(1, "status_code"), (2, ""), (3, "")]


def test_first_hundred_invalid_events_are_detailed_in_order():
    sent = [event(status_code=1) if n % 2 else event(timestamp=1) for n in range(300)]
    batch = read_json(sent)
    assert batch.rejected == {"invalid": 150, "timestamp_expired": 150}
    assert [detail.index for detail in batch.details] == list(range(100))


def test_rejected_timestamps_have_their_own_reasons():
    batch = read_json([event(timestamp=1), event(timestamp=9e9), event(timestamp=1.7e12)])
    assert batch.rejected == {"timestamp_expired": 1, "timestamp_ahead": 2}
    assert "seconds since the epoch" in batch.details[2].message


def test_long_strings_are_cut_and_counted():
    batch = read_json([event(url="/" + "ü" * 5000, data={"k" * 500: "v" * 5000}), event()])
    row = unpack_rows(batch.row_bytes)[0]
    assert (batch.accepted, batch.cut_strings) == (2, 3)
    assert (len(row["url"]), [(len(k), len(v)) for k, v in row["data"].items()]) == (2048, [(128, 1024)])
    wide = read_wire(wire_row(url="x" * 3000, user_agent="y" * 600))
    assert (wide.accepted, wide.cut_strings) == (1, 2)


def test_surplus_data_entries_are_cut_and_counted():
    batch = read_json([event(data={str(n): "" for n in range(70)})])
    assert (batch.cut_strings, len(unpack_rows(batch.row_bytes)[0]["data"])) == (6, 64)


def test_unknown_json_fields_are_ignored_and_counted():
    batch = read_json([event(extra=1, more={"deep": [1]}), event(), event(extra=None)])
    assert (batch.accepted, batch.unknown_fields) == (3, 3)


def test_null_optional_fields_are_absent_ones():
    names = ["consumer_id", "function", "route", "source", "data", "sample_weight", "client_ip"]
    batch = read_json([event(**dict.fromkeys(names))])
    assert (batch.accepted, unpack_rows(batch.row_bytes)[0]["function"]) == (1, "unknown")


def test_response_time_may_be_unknown_in_both_formats():
    absent = event(consumer_id="x" * 500)  # which takes the slow path
    del absent["response_us"]
    without = event()
    del without["response_us"]
    for sent in ([event(response_us=None)], [without], [without, absent], [event(response_us=0)]):
        batch = read_json(sent)
        assert (batch.accepted, batch.unknown_fields) == (len(sent), 0)
        stored_us = [row["response_us"] for row in unpack_rows(batch.row_bytes)]
        assert stored_us == [row.get("response_us") for row in sent]
    rows_sent = [wire_row(), wire_row(response_us=None), wire_row()[:6], wire_row(response_us=None, url="x" * 3000)]
    stored_us = [row["response_us"] for row in unpack_rows(read_wire(*rows_sent).row_bytes)]
    assert stored_us == [wire_row()[6], None, None, None]


def test_the_software_of_a_user_agent_is_named_in_both_formats():
    rows = unpack_rows(read_json([event(user_agent="curl/8.4.0"), event(), event(user_agent=None)]).row_bytes)
    rows += unpack_rows(read_wire(wire_row(user_agent="curl/8.4.0"), wire_row()).row_bytes)
    assert [(row["user_agent"], row["user_agent_family"]) for row in rows] == [
        *(("curl/8.4.0", "curl"), ("", ""), ("", "")),
        *(("curl/8.4.0", "curl"), ("", "")),
    ]


def test_last_of_duplicate_keys_holds():
    body = json.dumps([event()]).encode().replace(b'"status_code": 200', b'"status_code": 200, "status_code": 404')
    assert unpack_rows(read_json(body).row_bytes)[0]["status_code"] == 404


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"\ud83d", "\ufffd"),
        (r"a\uDC00b\udfff", "a\ufffdb\ufffd"),
        (r"\ud83d\ud83d\ude00\ude00", "\ufffd\U0001f600\ufffd"),
        (r"\ud83d\u0041", "\ufffdA"),
        (r"\\\ud83d\\ud83d", "\\\ufffd\\ud83d"),
    ],
)
def test_half_a_character_is_replaced_and_costs_no_event(escaped, text):
    body = json.dumps([event(), event(consumer_id="x")]).replace('"x"', f'"{escaped}"').encode()
    batch = read_json(body)
    assert (batch.accepted, batch.details) == (2, [])
    assert unpack_rows(batch.row_bytes)[1]["consumer_id"] == text


@given(st.text(max_size=12), st.text("\\ud83c0", max_size=40))
def test_whole_characters_are_never_replaced(text, more):
    body = json.dumps([text + more, more]).encode()
    assert replace_halves(body) == body


@given(st.text(st.characters(categories=("Cs", "Lu")), max_size=12))
def test_json_with_halves_is_read_once_they_are_replaced(text):
    (read,) = msgspec.json.decode(replace_halves(json.dumps([text]).encode()))
    assert read == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def test_empty_batch_is_an_empty_batch():
    assert (read_json([]).accepted, read_wire().accepted) == (0, 0)


def test_unknown_envelope_keys_and_extension_types_beside_the_events_are_ignored():
    body = msgpack.packb({"v": 1, "events": [wire_row()], "new": {"x": [1]}, "time": msgpack.Timestamp(1)})
    assert decode_msgpack(body, TARGET, max_events=10).accepted == 1


texts = st.text(max_size=40)
numbers = st.integers(0, 2**40 - 1)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "timestamp": st.floats(NOW_US / 1e6 - 80 * 86_400, NOW_US / 1e6 + 86_000),
                "method": st.sampled_from(sorted(wire.METHODS)),
                "url": texts,
                "response_us": numbers,
                "status_code": st.integers(100, 999),
            },
            optional={
                "route": texts,
                "function": texts,
                "consumer_id": texts,
                "ttfb_us": numbers,
                "response_bytes": st.integers(0, 2**53),
                "sample_weight": st.integers(1, 1_000_000),
                "data": st.dictionaries(texts, texts, max_size=5),
                "source": texts,
            },
        ),
        max_size=20,
    )
)
def test_every_valid_json_event_becomes_its_row(sent):
    batch = read_json(sent)
    assert (batch.accepted, batch.rejected_total) == (len(sent), 0)
    for row, original in zip(unpack_rows(batch.row_bytes), sent, strict=True):
        assert row["timestamp"] == round(original["timestamp"] * 1e6)
        for name in original.keys() - {"timestamp", "function"}:
            assert row[name] == original[name]
        assert row["function"] == (original.get("function") or "unknown")


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=18) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)


@given(st.lists(anything, max_size=20), st.binary(max_size=30))
def test_any_wire_rows_are_accounted_for(sent, tail):
    body = msgpack.packb({"v": 1, "events": sent})
    batch = decode_msgpack(body, TARGET, max_events=100)
    assert batch.accepted + batch.rejected_total == len(sent)
    assert len(unpack_rows(batch.row_bytes)) == batch.accepted
    if tail:
        with pytest.raises(DecodeError):
            decode_msgpack(
                body[: len(body) - len(tail)] + tail if len(body) < len(tail) else body + tail, TARGET, max_events=100
            )
