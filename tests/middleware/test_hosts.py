"""Real servers with our one line: each request arrives once, with its route and status."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import urllib.error
import urllib.request

import pytest

from tests.support.fake_collector import WRITE_KEY
from tests.support.fixtures_hosts import HOSTS, require_host, start_host


def fetch(url: str, body: dict[str, int] | None = None) -> int:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            response.read()
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            error.read()
            return error.code


@pytest.mark.parametrize("kind", HOSTS)
def test_each_request_under_a_real_server_is_one_event_though_sigterm_follows_at_once(kind, fake_collector):
    require_host(kind)
    with start_host(kind, collector_url=fake_collector.url, write_key=WRITE_KEY) as host:
        assert fetch(f"{host.url}/v1/scores/17?token=secret") == 200
        assert fetch(f"{host.url}/v1/scores", {"score": 3}) == 201
        assert fetch(f"{host.url}/boom") == 500
        assert fetch(f"{host.url}/missing") == 404
        if kind == "flask-uwsgi":
            # Its workers skip every exit handler while they are busy, and here they still log the last request.
            fake_collector.wait_for_events(4)
    events = sorted(fake_collector.wait_for_events(4), key=lambda event: event["timestamp_us"])
    seen = [(e["method"], e["url"], e["route"], e["status_code"], e["error_type"]) for e in events]
    assert seen == [
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
