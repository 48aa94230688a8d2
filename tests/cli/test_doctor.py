"""`apimetry doctor` names the hop that fails, and leaves nothing behind."""

import json
import os
import subprocess
import time

import pytest

from tests.support.processes import (
    APIMETRY,
    BOOTSTRAP,
    READ_KEY,
    WRITE_KEY,
    post_events,
    running,
    total,
    wait_for_total,
)


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    with running("serve", data_dir=tmp_path_factory.mktemp("serve"), **BOOTSTRAP) as service:
        yield service


def doctor(serve, **settings):
    environment = {
        "APIMETRY_COLLECTOR_URL": serve.collector_url,
        "APIMETRY_QUERY_URL": serve.query_url,
        "APIMETRY_WRITE_KEY": WRITE_KEY,
        "APIMETRY_READ_KEY": READ_KEY,
        **settings,
    }
    command = [str(APIMETRY), "doctor", "--json"]
    ran = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=60, check=False
    )
    findings = {each["hop"]: each for each in json.loads(ran.stdout)}
    assert ran.returncode == (0 if all(each["ok"] for each in findings.values()) else 1)
    assert all(each["ok"] or each["advice"] for each in findings.values())
    return findings


def test_each_hop_is_named_and_nothing_is_left_behind(serve):
    before = doctor(serve)
    assert [hop for hop, each in before.items() if not each["ok"]] == ["app"]
    assert total(serve.query_url) == 0
    event = {"timestamp": time.time(), "method": "GET", "url": "/", "response_us": 1, "status_code": 200}
    post_events(serve.collector_url, [event])
    wait_for_total(serve, serve.query_url, 1)
    after = doctor(serve)
    assert all(each["ok"] for each in after.values())
    assert list(after) == [
        *("collector", "collector clock", "spool", "write key", "spool to store"),
        *("query", "query clock", "store", "app"),
    ]
    assert total(serve.query_url) == 1


@pytest.mark.parametrize(
    ("settings", "hop", "found"),
    [
        ({"APIMETRY_COLLECTOR_URL": "http://127.0.0.1:9"}, "collector", "refused"),
        ({"APIMETRY_QUERY_URL": "http://127.0.0.1:9"}, "query", "refused"),
        ({"APIMETRY_WRITE_KEY": READ_KEY}, "write key", "Only Write and Admin keys"),
        ({"APIMETRY_READ_KEY": WRITE_KEY}, "read key", "Only Read and Admin keys"),
        ({"APIMETRY_WRITE_KEY": "apimetry_w_unknown"}, "write key", "Invalid or missing API key"),
    ],
)
def test_what_fails_is_named_with_its_reason(serve, settings, hop, found):
    finding = doctor(serve, **settings)[hop]
    assert not finding["ok"]
    assert found in finding["found"]
