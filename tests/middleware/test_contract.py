"""What every adapter promises, each around a real application of its framework."""

from __future__ import annotations

import gc
import re
import time

import pytest

from apimetry.middleware.wsgi import WSGIMiddleware
from tests.middleware.adapters import ADAPTERS
from tests.middleware.calling import call_wsgi
from tests.middleware.more_adapters import MORE_ADAPTERS

ALL_ADAPTERS = {**ADAPTERS, **MORE_ADAPTERS}


@pytest.fixture(params=ALL_ADAPTERS)
def kind(request):
    return request.param


@pytest.fixture
def make(kind, fake_collector):
    """Make the application of each adapter, with the layers named around it; options may be added."""
    return lambda *between, **options: ALL_ADAPTERS[kind]({**fake_collector.options, **options}, *between)


@pytest.fixture
def record(make, fake_collector):
    """Send one request and return the answer and its one event."""

    def send(method, path, *, body=b"", headers=None, between=(), chunked=False, **options):
        adapter = make(*between, **options)
        answer = adapter.call(method, path, body, headers or {}, chunked=chunked)
        assert adapter.flush(10)
        (event,) = fake_collector.events
        return answer, event

    return send


def test_request_is_one_event_with_all_its_fields(record):
    before_us = time.time_ns() // 1000
    answer, event = record("GET", "/v1/scores/17")
    assert (answer.status, event["status_code"], event["method"]) == (200, 200, "GET")
    assert (event["url"], event["route"]) == ("/v1/scores/17", "/v1/scores/{identity}")
    assert "scores" in event["function"].lower()
    assert event["response_bytes"] == len(answer.body) > 0
    assert event["request_bytes"] == 0
    assert 0 < event["ttfb_us"] <= event["response_us"] < 10_000_000
    # A millisecond for what may come between the reads of two clocks.
    assert before_us - 1000 < event["timestamp_us"] <= time.time_ns() // 1000 - event["response_us"] + 1
    assert (event["consumer_id"], event["client_ip"], event["user_agent"], event["data"]) == ("", "", "", None)
    assert (event["error_type"], event["sample_weight"]) == ("", 1)


def test_request_body_is_counted(record):
    answer, event = record("POST", "/echo", body=b"12345", headers={"Content-Length": "5"})
    assert (answer.body, event["request_bytes"], event["response_bytes"]) == (b"5", 5, 1)


def test_stream_is_counted_to_its_last_byte(record):
    answer, event = record("GET", "/stream")
    assert answer.body == b"one two thre"
    assert (event["status_code"], event["response_bytes"]) == (200, 12)
    assert 0 < event["ttfb_us"] <= event["response_us"]


def test_exception_before_the_headers_is_a_500_with_its_class(record):
    answer, event = record("GET", "/boom")
    assert (answer.status, event["status_code"], event["error_type"]) == (500, 500, "HostError")
    assert event["route"] == "/boom"


# Django's ASGI handler leaves the request's body file to the garbage collector when a stream raises.
@pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.SpooledTemporaryFile:ResourceWarning")
def test_exception_in_the_stream_is_a_500_with_its_class(record):
    event = record("GET", "/stream-error")[1]  # the answer's exception holds what is to be collected here
    gc.collect()
    assert (event["status_code"], event["error_type"]) == (500, "HostError")
    assert event["route"] == "/stream-error"


def test_head_has_no_response_bytes(record):
    answer, event = record("HEAD", "/v1/scores/17")
    assert (answer.status, event["method"], event["response_bytes"]) == (200, "HEAD", 0)


def test_unrouted_path_is_unmatched_and_keeps_its_url(record):
    _, event = record("GET", "/missing")
    assert (event["status_code"], event["route"], event["function"]) == (404, "(unmatched)", "")
    assert event["url"] == "/missing"


def test_chunked_body_is_counted_as_it_is_read(record, kind):
    answer, event = record("POST", "/echo", body=b"12345", chunked=True)
    # Under WSGI, Django gives its views nothing of a body without a length; Bottle takes it for the raw chunks.
    assert event["request_bytes"] == (None if kind == "django" else 5)
    assert answer.body == (b"0" if kind == "django" else b"5") or kind == "bottle"


def test_chunked_body_of_a_get_is_counted_as_it_is_read(apimetry):
    def app(environ, start_response):
        environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [b""]

    call_wsgi(WSGIMiddleware(app), "GET", "/a", b"12345", {}, chunked=True)
    assert [e.request_bytes for e in apimetry] == [5]


def test_chunked_body_that_nobody_read_is_unknown(record, kind):
    _, event = record("POST", "/unread", body=b"12345", chunked=True)
    # Some frameworks read it, or its first part, before they ask the application; aiohttp's server may have.
    read = {"django-async": {5}, "aiohttp": {5, None}, "quart": {2, 5, None}, "falcon-asgi": {2}}
    assert event["request_bytes"] in read.get(kind, {None})


def test_request_without_a_body_has_no_bytes(record):
    assert record("POST", "/unread")[1]["request_bytes"] == 0


@pytest.mark.parametrize("between", [("refuse",), ("refuse", "copy"), ("copy", "refuse")], ids="+".join)
def test_answer_of_a_layer_within_keeps_the_route_that_would_match(record, between):
    answer, event = record("GET", "/v1/scores/17", headers={"X-Refuse": "1"}, between=between)
    assert (answer.status, answer.body, event["status_code"]) == (403, b"no", 403)
    assert event["route"] == "/v1/scores/{identity}"


def test_answer_of_a_layer_within_to_a_path_without_a_route_is_unmatched(record):
    _, event = record("GET", "/missing", headers={"X-Refuse": "1"}, between=("refuse",))
    assert (event["status_code"], event["route"]) == (403, "(unmatched)")


def test_route_and_class_of_the_exception_are_known_behind_a_layer_that_copies_the_request(record):
    _, event = record("GET", "/boom", between=("copy",))
    assert (event["status_code"], event["route"], event["error_type"]) == (500, "/boom", "HostError")


@pytest.mark.parametrize("between", [("again",), ("again", "copy"), ("again", "again")], ids="+".join)
@pytest.mark.parametrize("path", ["/v1/scores/17", "/boom", "/stream"])
def test_two_of_our_middlewares_make_one_event(record, between, path):
    _, event = record("GET", path, between=between)
    assert event["route"] == path.replace("17", "{identity}")
    assert event["error_type"] == ("HostError" if path == "/boom" else "")


def test_answer_of_the_frameworks_last_resort_is_recorded_as_the_client_got_it(record, kind):
    answer, event = record("GET", "/boom", between=("last-resort",))
    assert (answer.status, answer.body) == (503, b"sorry")
    assert (event["status_code"], event["response_bytes"], event["route"]) == (503, 5, "/boom")
    # aiohttp has no handlers of exceptions: a middleware of the host's did it, and no exception came out of it.
    assert event["error_type"] == ("" if kind == "aiohttp" else "HostError")


@pytest.mark.parametrize("exclude", [["/stream"], ["/api/stream"], [re.compile("^/stream$")], ["/api/str*"]])
def test_exclude_under_a_prefix_takes_the_path_with_it_and_without(make, exclude, fake_collector):
    adapter = make(exclude=exclude)
    for path in ("/stream", "/v1/scores/1"):
        adapter.call("GET", path, b"", {}, prefix="/api")
    assert adapter.flush(10)
    assert [event["url"] for event in fake_collector.events] == ["/api/v1/scores/1"]


def test_made_up_method_is_other_with_its_text_in_data(kind, make, fake_collector):
    adapter = make()
    status = adapter.call("BREW", "/v1/scores/17", b"", {}).status
    assert adapter.flush(10)
    events = [(event["method"], event["data"], event["status_code"]) for event in fake_collector.events]
    # aiohttp's server refuses it before it has a request.
    assert events == ([] if kind == "aiohttp" else [("OTHER", {"method": "BREW"}, status)])


def test_empty_element_at_the_end_of_the_list_of_hops_is_none(record):
    _, event = record(
        "GET",
        "/v1/scores/17",
        headers={"X-Forwarded-For": "198.51.100.9, "},
        client_ip="full",
        trusted_proxies=["203.0.113.0/24", "127.0.0.1"],
    )
    assert event["client_ip"] == "198.51.100.9"


def test_query_values_and_secrets_are_masked_by_default(record):
    _, event = record("GET", "/v1/scores/someone@example.org?token=s3cret&page=2")
    assert event["url"] == "/v1/scores/***?token=***&page=***"


def test_full_url_is_kept_when_asked_for(record):
    _, event = record("GET", "/v1/scores/17?page=2", url="full")
    assert event["url"] == "/v1/scores/17?page=2"


def test_consumer_header_is_hashed(record):
    _, event = record("GET", "/v1/scores/17", headers={"X-Consumer": "alice"}, consumer="X-Consumer")
    assert re.fullmatch("[0-9a-f]{16}", event["consumer_id"])


def test_consumer_callable_answers_for_the_request(record):
    _, event = record("GET", "/v1/scores/17", consumer=lambda request: 17)
    assert event["consumer_id"] == "17"


def test_callables_that_raise_do_not_hurt_the_request(record, caplog):
    def fail(request):
        raise RuntimeError("the host's")

    answer, event = record("GET", "/v1/scores/17", consumer=fail, data=fail)
    assert (answer.status, event["status_code"], event["consumer_id"], event["data"]) == (200, 200, "", None)
    logged = [r.getMessage() for r in caplog.records if r.name == "apimetry.middleware"]
    assert logged == [
        "apimetry: consumer= raised RuntimeError (logged once)",
        "apimetry: data= raised RuntimeError (logged once)",
    ]


def test_answer_that_has_to_be_awaited_is_none_and_is_told_once(record, caplog):
    async def ask():
        return {"a": "b"}

    def give_a_coroutine(request):
        return ask()

    _, event = record("GET", "/v1/scores/17", consumer=give_a_coroutine, data=give_a_coroutine)
    assert (event["consumer_id"], event["data"]) == ("", None)
    assert sum("raised TypeError" in r.getMessage() for r in caplog.records if r.name == "apimetry.middleware") == 2


def test_data_callable_adds_strings(record):
    _, event = record("GET", "/v1/scores/17", data=lambda request: {"tier": "gold", "seats": 3})
    assert event["data"] == {"tier": "gold", "seats": "3"}


def test_client_ip_is_truncated_when_asked_for(record):
    _, event = record("GET", "/v1/scores/17", client_ip="truncated")
    assert event["client_ip"] in {"203.0.113.0", "127.0.0.0"}


def test_client_behind_a_trusted_proxy_is_the_one_it_names(record):
    _, event = record(
        "GET",
        "/v1/scores/17",
        headers={"X-Forwarded-For": "6.6.6.6, 198.51.100.9"},
        client_ip="full",
        trusted_proxies=["203.0.113.0/24", "127.0.0.1"],
    )
    assert event["client_ip"] == "198.51.100.9"


def test_client_is_not_taken_from_a_header_of_an_untrusted_peer(record):
    headers = {"X-Forwarded-For": "198.51.100.9", "Forwarded": "for=198.51.100.9"}
    _, event = record("GET", "/v1/scores/17", headers=headers, client_ip="full", trusted_proxies=["10.0.0.0/8"])
    assert event["client_ip"] in {"203.0.113.77", "127.0.0.1"}


def test_health_checks_and_static_files_are_left_out_unless_exclude_is_replaced(make, fake_collector):
    for options in ({}, {"exclude": []}):
        adapter = make(**options)
        for path in ("/healthz", "/static/app.css", "/v1/scores/1"):
            adapter.call("GET", path, b"", {})
        assert adapter.flush(10)
    assert [e["url"] for e in fake_collector.events] == [
        "/v1/scores/1",
        "/healthz",
        "/static/app.css",
        "/v1/scores/1",
    ]


def test_ids_of_a_traceparent_are_kept_with_the_event(record):
    header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    _, event = record("GET", "/v1/scores/17", headers={"traceparent": header})
    assert event["data"] == {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}


def test_traceparent_that_is_not_valid_is_left_out(record):
    header = "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    _, event = record("GET", "/v1/scores/17", headers={"traceparent": header})
    assert event["data"] is None


def test_user_agent_is_recorded_when_asked_for(record):
    _, event = record("GET", "/v1/scores/17", headers={"User-Agent": "tests/1"}, user_agent=True)
    assert event["user_agent"] == "tests/1"


def test_excluded_path_is_not_recorded(make, fake_collector):
    adapter = make(exclude=["/stream*"])
    for path in ("/stream", "/v1/scores/1"):
        adapter.call("GET", path, b"", {})
    assert adapter.flush(10)
    assert [event["url"] for event in fake_collector.events] == ["/v1/scores/1"]


def test_without_a_key_nothing_is_sent_and_one_warning_says_so(make, fake_collector, caplog):
    adapter = make(write_key="")
    assert [adapter.call("GET", "/v1/scores/1", b"", {}).status for _ in range(3)] == [200] * 3
    assert not adapter.flush(1)
    assert fake_collector.posts == []
    assert sum(r.name == "apimetry.middleware" for r in caplog.records) == 1


def test_many_requests_are_as_many_events(make, fake_collector):
    adapter = make()
    for identity in range(40):
        adapter.call("GET", f"/v1/scores/{identity}", b"", {})
    assert adapter.flush(10)
    assert sorted(e["url"] for e in fake_collector.events) == sorted(f"/v1/scores/{i}" for i in range(40))


def test_sampling_keeps_slow_requests_with_weight_one(make, fake_collector):
    adapter = make(sample=0.000001, slow_ms=0.000001)
    adapter.call("GET", "/v1/scores/1", b"", {})
    assert adapter.flush(10)
    assert [(e["url"], e["sample_weight"]) for e in fake_collector.events] == [("/v1/scores/1", 1)]


def test_sampling_keeps_errors_with_weight_one(make, fake_collector):
    adapter = make(sample=0.000001)
    for path in ["/v1/scores/1", "/missing", "/v1/scores/2"]:
        adapter.call("GET", path, b"", {})
    assert adapter.flush(10)
    assert [(e["url"], e["sample_weight"]) for e in fake_collector.events] == [("/missing", 1)]
