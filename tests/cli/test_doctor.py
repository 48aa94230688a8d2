"""`apimetry doctor` names the hop that fails, and stores nothing."""

from __future__ import annotations

import email.utils
import json
import os
import subprocess
import time

import pytest

from tests.support.services.http_server import answering
from tests.support.services.keys import ADMIN_KEY, READ_KEY, WRITE_KEY
from tests.support.services.processes import APIMETRY, BOOTSTRAP, post_events, running, total, wait_for_total


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
    findings = {finding["hop"]: finding for finding in json.loads(ran.stdout)}
    assert ran.returncode == (0 if all(finding["ok"] for finding in findings.values()) else 1)
    assert all(finding["ok"] or finding["advice"] for finding in findings.values())
    return findings


def test_every_hop_is_reported_and_nothing_is_stored(serve):
    before = doctor(serve)
    assert [hop for hop, finding in before.items() if not finding["ok"]] == ["app"]
    assert total(serve.query_url) == 0
    event = {"timestamp": time.time(), "method": "GET", "url": "/", "response_us": 1, "status_code": 200}
    post_events(serve.collector_url, [event])
    wait_for_total(serve, serve.query_url, 1)
    after = doctor(serve)
    assert all(finding["ok"] for finding in after.values())
    assert list(after) == [
        *("collector", "collector clock", "spool", "write key", "spool to store"),
        *("query", "query clock", "store", "app"),
    ]
    assert total(serve.query_url) == 1


@pytest.mark.parametrize(
    ("settings", "hop", "text"),
    [
        ({"APIMETRY_COLLECTOR_URL": "http://127.0.0.1:9"}, "collector", "http://127.0.0.1:9: connection refused"),
        ({"APIMETRY_QUERY_URL": "http://127.0.0.1:9"}, "query", "http://127.0.0.1:9: connection refused"),
        ({"APIMETRY_COLLECTOR_URL": "127.0.0.1:7998"}, "collector", "has no scheme: write http://127.0.0.1:7998"),
        ({"APIMETRY_QUERY_URL": "localhost:7778"}, "query", "has no scheme: write http://localhost:7778"),
        ({"APIMETRY_COLLECTOR_URL": "http://nobody.invalid"}, "collector", "cannot be resolved"),
        ({"APIMETRY_WRITE_KEY": READ_KEY}, "write key", "Only Write and Admin keys"),
        ({"APIMETRY_READ_KEY": WRITE_KEY}, "read key", "Only Read and Admin keys"),
        ({"APIMETRY_READ_KEY": ADMIN_KEY}, "read key", "An admin key must name the application"),
        ({"APIMETRY_WRITE_KEY": "apimetry_w_unknown"}, "write key", "Invalid or missing API key"),
        ({"APIMETRY_READ_KEY": "two words"}, "read key", "none"),
    ],
)
def test_a_failing_hop_is_reported_with_its_reason(serve, settings, hop, text):
    finding = doctor(serve, **settings)[hop]
    assert not finding["ok"]
    assert text in finding["found"]


def test_swapped_addresses_are_recognized(serve):
    swapped = {"APIMETRY_COLLECTOR_URL": serve.query_url, "APIMETRY_QUERY_URL": serve.collector_url}
    texts = {hop: finding["found"] for hop, finding in doctor(serve, **swapped).items()}
    assert texts == {
        "collector": f"{serve.query_url} is the query service, not the collector",
        "query": f"{serve.collector_url} is the collector, not the query service",
    }


@pytest.mark.parametrize("variable", ["APIMETRY_COLLECTOR_URL", "APIMETRY_QUERY_URL"])
@pytest.mark.parametrize(
    "answer",
    [(200, {}, b"<h1>hello</h1>"), (404, {}, b"\x1b[2J"), (302, {"Location": "https://a.example/"}, b"")],
    ids=["200", "404", "302"],
)
def test_a_foreign_service_is_recognized_and_gets_no_key(serve, variable, answer):
    hop = "collector" if "COLLECTOR" in variable else "query"
    with answering(lambda _: answer) as foreign:
        finding = doctor(serve, **{variable: foreign.url})[hop]
        assert not any("X-Api-Key" in name.title() for _, _, headers in foreign.requests for name in headers)
    assert not finding["ok"]
    assert finding["found"].startswith(f"{foreign.url} is not apimetry's")


def test_the_address_of_events_is_an_address_of_the_collector(serve):
    assert doctor(serve, APIMETRY_COLLECTOR_URL=f"{serve.collector_url}/1/event/")["collector"]["ok"]


def manage(serve, *arguments):
    environment = {**os.environ, "APIMETRY_QUERY_URL": serve.query_url, "APIMETRY_ADMIN_KEY": ADMIN_KEY}
    command = [str(APIMETRY), *arguments, "--json"]
    return json.loads(subprocess.run(command, capture_output=True, env=environment, check=True, timeout=60).stdout)


def test_keys_of_two_applications_are_recognized(serve):
    other = manage(serve, "applications", "create", "--name", "Other")["id"]
    key = manage(serve, "keys", "create", "--kind", "write", "--application", other)["secret"]
    findings = doctor(serve, APIMETRY_WRITE_KEY=key)
    assert findings["write key"]["ok"]
    assert findings["read key"]["found"] == "it is for 'shop', and the write key is for another application"


def test_a_revoked_key_is_recognized(serve):
    key = manage(serve, "keys", "create", "--kind", "write", "--application", "shop")
    assert doctor(serve, APIMETRY_WRITE_KEY=key["secret"])["write key"]["ok"]
    manage(serve, "keys", "delete", key["id"])
    serve.wait_until(lambda: post_events(serve.collector_url, [], key["secret"])[0] == 401, "the revocation")
    finding = doctor(serve, APIMETRY_WRITE_KEY=key["secret"])["write key"]
    assert (finding["ok"], "revoked" in finding["advice"]) == (False, True)


def service_of(name, *, ready=(200, {"ready": True, "reasons": []}), skew_s=0, metrics=b""):
    """Stand in for a service in a state that a real service rarely has."""

    def answer(request):
        date = {"Date": email.utils.formatdate(time.time() + skew_s, usegmt=True)}
        if request.path == "/health":
            return 200, date, json.dumps({"status": "ok", "service": name}).encode()
        if request.path == "/ready":
            return ready[0], date, json.dumps(ready[1]).encode()
        if request.path == "/metrics":
            return 200, date, metrics
        return 200, date, b'{"accepted": 0, "rejected": 0}'

    return answer


def test_a_full_spool_is_named_with_the_collector_s_own_reason(serve):
    full = (503, {"ready": False, "reasons": ["the spool is full"]})
    with answering(service_of("collector", ready=full)) as collector:
        finding = doctor(serve, APIMETRY_COLLECTOR_URL=collector.url)["spool"]
    assert (finding["ok"], finding["found"]) == (False, "the spool is full")
    assert "--spool-max-bytes" in finding["advice"]


def test_a_store_that_is_away_is_named_with_the_query_service_s_own_reason(serve):
    away = (503, {"ready": False, "reasons": ["the store does not answer"]})
    with answering(service_of("query", ready=away)) as query:
        finding = doctor(serve, APIMETRY_QUERY_URL=query.url)["store"]
    assert (finding["ok"], finding["found"]) == (False, "the store does not answer")


@pytest.mark.parametrize(("service", "skew_s"), [("collector", 7200), ("query", -7200)])
def test_a_clock_that_is_off_is_named(serve, service, skew_s):
    with answering(service_of(service, skew_s=skew_s)) as other:
        finding = doctor(serve, **{f"APIMETRY_{service.upper()}_URL": other.url})[f"{service} clock"]
    assert not finding["ok"]
    assert abs(int(finding["found"].split()[0]) - skew_s) < 60
    assert "NTP" in finding["advice"]


def test_without_keys_the_services_are_still_checked(serve, tmp_path):
    findings = doctor(serve, APIMETRY_WRITE_KEY="", APIMETRY_READ_KEY="", APIMETRY_DATA_DIR=str(tmp_path))
    assert findings["collector"]["ok"]
    assert findings["query"]["ok"]
    assert "APIMETRY_WRITE_KEY" in findings["write key"]["advice"]
    assert "APIMETRY_READ_KEY" in findings["read key"]["advice"]


def test_the_response_of_a_service_cannot_control_the_terminal(serve):
    hostile = (503, {"ready": False, "reasons": ["\x1b[2Jgone\nok    app"]})
    with answering(service_of("collector", ready=hostile)) as collector:
        ran = subprocess.run(
            [str(APIMETRY), "doctor", "--collector-url", collector.url, "--query-url", serve.query_url],
            capture_output=True,
            text=True,
            env={**os.environ, "APIMETRY_WRITE_KEY": WRITE_KEY, "APIMETRY_READ_KEY": READ_KEY},
            timeout=60,
            check=False,
        )
    assert "\x1b" not in ran.stdout
    assert "FAIL  spool            �[2Jgone�ok    app\n" in ran.stdout
