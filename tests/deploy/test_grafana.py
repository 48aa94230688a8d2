"""The dashboards for Grafana: Prometheus, ClickHouse and our API answer what they ask."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from pathlib import Path

import pytest

from apimetry.store import migrations
from apimetry.store.client import Store
from tests.support.services.processes import APPLICATION, get_json, post_events
from tests.support.tools import accepted, program

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
PROMTOOL, with_promtool = program("promtool", "apt-get install prometheus")
START, END = 1_790_000_000, 1_790_003_600


def targets(dashboard):
    return [(panel, target) for panel in DASHBOARDS[dashboard]["panels"] for target in panel["targets"]]


def test_panels_do_not_overlap_and_ask_the_chosen_data_source():
    for dashboard in DASHBOARDS.values():
        places = [panel["gridPos"] for panel in dashboard["panels"]]
        cells = [
            (place["x"] + x, place["y"] + y) for place in places for x in range(place["w"]) for y in range(place["h"])
        ]
        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) < 24
        assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {"${source}"}
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == 4


@with_promtool
def test_prometheus_accepts_every_expression(tmp_path):
    lines = ["groups:", "- name: dashboard", "  rules:"]
    for number, (_, target) in enumerate([*targets("services"), *targets("traffic-prometheus")]):
        expression = target["expr"].replace("$__rate_interval", "5m")
        lines += [f"  - record: panel:{number}", f"    expr: {json.dumps(expression)}"]
    rules = tmp_path / "rules.yml"
    rules.write_text("\n".join(lines))
    accepted(PROMTOOL, "check", "rules", "--lint=none", str(rules))


def test_expressions_ask_figures_that_are_documented():
    documented = (FOLDER.parents[1] / "docs" / "operations.md").read_text()
    text = " ".join(target["expr"] for _, target in [*targets("services"), *targets("traffic-prometheus")])
    names = {re.sub("_(bucket|count)$", "", name) for name in re.findall(r"apimetry_\w+", text)}
    assert len(names) >= 12
    assert {name for name in names if f"`{name}`" not in documented} == set()


def test_clickhouse_answers_every_statement(embedded_store_url):
    dashboard = DASHBOARDS["traffic-clickhouse"]
    statements = [target["rawSql"] for _, target in targets("traffic-clickhouse")]
    statements += [variable["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    store = Store(embedded_store_url)
    store.open()
    try:
        migrations.migrate(store)
        for statement in statements:
            store.query(
                statement.replace("$__timeFilter(timestamp)", f"timestamp >= {START} AND timestamp <= {END}")
                .replace("$__timeInterval(timestamp)", "toStartOfInterval(timestamp, INTERVAL 60 second)")
                .replace("${application}", "shop")
            )
    finally:
        store.close()


def value_at(content, path):
    for step in path.split("."):
        content = content[int(step)] if isinstance(content, list) else content[step]
    return content


@pytest.fixture(scope="module")
def measured(service):
    """The service's address, once it has an event."""
    event = {"url": "/grafana", "route": "/grafana", "method": "GET", "status_code": 500, "response_us": 9}
    now = time.time()
    identity = {"consumer_id": "c", "error_type": "ValueError", "timestamp": now}
    assert post_events(service.collector_url, [event | identity])[0] == 200
    url = f"{service.query_url}/v1/summary?start={int(now) - 60}&end={int(now) + 60}"
    service.wait_until(lambda: get_json(url)["requests"], f"event of {APPLICATION}")
    return service.query_url, {"${__from:date:seconds}": int(now) - 60, "${__to:date:seconds}": int(now) + 60}


@pytest.mark.parametrize("panel", DASHBOARDS["traffic-api"]["panels"], ids=lambda panel: panel["title"])
def test_the_query_service_answers_every_column(panel, measured):
    address, range_ = measured
    (target,) = panel["targets"]
    parameters = [
        (parameter["key"], range_.get(parameter["value"], parameter["value"]))
        for parameter in target["url_options"]["params"]
    ]
    answer = get_json(f"{address}{target['url']}?{urllib.parse.urlencode(parameters)}")
    rows = answer[target["root_selector"]] if target["root_selector"] else [answer]
    assert rows
    for column in target["columns"]:
        kinds = (int, float) if column["type"] == "number" else str
        assert isinstance(value_at(rows[0], column["selector"]), kinds), column
