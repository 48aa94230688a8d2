"""The recipes of docs/other-tools.md, run as they are written, against a running service."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.services.keys import READ_KEY, WRITE_KEY
from tests.support.services.processes import BOOTSTRAP, post_events, running, wait_for_total

PAGE = (Path(__file__).parent.parent.parent / "docs" / "other-tools.md").read_text()
TYPES = {"timestamp_epoch": int, "string": str, "number": (int, float)}


def blocks(*languages):
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [(language, text) for language, text in blocks if language in languages]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with running("serve", data_dir=tmp_path_factory.mktemp("data"), **BOOTSTRAP) as serve:
        now = time.time()
        events = [
            {"timestamp": now - 60 * (n % 5), "method": "GET", "url": f"/v1/items/{n}", "route": route,
             "response_us": 1000 * n, "status_code": 500 if n == 8 else 200}
            for n, route in enumerate(["/v1/items/{id}"] * 9 + ["/v1/checkout"] * 3)
        ]  # fmt: skip
        post_events(serve.collector_url, events, WRITE_KEY)
        wait_for_total(serve, serve.query_url, len(events), READ_KEY)
        yield serve


def test_pandas_and_duckdb_read_answers_and_files(service, tmp_path, monkeypatch):
    environment = {"APIMETRY_QUERY_URL": service.query_url, "APIMETRY_READ_KEY": READ_KEY}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    names = {}
    for language, text in blocks("python", "sh"):
        if language == "sh":
            subprocess.run(["bash", "-euc", text], env={**os.environ, **environment}, check=True, timeout=30)
        else:
            exec(text, names)
    assert list(names["routes"].columns) == ["route", "requests", "errorRate", "p95Ms"]
    assert list(names["routes"]["requests"]) == [9, 3]
    assert list(names["minutes"].columns) == ["time", "route", "value"]
    assert names["minutes"]["time"].dt.year.min() > 2020
    assert names["busiest"].fetchall() == [("/v1/items/{id}", 9), ("/v1/checkout", 3)]
    assert names["failed"].fetchall() == [("/v1/items/{id}", 1)]
    assert [row[2] for row in names["slowest"].fetchall()] == sorted((1000 * n for n in range(12)), reverse=True)[:10]


def test_grafana_finds_every_column_that_the_panel_names(service):
    (query,) = [json.loads(text) for _, text in blocks("json") if text.startswith("{")]
    now_ms = int(time.time() * 1000)
    url = query["url"].replace("${__from}", str(now_ms - 3_600_000)).replace("${__to}", str(now_ms + 60_000))
    request = urllib.request.Request(
        url.replace("http://apimetry:7778", service.query_url), headers={"X-API-Key": READ_KEY}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        rows = json.load(response)
    assert sum(row["value"] for row in rows) == 12
    assert len({row["time"] for row in rows}) > 60
    for row in rows:
        assert list(row) == [column["selector"] for column in query["columns"]]
        assert all(isinstance(row[column["selector"]], TYPES[column["type"]]) for column in query["columns"])
        assert now_ms - 3_720_000 < row["time"] < now_ms + 60_000


def test_the_paths_of_the_other_plugin_are_the_panels(service):
    (query,) = [json.loads(text) for _, text in blocks("json") if text.startswith("{")]
    assert re.search(r"\| \*Path\* \| `(.*?)`", PAGE)[1] in query["url"]
    params = re.findall(r"`([^`]*)`", re.search(r"\| \*Params\* \| (.*) \|", PAGE)[1])
    assert query["url"].endswith("?" + "&".join(params))
    fields = re.findall(r"`\$\[\*\]\.(\w+)`", re.search(r"\| \*Fields\* \| (.*) \|", PAGE)[1])
    assert fields == [column["selector"] for column in query["columns"]]
