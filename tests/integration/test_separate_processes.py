"""Collector and query service as two processes over a ClickHouse server."""

from __future__ import annotations

import pytest

from tests.support.hosts.fixtures_hosts import start_host
from tests.support.oracles.load import send_concurrently
from tests.support.services.keys import WRITE_KEY
from tests.support.services.processes import BOOTSTRAP, count_by, running, wait_for_total


def test_two_processes_over_a_server_count_every_request_once(clickhouse_url, tmp_path):
    store = {"APIMETRY_STORE": clickhouse_url}
    (tmp_path / "collector").mkdir()
    (tmp_path / "query").mkdir()
    with (
        running("collector", data_dir=tmp_path / "collector", **store, **BOOTSTRAP) as collector,
        running("query", data_dir=tmp_path / "query", **store, **BOOTSTRAP) as query,
    ):
        requests = [("GET", f"/v1/scores/{i}", None) for i in range(1000)]
        with start_host("fastapi-uvicorn", collector_url=collector.collector_url, write_key=WRITE_KEY) as host:
            send_concurrently(host.url, requests, clients=50)
            wait_for_total(query, query.query_url, 1000)
        assert count_by(query.query_url, "route") == {"/v1/scores/{identity}": 1000}


@pytest.mark.parametrize("command", ["collector", "query"])
def test_a_service_alone_refuses_an_embedded_store_with_a_sentence(command, tmp_path):
    with running(command, data_dir=tmp_path) as service:
        assert service.process.wait(30) == 1
        assert "run `apimetry serve`" in service.output


def test_a_service_waits_for_a_server_that_is_not_there_yet(clickhouse_server, clickhouse_url, tmp_path):
    clickhouse_server.kill()
    with running("query", data_dir=tmp_path, APIMETRY_STORE=clickhouse_url, **BOOTSTRAP) as query:
        query.wait_until(lambda: "trying again" in query.output, "line about the missing server")
        clickhouse_server.restart()
        assert count_by(query.query_url, "route") == {}
