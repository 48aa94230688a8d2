"""The scrape configuration and the alert rules: promtool accepts them, and they ask figures that exist."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

from tests.support.tools import accepted, program

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
CASES = Path(__file__).with_name("alerts_cases.yml")
PROMTOOL, with_promtool = program("promtool", "apt-get install prometheus")


def promtool(*arguments):
    accepted(PROMTOOL, *arguments)


@with_promtool
def test_prometheus_accepts_the_scrape_configuration_and_the_rules():
    promtool("check", "config", str(FOLDER / "prometheus.yml"))


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
