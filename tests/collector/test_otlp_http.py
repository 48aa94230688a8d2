from __future__ import annotations

import asyncio
import gzip

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from apimetry.store.accounts.accounts import KeyKind
from tests.support.services.collecting import KEYS, collecting, zstd
from tests.support.services.spans import STABLE, as_json, as_protobuf, request, span

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
ENCODINGS = {PROTOBUF: as_protobuf, JSON: as_json}


@pytest.fixture(params=list(ENCODINGS))
def kind(request):
    return request.param


def post(collector, kind, sent, **headers):
    body = sent if isinstance(sent, bytes) else ENCODINGS[kind](sent)
    return collector.post(body, path="/v1/traces", Content_Type=kind, **headers)


async def message_of(response, kind):
    """The message of a Status in the request's encoding."""
    assert response.content_type == kind
    if kind == JSON:
        return (await response.json())["message"]
    body = await response.read()
    assert body[0] == 0x12
    return body[2 if body[1] < 0x80 else 3 :].decode()


async def test_spans_in_every_encoding_and_compression_are_events(tmp_path, kind):
    async with collecting(tmp_path) as collector:
        for number, (encoding, compress) in enumerate(
            (("gzip", gzip.compress), ("zstd", zstd.compress), (None, bytes)), start=1
        ):
            body = compress(ENCODINGS[kind](request(span(number=number), service_name="checkout")))
            response = await post(collector, kind, body, Content_Encoding=encoding)
            assert (response.status, response.content_type) == (200, kind)
            assert await response.read() == (b"{}" if kind == JSON else b"")
        await collector.drained()
        assert [(row["application"], row["source"]) for row in collector.store.rows] == [("shop", "checkout")] * 3
        assert await collector.reconcile() == 3


async def test_request_that_is_sent_again_is_stored_once(tmp_path, kind):
    sent = request(span(), span(number=2))
    async with collecting(tmp_path) as collector:
        for body, encoding in ((ENCODINGS[kind](sent), None), (gzip.compress(ENCODINGS[kind](sent)), "gzip")):
            assert (await post(collector, kind, body, Content_Encoding=encoding)).status == 200
        other_kind = JSON if kind == PROTOBUF else PROTOBUF
        assert (await post(collector, other_kind, sent)).status == 200
        await collector.drained()
        assert len(collector.store.rows) == 2
        assert await collector.total("duplicate_events_total") == 4


async def test_rejected_spans_are_a_partial_success(tmp_path, kind):
    bad = span({**STABLE, "http.response.status_code": 7}, number=2)
    async with collecting(tmp_path) as collector:
        for sent, accepted in ((request(span(), bad, span(number=3, kind=3)), 1), (request(bad), 0)):
            response = await post(collector, kind, sent)
            assert response.status == 200
            body = await response.read()
            if kind == JSON:
                partial = (await response.json())["partialSuccess"]
                rejected, message = partial["rejectedSpans"], partial["errorMessage"]
                assert rejected == "1"
            else:
                partial = ExportTraceServiceResponse.FromString(body).partial_success
                assert partial.rejected_spans == 1
                message = partial.error_message
            assert "http.response.status_code: 7 is no status" in message
            await collector.drained()
            assert len(collector.store.rows) == 1, accepted
        assert await collector.total("ignored_spans_total") == 1
        assert await collector.reconcile() == 3


@pytest.mark.parametrize(
    "headers",
    [
        {"X_API_Key": KEYS[KeyKind.write]},
        {"Api_Key": KEYS[KeyKind.write]},
        {"Authorization": f"Bearer {KEYS[KeyKind.write]}"},
        {"Api_Key": KEYS[KeyKind.admin], "X_Auth_User": "shop"},
    ],
    ids=["x-api-key", "api-key", "bearer", "admin"],
)
async def test_exporters_send_the_key_in_any_of_the_headers(tmp_path, headers):
    async with collecting(tmp_path) as collector:
        assert (await post(collector, PROTOBUF, request(span()), key=None, **headers)).status == 200


async def test_refusals_are_a_status_in_the_encoding_of_the_request(tmp_path, kind):
    async with collecting(tmp_path, max_body_bytes=2000, max_batch_events=2) as collector:
        sent = request(span())
        refused = {
            401: post(collector, kind, sent, key=None),
            403: post(collector, kind, sent, key=KEYS[KeyKind.read]),
            400: post(collector, kind, b"\x0a\xff"),
            413: post(collector, kind, b" " * 2001),
            415: post(collector, kind, sent, Content_Encoding="br"),
        }
        for status, answer in refused.items():
            response = await answer
            assert (response.status, bool(await message_of(response, kind))) == (status, True)
        several = gzip.compress(ENCODINGS[kind](request(*(span(number=number) for number in range(1, 4)))))
        response = await post(collector, kind, several, Content_Encoding="gzip")
        assert (response.status, await message_of(response, kind)) == (413, "A batch holds at most 2 events")
        assert await collector.total("refused_requests_total") == 6
        assert await collector.reconcile() == 0


async def test_unknown_content_type_lists_the_known_ones(tmp_path):
    async with collecting(tmp_path) as collector:
        for sent in ("application/msgpack", "text/plain", "application/grpc"):
            response = await collector.post(b"", path="/v1/traces", Content_Type=sent)
            assert response.status == 415
            assert PROTOBUF in await message_of(response, JSON)


async def test_full_spool_is_a_503_that_says_when_to_send_again(tmp_path, kind):
    async with collecting(tmp_path, spool={"max_bytes": 200_000, "segment_bytes": 50_000}) as collector:
        collector.store.away = True
        spans = [span({**STABLE, "url.path": "/" + "x" * 1000}, number=number) for number in range(1, 301)]
        responses = [await post(collector, kind, request(*spans[start : start + 30])) for start in range(0, 300, 30)]
        assert {response.status for response in responses} == {200, 503}
        assert responses[-1].headers["Retry-After"] == "5"
        assert await message_of(responses[-1], kind)


async def test_key_over_its_rate_is_a_429_that_says_when_to_send_again(tmp_path, kind):
    async with collecting(tmp_path, events_per_s_per_key=1.0, hold_back_s=0.0) as collector:
        spans = [span(number=number) for number in range(1, 41)]
        assert (await post(collector, kind, request(*spans))).status == 200
        response = await post(collector, kind, request(span(number=99)))
        assert (response.status, int(response.headers["Retry-After"]) > 1) == (429, True)
        assert await message_of(response, kind)


async def test_slow_body_is_a_503_because_exporters_give_up_after_a_408(tmp_path):
    async with collecting(tmp_path, body_timeout_s=0.1) as collector:
        server = collector.client.server
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
            + f"Content-Length: 20000\r\nX-API-Key: {KEYS[KeyKind.write]}\r\n\r\n[".encode()
        )
        assert (await reader.readline()).split()[1] == b"503"
        writer.close()


async def test_admin_key_must_name_the_application(tmp_path, kind):
    async with collecting(tmp_path) as collector:
        response = await post(collector, kind, request(span()), key=KEYS[KeyKind.admin])
        assert (response.status, "application" in await message_of(response, kind)) == (400, True)
