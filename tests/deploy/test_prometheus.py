"""The scrape configuration and the alert rules: promtool accepts them, and they ask figures that exist."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.support.services.keys import READ_KEY
from tests.support.services.ports import free_port
from tests.support.services.processes import get_json, post_events
from tests.support.tools import accepted, program

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
CASES = Path(__file__).with_name("alerts_cases.yml")
PROMTOOL, with_promtool = program("promtool", "apt-get install prometheus")


def promtool(*arguments):
    accepted(PROMTOOL, *arguments)


@with_promtool
def test_prometheus_accepts_the_scrape_configuration_and_the_rules(tmp_path):
    promtool("check", "config", str(configuration(tmp_path)))


def configuration(folder, **targets):
    """The configuration with a key that exists, and with other targets."""
    key = folder / "key"
    key.write_text(READ_KEY)
    text = (FOLDER / "prometheus.yml").read_text().replace("/etc/prometheus/apimetry-read-key", str(key))
    for port, target in targets.items():
        text = text.replace(f"127.0.0.1:{port.removeprefix('port_')}", target)
    (folder / "alerts.yml").write_text((FOLDER / "alerts.yml").read_text())
    (folder / "prometheus.yml").write_text(text)
    return folder / "prometheus.yml"


PROMETHEUS, with_prometheus = program("prometheus", "apt-get install prometheus")


@with_prometheus
@pytest.mark.parametrize("native", [False, True])
def test_running_prometheus_has_the_requests_and_their_times(service, tmp_path, native):
    # The service is that of other tests as well.
    route = f"/native-{native}/{{id}}"
    event = {"timestamp": time.time(), "method": "GET", "url": "/v1/7", "route": route, "status_code": 200}
    events = [{**event, "response_us": 300_000}] * 9 + [{**event, "status_code": 500}]
    assert post_events(service.collector_url, events)[0] == 200
    targets = {"port_7998": service.collector_url[7:], "port_7778": service.query_url[7:]}
    path = configuration(tmp_path, **targets)
    path.write_text("global: {scrape_interval: 500ms, scrape_timeout: 500ms}\n" + path.read_text())
    address = f"127.0.0.1:{free_port()}"
    options = ["--enable-feature=native-histograms"] if native else []
    times = f"apimetry_request_duration_seconds{'' if native else '_bucket'}{{route='{route}'}}"
    place = {"config.file": path, "storage.tsdb.path": tmp_path / "data", "web.listen-address": address}
    arguments = [f"--{name}={value}" for name, value in place.items()]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([PROMETHEUS, *arguments, *options], stdout=log, stderr=subprocess.STDOUT)
    try:
        count = asked(process, address, f"sum by (application) (apimetry_requests_total{{route='{route}'}})")
        assert (count["metric"], count["value"][1]) == ({"application": "shop"}, "10")
        errors = asked(process, address, f"apimetry_requests_total{{route='{route}',status='500'}}")
        labels = {name: errors["metric"][name] for name in ("method", "route", "job")}
        assert labels == {"method": "GET", "route": route, "job": "apimetry-traffic"}
        median = float(asked(process, address, f"histogram_quantile(0.5, {times})")["value"][1])
        # 0.3 s is in a native bucket of 9 %, and in the classic one from 0.25 to 0.5.
        assert (0.29 < median < 0.32) if native else (0.25 < median < 0.5)
    finally:
        process.kill()
        process.wait()


def asked(process, address, expression):
    """The first answer of Prometheus that has a series."""
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, "Prometheus ended"
        assert time.monotonic() < deadline, expression
        with contextlib.suppress(OSError):
            found = get_json(f"http://{address}/api/v1/query?query={urllib.parse.quote(expression)}")
            if found["data"]["result"]:
                return found["data"]["result"][0]
        time.sleep(0.2)


@with_promtool
def test_rules_raise_the_alerts_of_a_trouble_and_none_without(tmp_path):
    cases = tmp_path / "cases.yml"
    cases.write_text(CASES.read_text().replace("RULES", str(FOLDER / "alerts.yml")))
    promtool("test", "rules", str(cases))


def test_rules_ask_figures_that_are_documented():
    documented = (FOLDER.parents[1] / "docs" / "operations.md").read_text()
    names = set(re.findall(r"apimetry_\w+", (FOLDER / "alerts.yml").read_text()))
    assert len(names) >= 6
    assert {name for name in names if f"`{name}`" not in documented} == set()


def test_every_rule_has_a_case():
    alerts = set(re.findall(r"alert: (\w+)", (FOLDER / "alerts.yml").read_text()))
    assert alerts == set(re.findall(r'alertname="(\w+)"', CASES.read_text()))


@with_promtool
def test_metrics_of_both_services_keep_to_the_conventions(service):
    for address in (service.collector_url, service.query_url):
        with urllib.request.urlopen(f"{address}/metrics", timeout=30) as answer:
            accepted(PROMTOOL, "check", "metrics", input=answer.read().decode())
    request = urllib.request.Request(f"{service.collector_url}/metrics/traffic", headers={"X-API-Key": READ_KEY})
    with urllib.request.urlopen(request, timeout=30) as answer:
        accepted(PROMTOOL, "check", "metrics", input=answer.read().decode())
