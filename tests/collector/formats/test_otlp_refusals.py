"""Spans and bodies of OTLP that are refused: each span alone, and a body before it becomes objects."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError as ProtobufError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from apimetry.collector.errors import DecodeError, TooManyEventsError
from apimetry.collector.formats.otlp.decode import decode_json, decode_protobuf
from tests.collector.formats.otlp_reading import ENCODINGS, TARGET, read
from tests.support.services.collecting import unpack_rows
from tests.support.services.spans import NOW_NS, STABLE, as_json, as_protobuf, request, span


@pytest.fixture(params=list(ENCODINGS))
def encoding(request):
    return request.param


@pytest.mark.parametrize(
    "changes", [{"kind": 1}, {"kind": 3}, {"kind": 0}, {"attributes": {}}, {"attributes": {"rpc.system": "grpc"}}]
)
def test_span_that_is_no_request_of_a_server_is_left_out_and_counted(encoding, changes):
    batch = read(encoding, request(span(), span(number=2, **changes)))
    assert (batch.accepted, batch.rejected_total, batch.ignored) == (1, 0, 1)


@pytest.mark.parametrize(
    ("changes", "reason", "message"),
    [
        ({"attributes": {**STABLE, "http.response.status_code": 42}}, "invalid", "42 is no status"),
        ({"attributes": {"http.request.method": "GET", "url.path": "/"}}, "invalid", "is required"),
        ({"startTimeUnixNano": "0"}, "timestamp_expired", "retention"),
        ({"startTimeUnixNano": str(NOW_NS + 10**15)}, "timestamp_ahead", "ahead"),
        ({"attributes": {**STABLE, "x": "y" * 300_000}}, "invalid", "at most 262144"),
    ],
)
def test_span_that_cannot_be_stored_is_rejected_alone(encoding, changes, reason, message):
    batch = read(encoding, request(span(), span(number=2, **changes), span(number=3)))
    assert (batch.accepted, dict(batch.rejected)) == (2, {reason: 1})
    assert (batch.details[0].index, message in batch.details[0].message) == (1, True)


@pytest.mark.parametrize("spoilt", [{"name": 5}, {"kind": 2, "startTimeUnixNano": "soon"}, {"attributes": {}}, 7])
def test_unreadable_span_in_json_is_rejected_alone(spoilt):
    batch = decode_json(as_json(request(span(), spoilt)), TARGET, max_events=10)
    assert (batch.accepted, dict(batch.rejected)) == (1, {"invalid": 1})


def body_of(*spans):
    """A request in protobuf with these spans, whose bytes are given."""

    def field(tag, value):
        return tag + bytes((len(value) & 127 | 128, len(value) >> 7)) + value

    return field(b"\x0a", field(b"\x12", b"".join(field(b"\x12", each) for each in spans)))


def test_unreadable_span_in_protobuf_is_rejected_alone():
    sent = ExportTraceServiceRequest.FromString(as_protobuf(request(span())))
    whole = sent.resource_spans[0].scope_spans[0].spans[0].SerializeToString()
    batch = decode_protobuf(body_of(whole, whole[:-3]), TARGET, max_events=10)
    assert (batch.accepted, dict(batch.rejected)) == (1, {"invalid": 1})


@pytest.mark.parametrize(
    ("field", "damaged"),
    [
        (b"\x4a", b"\x0a\x7fhttp.route"),
        (b"\x4a", b"\x0a\x08url.path\x12\x03\x0a\x7fa"),
        (b"\x4a", b"\x0f"),
        (b"\x7a", b"\x18"),
        (b"\x5a", b"\x1a\x0eexception.type"),
    ],
)
def test_span_with_a_damaged_attribute_status_or_event_is_rejected_alone(field, damaged):
    sent = ExportTraceServiceRequest.FromString(as_protobuf(request(span(), span(number=2))))
    whole, other = (each.SerializeToString() for each in sent.resource_spans[0].scope_spans[0].spans)
    batch = decode_protobuf(body_of(whole + field + bytes((len(damaged),)) + damaged, other), TARGET, max_events=10)
    assert (batch.accepted, dict(batch.rejected)) == (1, {"invalid": 1})


def test_attribute_of_a_long_name_or_in_another_order_is_read():
    sent = ExportTraceServiceRequest.FromString(as_protobuf(request(span())))
    (whole,) = (each.SerializeToString() for each in sent.resource_spans[0].scope_spans[0].spans)
    late = b"\x12\x06\x0a\x04acme\x0a\x0aenduser.id"
    long = b"\x0a\xc8\x01" + b"x" * 200 + b"\x12\x03\x0a\x01y"
    pairs = b"".join(b"\x4a" + bytes((len(pair) & 127 | 128, len(pair) >> 7)) + pair for pair in (late, long))
    (row,) = unpack_rows(decode_protobuf(body_of(whole + pairs), TARGET, max_events=10).row_bytes)
    assert row["consumer_id"] == "acme"


def test_too_many_spans_are_refused(encoding):
    with pytest.raises(TooManyEventsError, match="at most 3"):
        read(encoding, request(*(span(number=number) for number in range(1, 5))), max_events=3)
    assert read(encoding, request(*(span(number=number, kind=3) for number in range(9))), max_events=3).ignored == 9
    with pytest.raises(TooManyEventsError):
        read(encoding, request(*(span(number=number, kind=3) for number in range(49))), max_events=3)


def test_body_of_empty_spans_or_values_is_refused_before_it_becomes_objects():
    with pytest.raises(TooManyEventsError):
        decode_protobuf(b"\x0a\x86\x80\x01\x12\x82\x80\x01" + b"\x12\x00" * 8193, TARGET, max_events=10)
    with pytest.raises(TooManyEventsError):
        decode_json(b'{"resourceSpans":[' + b"{}," * 10_000 + b"{}]}", TARGET, max_events=10)


@pytest.mark.parametrize("time", [-1, 2**64, "99999999999999999999", 10**30])
def test_time_in_json_that_is_no_number_of_64_bits_is_rejected_alone(time):
    sent = request(span(), span(number=2, startTimeUnixNano=time))
    batch = decode_json(as_json(sent), TARGET, max_events=10)
    assert (batch.accepted, dict(batch.rejected)) == (1, {"invalid": 1})


def test_huge_numbers_in_json_are_no_values():
    sent = span({**STABLE, "enduser.id": "a"})
    for attribute in sent["attributes"]:
        if attribute["key"] in ("enduser.id", "http.response.status_code"):
            attribute["value"] = {"intValue": 10**400}
    batch = decode_json(as_json(request(sent)), TARGET, max_events=10)
    assert dict(batch.rejected) == {"invalid": 1}


def test_a_double_beyond_64_bits_is_no_status(encoding):
    batch = read(encoding, request(span({**STABLE, "http.response.status_code": 1e300})))
    (detail,) = batch.details
    assert (detail.field, "as a number" in detail.message) == ("http.response.status_code", True)


def test_empty_resources_without_end_are_refused():
    with pytest.raises(DecodeError, match="resources and scopes"):
        decode_protobuf(b"\x0a\x00" * 100_001, TARGET, max_events=10)


@given(body=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body):
    for decode in (decode_protobuf, decode_json):
        try:
            decode(body, TARGET, max_events=10)
        except (DecodeError, TooManyEventsError):
            continue


def test_protobuf_body_cut_anywhere_within_is_refused():
    body = as_protobuf(request(span(), span(number=2, exception="E", status={"code": 2}), service_name="s"))
    for length in range(1, len(body)):
        with pytest.raises(DecodeError):
            decode_protobuf(body[:length], TARGET, max_events=10)


@given(st.data())
def test_flipped_bytes_are_read_as_protobufs_own_reader_reads_them(data):
    body = bytearray(as_protobuf(request(span({**STABLE, "enduser.id": "a"}), service_name="s")))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        sent = ExportTraceServiceRequest.FromString(bytes(body))
    except ProtobufError:
        return  # it refuses more: texts that no event has
    try:
        batch = decode_protobuf(bytes(body), TARGET, max_events=100)
    except DecodeError:
        # A group, which protobuf skips and OTLP never had.
        assert any(byte & 7 in (3, 4) for byte in body)
        return
    spans = sum(len(scope.spans) for resource in sent.resource_spans for scope in resource.scope_spans)
    assert batch.accepted + batch.rejected_total + batch.ignored == spans
