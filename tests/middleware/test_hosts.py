"""Real servers with our one line: each request arrives once, with its route and status."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest

from tests.support.hosts.fixtures_hosts import HOSTS, require_host, start_host
from tests.support.services.keys import WRITE_KEY


def fetch(url: str, body: dict[str, int] | None = None) -> int:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            response.read()
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            error.read()
            return error.code


def fetch_chunked(url: str, body: dict[str, int]) -> int | None:
    """Send a body in two chunks, without its length; return None if the server closed before it read both."""
    address, data = urlsplit(url), json.dumps(body).encode()
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json"}
        try:
            connection.request("POST", address.path, iter([data[:4], data[4:]]), headers, encode_chunked=True)
            with connection.getresponse() as response:
                response.read()
                return response.status
        except (BrokenPipeError, ConnectionResetError):
            return None


# uWSGI keeps a body without a length apart from WSGI's input, and Django gives its views nothing of it under WSGI.
CANNOT_READ_CHUNKS = ("flask-uwsgi", "django-wsgi-gunicorn")


@pytest.mark.parametrize("kind", HOSTS)
def test_each_request_under_a_real_server_is_one_event_though_sigterm_follows_at_once(kind, fake_collector):
    require_host(kind)
    with start_host(kind, collector_url=fake_collector.url, write_key=WRITE_KEY) as host:
        assert fetch(f"{host.url}/v1/scores/17?token=secret") == 200
        assert fetch(f"{host.url}/v1/scores", {"score": 3}) == 201
        assert fetch_chunked(f"{host.url}/v1/scores", {"score": 3}) == 201 or kind in CANNOT_READ_CHUNKS
        assert fetch(f"{host.url}/boom") == 500
        assert fetch(f"{host.url}/missing") == 404
        if kind == "flask-uwsgi":
            # Its workers skip every exit handler while they are busy, and here they still log the last request.
            fake_collector.wait_for_events(5)
    events = sorted(fake_collector.wait_for_events(5), key=lambda event: event["timestamp_us"])
    chunked = events.pop(2)
    assert (chunked["method"], chunked["route"]) == ("POST", "/v1/scores")
    assert chunked["request_bytes"] == (None if kind in CANNOT_READ_CHUNKS else len(json.dumps({"score": 3})))
    recorded = [(e["method"], e["url"], e["route"], e["status_code"], e["error_type"]) for e in events]
    assert recorded == [
        ("GET", "/v1/scores/17?token=***", "/v1/scores/{identity}", 200, ""),
        ("POST", "/v1/scores", "/v1/scores", 201, ""),
        ("GET", "/boom", "/boom", 500, "ZeroDivisionError"),
        ("GET", "/missing", "(unmatched)", 404, ""),
    ]
    assert [e["function"].rsplit(".", 1)[-1] for e in events] == ["read_score", "create_score", "boom", ""]
    assert events[1]["request_bytes"] == len(json.dumps({"score": 3}))
    for event in events:
        assert 0 < event["ttfb_us"] <= event["response_us"]


def test_request_that_ends_while_uvicorn_drains_is_delivered_before_sigterm_ends_it(fake_collector):
    """Django has no lifespan, and uvicorn ends itself by SIGTERM's default action, which skips exit handlers."""
    kind = "django-asgi-uvicorn"
    statuses = []
    with start_host(kind, collector_url=fake_collector.url, write_key=WRITE_KEY) as host:
        client = threading.Thread(target=lambda: statuses.append(fetch(f"{host.url}/slow")))
        client.start()
        assert fetch(f"{host.url}/started") == 200  # answers once /slow is being served
        host.process.terminate()
        client.join(20)
    assert statuses == [200]
    assert {e["route"] for e in fake_collector.wait_for_events(2)} == {"/slow", "/started"}


def test_host_under_traffic_loses_nothing_at_sigterm(fake_collector):
    kind = "django-asgi-uvicorn"
    answered = []

    def ask(url):
        with contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                answered.append(fetch(url))

    with start_host(kind, collector_url=fake_collector.url, write_key=WRITE_KEY) as host:
        clients = [threading.Thread(target=ask, args=(f"{host.url}/v1/scores/{n}",)) for n in range(3)]
        for client in clients:
            client.start()
        fake_collector.wait_for_events(30)
        host.process.terminate()
        for client in clients:
            client.join(20)
    assert len(fake_collector.wait_for_events(len(answered))) >= len(answered) >= 30


@pytest.mark.parametrize(
    ("kind", "env", "arguments", "prefix"),
    [
        ("starlette-uvicorn-without-lifespan", {}, ("--root-path", "/api"), ""),
        ("starlette-hypercorn", {}, ("--root-path", "/api"), "/api"),
        ("flask-gunicorn", {"SCRIPT_NAME": "/api"}, (), "/api"),
        ("django-wsgi-gunicorn", {"SCRIPT_NAME": "/api"}, (), "/api"),
        ("django-asgi-uvicorn", {}, ("--root-path", "/api"), ""),
    ],
)
def test_probe_of_an_application_under_a_prefix_makes_no_event(kind, env, arguments, prefix, fake_collector):
    with start_host(
        kind, collector_url=fake_collector.url, write_key=WRITE_KEY, env=env, arguments=arguments
    ) as host:
        assert fetch(f"{host.url}{prefix}/healthz") == 404
        assert fetch(f"{host.url}{prefix}/v1/scores/17") == 200
    assert [event["url"] for event in fake_collector.wait_for_events(1)] == ["/api/v1/scores/17"]


def test_chunked_upload_to_werkzeugs_server_is_counted(apimetry):
    from flask import Flask, request
    from werkzeug.serving import make_server

    from apimetry.middleware.wsgi import WSGIMiddleware

    app = Flask("served")
    app.add_url_rule("/a", "view", lambda: str(len(request.get_data())), methods=["POST"])
    app.wsgi_app = WSGIMiddleware(app.wsgi_app)
    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        assert fetch_chunked(f"http://127.0.0.1:{server.port}/a", {"score": 3}) == 200
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert [(e.status_code, e.request_bytes) for e in apimetry] == [(200, len(json.dumps({"score": 3})))]


@pytest.mark.parametrize("kind", ["flask-gunicorn", "flask-gunicorn-gthread"])
def test_workers_that_are_replaced_deliver_what_they_have(kind, fake_collector):
    with start_host(
        kind, collector_url=fake_collector.url, write_key=WRITE_KEY, arguments=("--max-requests", "3")
    ) as host:
        statuses = [fetch_again(f"{host.url}/v1/scores/{number}") for number in range(10)]
    assert statuses == [200] * 10
    events = fake_collector.wait_for_events(10)
    assert sorted(e["url"] for e in events) == [f"/v1/scores/{number}" for number in range(10)]
    assert len({post.batch["sender"]["instance"] for post in fake_collector.posts}) > 1


def fetch_again(url: str) -> int:
    """Fetch, and once more where a worker closed the connection as it was replaced."""
    for _ in range(50):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return fetch(url)
    raise AssertionError(url)
