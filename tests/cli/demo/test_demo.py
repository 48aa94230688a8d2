"""`apimetry demo` as a user starts it: real applications in three frameworks, real requests, one dashboard."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.request

import pytest

from tests.support.services.processes import APIMETRY

STARTED = re.compile(r"Dashboard  (http://127\.0\.0\.1:\d+)/\nKey        (apimetry_r_\w+)")


def ask(url, key, path):
    request = urllib.request.Request(url + path, headers={"X-API-Key": key})
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A running demo: its address, its key, and how it ends."""
    folder = tmp_path_factory.mktemp("demo")
    command = [APIMETRY, "demo", "--query-port", "0", "--collector-port", "0", "--hours", "1", "--rate", "20"]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    output = ""
    while not (started := STARTED.search(output)):
        line = process.stdout.readline()
        assert line, f"the demo ended: {output}"
        output += line
    yield started[1], started[2]
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "The demo ends." in rest


def test_each_framework_is_seen_with_its_routes_consumers_and_kinds_of_failure(demo):
    url, key = demo
    deadline = time.monotonic() + 60
    sources = set()
    # The history ends before the applications start: what comes now is real.
    start = int(time.time())
    while sources != {"shop", "catalog", "accounts"} and time.monotonic() < deadline:
        groups = ask(url, key, f"/1/timeseries/{start}/{int(time.time()) + 1}/?group=source")["groups"]
        sources = set(groups)
    assert sources == {"shop", "catalog", "accounts"}
    now = int(time.time()) + 1
    # The made-up history and the real requests have the same routes and functions.
    routes = ask(url, key, f"/1/timeseries/{start}/{now}/?group=route")["groups"]
    assert set(routes) <= {
        "/v1/search",
        "/v1/items/{identity}",
        "/v1/checkout",
        "/catalog/{category}",
        "/catalog/{category}/export",
        "/accounts/login",
        "/accounts/{identity}/profile",
        "(unmatched)",
    }
    # So have the consumers their names.
    before = ask(url, key, f"/1/timeseries/{start - 3600}/{start}/?group=consumer_id&limit=1000")["groups"]
    consumers = ask(url, key, f"/1/timeseries/{start}/{now}/?group=consumer_id&limit=1000")["groups"]
    assert set(consumers) <= set(before)
    assert len(consumers) > 1


def test_the_hour_before_has_a_deploy_and_an_incident(demo):
    url, key = demo
    now = int(time.time())
    versions = ask(url, key, f"/1/timeseries/{now - 3600}/{now}/?group=version&include=source:shop")["groups"]
    assert {"2.4.1", "2.5.0"} <= set(versions)
    errors = ask(url, key, f"/1/timeseries/{now - 3600}/{now}/?group=error_type")["groups"]
    assert "UpstreamError" in errors
