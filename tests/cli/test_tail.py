"""`apimetry tail` prints every event once, as it arrives."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

from tests.support.services.keys import READ_KEY
from tests.support.services.processes import APIMETRY, BOOTSTRAP, post_events, running, wait_for_total


def event(url, **more):
    return {"timestamp": time.time(), "method": "GET", "url": url, "response_us": 1500, "status_code": 200, **more}


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    with running("serve", data_dir=tmp_path_factory.mktemp("serve"), **BOOTSTRAP) as service:
        yield service


def test_events_are_printed_once_each_as_they_arrive(serve, tmp_path):
    post_events(serve.collector_url, [event("/before")])
    wait_for_total(serve, serve.query_url, 1)
    output = tmp_path / "out"
    environment = {**os.environ, "APIMETRY_QUERY_URL": serve.query_url, "APIMETRY_READ_KEY": READ_KEY}
    with output.open("wb") as file:
        process = subprocess.Popen([str(APIMETRY), "tail", "--json", "--last-s", "50"], stdout=file, env=environment)
    try:
        serve.wait_until(lambda: output.read_text().count("\n") >= 1, "the event from before")
        post_events(serve.collector_url, [event("/after"), event("/other")])
        serve.wait_until(lambda: output.read_text().count("\n") >= 3, "the events from after")
    finally:
        # SIGTERM, because background jobs of a shell ignore SIGINT.
        process.terminate()
        process.wait(20)
    assert [json.loads(line)["url"] for line in output.read_text().splitlines()] == ["/before", "/after", "/other"]


def test_events_cannot_control_the_terminal(serve):
    post_events(serve.collector_url, [event("/\x1b[2Jx", consumer_id="acme")])
    wait_for_total(serve, serve.query_url, 4)
    command = [str(APIMETRY), "tail", "--once", "--last-s", "60", "--query-url", serve.query_url]
    ran = subprocess.run([*command, "--read-key", READ_KEY], capture_output=True, text=True, timeout=60, check=True)
    assert "\x1b" not in ran.stdout
    assert ran.stdout.splitlines()[-1].endswith("200        1.5 ms  GET /�[2Jx  acme")


def test_events_that_are_stored_already_are_printed_only_on_demand_and_narrowed_by_filters(serve):
    post_events(serve.collector_url, [event("/basket", status_code=503), event("/cart", status_code=503)])
    wait_for_total(serve, serve.query_url, 6)
    command = [str(APIMETRY), "tail", "--once", "--json", "--query-url", serve.query_url, "--read-key", READ_KEY]

    def printed(*options):
        ran = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=True)
        return [json.loads(line)["url"] for line in ran.stdout.splitlines()]

    assert printed() == []
    filters = ["--include", "status_code:5xx", "--exclude", "url:/nothing", "--has", "url:CART"]
    assert printed("--last-s", "600", *filters) == ["/cart"]


def test_a_wrong_filter_is_the_services_message(serve):
    command = [str(APIMETRY), "tail", "--include", "colour:red", "--query-url", serve.query_url]
    ran = subprocess.run([*command, "--read-key", READ_KEY], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert "include is 'colour:red'; allowed: field:value" in ran.stderr
