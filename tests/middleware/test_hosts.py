"""Real servers with our one line: each request arrives once, with its route and status."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from tests.support.fake_collector import WRITE_KEY
from tests.support.fixtures_hosts import HOSTS, start_host


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
def test_each_request_under_a_real_server_is_one_event(kind, fake_collector):
    with start_host(kind, collector_url=fake_collector.url, write_key=WRITE_KEY) as host:
        assert fetch(f"{host.url}/v1/scores/17?token=secret") == 200
        assert fetch(f"{host.url}/v1/scores", {"score": 3}) == 201
        assert fetch(f"{host.url}/boom") == 500
        assert fetch(f"{host.url}/missing") == 404
        events = fake_collector.wait_for_events(4)
    events = sorted(fake_collector.events, key=lambda event: event["timestamp_us"])
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


# uvicorn ends itself by SIGTERM's default action after its lifespan, and Django has none: nothing of ours runs.
@pytest.mark.parametrize("kind", [kind for kind in HOSTS if kind != "django-asgi-uvicorn"])
def test_sigterm_right_after_a_request_still_delivers_it(kind, fake_collector):
    environment = {"PYTHONWARNINGS": "default"}
    with start_host(kind, collector_url=fake_collector.url, write_key=WRITE_KEY, env=environment) as host:
        assert fetch(f"{host.url}/v1/scores/17") == 200
    assert [event["route"] for event in fake_collector.wait_for_events(1)] == ["/v1/scores/{identity}"]
