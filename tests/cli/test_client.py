"""The command's HTTP client: errors name the service, and the key goes to no other service."""

from __future__ import annotations

import json
import socket

import click
import pytest

from apimetry.cli.client import COLLECTOR, QUERY, Client
from apimetry.cli.opener import is_this_machine
from tests.support.services.http_server import answering
from tests.support.services.keys import READ_KEY


def health_of(service):
    return 200, {"Content-Type": "application/json"}, json.dumps({"status": "ok", "service": service}).encode()


def refusal(client, path="/api/keys"):
    with pytest.raises(click.ClickException) as raised:
        client.call_json("GET", path)
    return raised.value.message


def test_a_redirect_is_not_followed_and_its_location_is_named():
    with answering(lambda _: (200, {}, b"{}")) as other:
        with answering(lambda _: (302, {"Location": f"{other.url}/api/keys"}, b"")) as first:
            message = refusal(Client(QUERY, first.url, READ_KEY))
        assert other.requests == []
    assert f"the query service at {first.url}" in message
    assert f"points to {other.url}/api/keys" in message


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_no_proxy_is_used_for_this_machine(monkeypatch, variable):
    with answering(lambda _: (200, {}, b"{}")) as proxy, answering(lambda _: (200, {}, b'{"here": 1}')) as service:
        monkeypatch.setenv(variable, proxy.url)
        assert Client(QUERY, service.url, READ_KEY).call_json("GET", "/") == {"here": 1}
        assert proxy.requests == []


def test_a_proxy_is_used_for_other_machines(monkeypatch):
    with answering(lambda _: (200, {}, b'{"by": "proxy"}')) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert Client(QUERY, "http://apimetry.example", "").call_json("GET", "/") == {"by": "proxy"}


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True), ("api.localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True),
        ("::ffff:127.0.0.1", True), ("0.0.0.0", True), ("10.0.0.1", False), ("localhost.example", False),
        ("::ffff:10.0.0.1", False), ("", False),
    ],
)  # fmt: skip
def test_this_machine_is_known_by_its_names_and_addresses(host, here):
    assert is_this_machine(host) is here


def test_the_other_service_is_recognized():
    def answer(request):
        return health_of("collector") if request.path == "/health" else (404, {}, b"{}")

    with answering(answer) as server:
        message = refusal(Client(QUERY, server.url, READ_KEY))
    assert message.startswith(f"{server.url} is the collector, not the query service")
    assert "--query-url or APIMETRY_QUERY_URL" in message


@pytest.mark.parametrize(
    "answer",
    [(404, {}, b"<h1>nothing here</h1>"), (200, {}, b"<h1>welcome</h1>"), (200, {}, b"[1]"), (405, {}, b"")],
    ids=["404", "200 with HTML", "200 with another JSON", "405"],
)
def test_a_foreign_service_is_recognized(answer):
    with answering(lambda _: answer) as server:
        message = refusal(Client(QUERY, server.url, READ_KEY))
    assert message.startswith(f"{server.url} answers, but not as apimetry's query service")


def test_a_list_of_another_shape_is_reported_without_a_traceback():
    with answering(lambda _: (200, {}, b'{"keys": []}')) as server:
        with pytest.raises(click.ClickException, match="not as apimetry's query service"):
            list(Client(QUERY, server.url, READ_KEY).rows("/api/keys", "keys"))


def test_the_message_of_a_refusal_is_passed_on_with_the_address():
    body = json.dumps({"error": "Forbidden", "message": "Only Admin keys can do it"}).encode()
    with answering(lambda _: (403, {}, body)) as server:
        message = refusal(Client(QUERY, server.url, READ_KEY))
    assert message == f"the query service at {server.url}: Forbidden: Only Admin keys can do it"


@pytest.mark.parametrize(
    ("first_bytes", "reason"),
    [(b"", "it closed the connection without an answer"), (b"SSH-2.0-x\r\n", "it does not answer in HTTP")],
)
def test_a_service_without_http_is_reported_in_one_sentence(first_bytes, reason):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = Client(COLLECTOR, url, timeout_s=20)
        import threading

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(first_bytes)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            assert client.request("/health").message == reason
        finally:
            thread.join()


def test_the_wait_for_a_silent_service_has_a_limit():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert Client(COLLECTOR, url, timeout_s=0.2).request("/health").message == "no answer within 0.2 s"


def test_an_unresolvable_host_is_reported_in_one_sentence(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    client = Client(COLLECTOR, "http://nobody.invalid:1")
    assert client.request("/").message == "the name of its host cannot be resolved"


def test_a_key_that_http_cannot_carry_is_not_repeated():
    secret = "apimetry_r_\nSECRET"
    with answering(lambda _: (200, {}, b"{}")) as server:
        message = refusal(Client(QUERY, server.url, secret))
    assert "SECRET" not in message
    assert "characters that HTTP does not carry" in message


def test_a_transient_failure_is_repeated_within_the_patience(capsys):
    statuses = [503, 503, 200]
    slept = []
    with answering(lambda _: (statuses.pop(0), {"Retry-After": "7"}, b'{"a": 1}')) as server:
        client = Client(QUERY, server.url, READ_KEY, patience_s=60, sleep=slept.append)
        assert client.call_json("GET", "/") == {"a": 1}
    assert slept == [7, 7]
    assert capsys.readouterr().err.count("tried again") == 1


def test_a_permanent_failure_is_not_repeated():
    with answering(lambda _: (401, {}, b"{}")) as server:
        refusal(Client(QUERY, server.url, READ_KEY, patience_s=60, sleep=lambda _: None))
        assert len(server.requests) == 1


def test_a_message_of_a_service_is_one_line():
    body = json.dumps({"error": "Bad Request", "message": "no\nok    app"}).encode()
    with answering(lambda _: (400, {}, body)) as server:
        assert "\n" not in refusal(Client(QUERY, server.url, READ_KEY))


def test_the_body_of_a_foreign_service_is_read_up_to_a_limit():
    with answering(lambda _: (200, {}, b"x" * 10_000_000)) as server:
        assert len(Client(QUERY, server.url).request("/health").body) < 100_000
