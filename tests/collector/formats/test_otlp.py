from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apimetry.collector.formats.otlp.conventions import spell_route
from apimetry.collector.formats.otlp.decode import decode_json, decode_protobuf
from tests.collector.formats.otlp_reading import ENCODINGS, TARGET, read, rows
from tests.support.services.collecting import unpack_rows
from tests.support.services.spans import NOW_NS, STABLE, as_json, as_protobuf, request, span

OLD = {
    "http.method": "POST",
    "http.target": "/v1/scores/7?page=2&token=abc",
    "http.route": "/v1/scores/:identity",
    "http.status_code": 201,
}


@pytest.fixture(params=list(ENCODINGS))
def encoding(request):
    return request.param


# What instrumentations of several languages send for one request, and what must be stored of it.
SHAPES = {
    "go, net/http with the stable conventions": (
        span(
            {
                "server.address": "shop.example", "http.request.method": "GET", "url.scheme": "http",
                "server.port": 8080, "network.peer.address": "10.1.2.3", "network.peer.port": 51234,
                "user_agent.original": "curl/8.1", "client.address": "203.0.113.9", "url.path": "/v1/scores/7",
                "network.protocol.version": "1.1", "http.route": "GET /v1/scores/{identity}",
                "http.response.body.size": 120, "http.request.body.size": 0, "http.response.status_code": 200,
            },
            name="GET /v1/scores/{identity}", flags=257,
        ),
        {"method": "GET", "url": "/v1/scores/7", "route": "/v1/scores/{identity}", "status_code": 200,
         "request_bytes": 0, "response_bytes": 120},
    ),
    "go, net/http with the old conventions and no route": (
        span(
            {
                "http.method": "GET", "http.scheme": "http", "net.host.name": "shop.example", "http.flavor": "1.1",
                "net.sock.peer.addr": "10.1.2.3", "http.user_agent": "curl/8.1", "http.target": "/v1/scores/7",
                "http.wrote_bytes": 120, "http.status_code": 200,
            },
            name="scores",
        ),
        {"method": "GET", "url": "/v1/scores/7", "route": "/v1/scores/{id}", "status_code": 200},
    ),
    "java, the agent with Spring": (
        span(
            {
                "http.request.method": "PUT", "url.path": "/v1/scores/7", "url.query": "force=1",
                "http.route": "/v1/scores/{identity}", "http.response.status_code": 500, "error.type": "500",
                "thread.id": 31, "thread.name": "http-nio-8080-exec-1", "enduser.id": "acme",
                "network.protocol.version": "1.1", "server.address": "shop.example",
            },
            name="PUT /v1/scores/{identity}", status={"code": 2}, exception="java.lang.IllegalStateException",
        ),
        {"method": "PUT", "url": "/v1/scores/7?force=***", "status_code": 500, "consumer_id": "acme",
         "error_type": "java.lang.IllegalStateException"},
    ),
    "node.js, Express with the old conventions": (
        span(
            {
                "http.url": "http://shop.example/v1/scores/7?page=2", "http.host": "shop.example",
                "net.host.name": "shop.example", "http.method": "POST", "http.scheme": "http",
                "http.client_ip": "203.0.113.9", "http.target": "/v1/scores/7?page=2", "http.user_agent": "curl/8.1",
                "http.request_content_length": 77, "http.flavor": "1.1", "net.transport": "ip_tcp",
                "http.status_code": 404, "http.status_text": "NOT FOUND", "http.route": "/v1/scores/:identity",
            },
            name="POST /v1/scores/:identity",
        ),
        {"method": "POST", "url": "/v1/scores/7?page=***", "route": "/v1/scores/{identity}", "status_code": 404,
         "request_bytes": 77},
    ),
    "python, Django with the old conventions": (
        span(
            {
                "http.method": "GET", "http.server_name": "shop", "http.target": "/v1/scores/7/",
                "http.url": "http://shop.example/v1/scores/7/?page=2",
                "http.route": "v1/scores/<int:identity>/", "http.status_code": 200, "http.flavor": "1.1",
            },
            name="GET v1/scores/<int:identity>/",
        ),
        {"url": "/v1/scores/7/?page=***", "route": "/v1/scores/{identity}/", "status_code": 200},
    ),
    ".net, ASP.NET Core": (
        span(
            {
                "http.request.method": "_OTHER", "http.request.method_original": "PROPFIND",
                "url.path": "/v1/scores/7",
                "http.route": "v1/scores/{identity:int?}", "http.response.status_code": 207,
                "code.function.name": "Shop.Scores.Show",
            },
        ),
        {"method": "PROPFIND", "route": "/v1/scores/{identity}", "status_code": 207, "function": "Shop.Scores.Show"},
    ),
    "php, with the function in two attributes": (
        span({**OLD, "code.namespace": "App\\Scores", "code.function": "show"}),
        {"function": "App\\Scores.show", "url": "/v1/scores/7?page=***&token=***", "route": "/v1/scores/{identity}"},
    ),
    "both generations in one span": (
        span({**STABLE, **OLD}),
        {"method": "GET", "url": "/v1/scores/7", "status_code": 200, "route": "/v1/scores/{identity}"},
    ),
    "an exception before any status": (
        span({"http.request.method": "GET", "url.path": "/v1/x"}, status={"code": 2}, exception="ValueError"),
        {"status_code": 500, "error_type": "ValueError", "route": "/v1/x"},
    ),
    "nothing was found": (
        span({"http.request.method": "GET", "url.path": "/wp-login.php", "http.response.status_code": 404}),
        {"status_code": 404, "route": "(unmatched)"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_span_of_each_instrumentation_becomes_its_event(encoding, shape):
    sent, expected = SHAPES[shape]
    (row,) = rows(encoding, sent, service_name="checkout", service_version="1.4")
    assert {name: row[name] for name in expected} == expected
    assert (row["source"], row["version"], row["response_us"]) == ("checkout", "1.4", 1250)
    assert row["timestamp"] == (NOW_NS - 60_000_000_000) // 1000
    assert (row["client_ip"], row["user_agent"]) == ("", "")
    assert row["data"] == {"trace_id": f"{1:032x}", "span_id": f"{1:016x}"}


def test_resource_says_which_private_parts_are_recorded(encoding):
    private = {**STABLE, "url.query": "page=2", "client.address": "203.0.113.9", "user_agent.original": "curl/8.1"}
    options = {"apimetry_url": "full", "apimetry_client_ip": "truncated", "apimetry_user_agent": True}
    (row,) = rows(encoding, span(private), **options)
    assert (row["url"], row["client_ip"], row["user_agent"]) == ("/v1/scores/7?page=2", "203.0.113.0", "curl/8.1")
    (row,) = rows(encoding, span(private), apimetry_url="path", apimetry_client_ip="all")
    assert (row["url"], row["client_ip"], row["user_agent"]) == ("/v1/scores/7", "", "")


def test_secret_in_a_path_is_masked_in_the_url_and_in_a_guessed_route(encoding):
    path = "/reset/token/9f86d081884c7d659a2feaa0c55ad015"
    (row,) = rows(encoding, span({"http.request.method": "GET", "url.path": path, "http.response.status_code": 200}))
    assert (row["url"], row["route"]) == ("/reset/token/***", "/reset/token/{id}")


def test_values_are_right_after_more_attributes_than_are_kept():
    spans = [span({**STABLE, "url.path": f"/{n}", "url.query": f"n={n}", "x": n}, number=n) for n in range(1, 4001)]
    batch = decode_protobuf(as_protobuf(request(*spans, service_name="s")), TARGET, max_events=5000)
    assert [row["url"] for row in unpack_rows(batch.row_bytes)] == [f"/{n}?n=***" for n in range(1, 4001)]


def test_same_spans_in_any_order_and_split_over_resources_are_the_same_batch(encoding):
    first, second = span(), span(number=2)
    together = read(encoding, request(first, second))
    apart = {"resourceSpans": request(second)["resourceSpans"] + request(first)["resourceSpans"]}
    assert read(encoding, apart).batch_id == together.batch_id
    assert read(encoding, request(first, second, second)).accepted == 2
    assert len({read(encoding, request(first)).batch_id, read(encoding, request(second)).batch_id}) == 2
    assert read(encoding, request()).batch_id is None


def test_spans_without_ids_are_all_counted(encoding):
    spans = [span(traceId="", spanId="", startTimeUnixNano=str(NOW_NS - n)) for n in (1000, 2000)]
    assert read(encoding, request(*spans)).accepted == 2


def test_end_before_the_start_or_absent_is_an_unknown_time(encoding):
    spans = [span(duration_ns=-1), span(number=2, endTimeUnixNano="0"), span(number=3, duration_ns=0)]
    assert [row["response_us"] for row in rows(encoding, *spans)] == [None, None, 0]


def test_long_texts_are_cut_and_counted(encoding):
    batch = read(encoding, request(span({**STABLE, "enduser.id": "é" * 300}), service_name="s" * 300))
    (row,) = unpack_rows(batch.row_bytes)
    assert (row["consumer_id"], row["source"], batch.cut_strings) == ("é" * 256, "s" * 256, 2)


def test_values_of_other_types_are_read_or_left_out(encoding):
    odd = {
        **STABLE, "http.response.status_code": "204", "enduser.id": 17, "http.request.body.size": "12",
        "http.response.body.size": -1, "error.type": ["a"], "user_agent.original": 1.5, "code.function.name": True,
    }  # fmt: skip
    (row,) = rows(encoding, span(odd))
    assert (row["status_code"], row["consumer_id"], row["request_bytes"]) == (204, "17", 12)
    assert (row["response_bytes"], row["error_type"], row["function"]) == (None, "", "true")


@pytest.mark.parametrize(
    ("state", "weight"),
    [
        ("ot=th:c", 4), ("ot=th:0", 1), ("vendor=x, ot=rv:1;th:8;x:y", 2), ("ot=th:fffff", 1_000_000), ("ot=th:", 1),
        ("ot=th:xyz", 1), ("other=th:c", 1), ("", 1),
    ],
)  # fmt: skip
def test_event_stands_for_as_many_requests_as_a_consistent_sampler_says(encoding, state, weight):
    (row,) = rows(encoding, span(traceState=state))
    assert row["sample_weight"] == weight


@pytest.mark.parametrize(
    ("route", "spelled"),
    [
        ("/v1/scores/{identity}", "/v1/scores/{identity}"),
        ("/v1/<int:identity>/<name>", "/v1/{identity}/{name}"),
        ("/v1/:identity/:name?", "/v1/{identity}/{name}"),
        ("/files/*path", "/files/{path}"),
        ("files/{*path}", "/files/{path}"),
        ("/files/{path:path}", "/files/{path}"),
        (r"/v1/{code:\d{2,3}}", "/v1/{code}"),
        ("GET /v1/{identity}", "/v1/{identity}"),
        ("/", "/"),
        ("/a:b", "/a:b"),
    ],
)
def test_routes_of_all_frameworks_get_one_spelling(route, spelled):
    assert spell_route(route) == spelled


@pytest.mark.parametrize(
    ("name", "route"),
    [("GET", "/v1/x/{id}"), ("GET /v1/x/:n", "/v1/x/:n"), ("/v1/x/77", "/v1/x/{id}"), ("", "/v1/x/{id}")],
)
def test_without_a_route_the_name_or_the_path_gives_one(encoding, name, route):
    attributes = {"http.request.method": "GET", "url.path": "/v1/x/77", "http.response.status_code": 200}
    (row,) = rows(encoding, span(attributes, name=name))
    assert row["route"] == route


def test_ids_of_another_length_are_not_kept(encoding):
    (row,) = rows(encoding, span(traceId="ab" * 5000, spanId="cd" * 8))
    assert row["data"] == {}


def test_spelling_a_route_takes_time_in_proportion_to_its_length():
    for sign in ("<", "<:", "{", "{a", "/:", "<" + ":" * 1000):
        assert spell_route(sign * 1000).startswith("/")


texts = st.text(max_size=40)
values = st.one_of(texts, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.floats(width=64))


@given(
    attributes=st.dictionaries(
        st.sampled_from([*STABLE, *OLD, "enduser.id", "error.type", "http.request.body.size", "code.function", "x"]),
        values,
    ),
    name=texts,
    status=st.integers(0, 2),
)
@example(attributes={**STABLE, "enduser.id": math.inf, "x": math.nan}, name="", status=0)
def test_both_encodings_make_the_same_batch(attributes, name, status):
    sent = request(span(attributes, name=name, status={"code": status}), service_name="s")
    first, second = (read(encoding, sent) for encoding in ENCODINGS)
    assert first == second


def test_numbers_of_protobuf_are_read_at_all_lengths():
    for size in (0, 1, 127, 128, 16_383, 16_384, 2**31, 2**53):
        (row,) = rows("protobuf", span({**STABLE, "http.response.body.size": size}))
        assert row["response_bytes"] == size


def test_half_a_character_in_json_is_replaced_and_costs_no_span():
    sent = as_json(request(span({**STABLE, "enduser.id": "who"}), span(number=2))).replace(b'"who"', rb'"\ud83d!"')
    batch = decode_json(sent, TARGET, max_events=10)
    assert [row["consumer_id"] for row in unpack_rows(batch.row_bytes)] == ["\ufffd!", ""]


def test_nulls_in_json_are_absent_values():
    sent = json.loads(as_json(request(span())))
    first_span = sent["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    first_span |= {"events": None, "status": None, "traceState": None, "name": None}
    first_span["attributes"] += [{"key": "enduser.id", "value": None}, {"key": None}]
    sent["resourceSpans"].append({"resource": None, "scopeSpans": None, "schemaUrl": "x"})
    assert decode_json(as_json(sent), TARGET, max_events=10).accepted == 1
