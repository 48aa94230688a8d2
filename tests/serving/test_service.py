from __future__ import annotations

import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from apimetry.serving.errors import error_middleware
from apimetry.serving.service import add_service_routes, metrics_middleware, new_registry
from apimetry.store.address import parse_address
from apimetry.store.hosts import Hosts


@pytest.fixture
async def service(aiohttp_client_of):
    """Return a client of a service, and the list of reasons why the service is not ready."""
    reasons = []

    async def ready():
        return reasons

    registry = new_registry()
    app = web.Application(middlewares=[metrics_middleware(registry, "test"), error_middleware])
    add_service_routes(app, registry, ready, service="collector")
    return await aiohttp_client_of(app), reasons


async def test_health_answers_while_the_process_serves(service):
    client, reasons = service
    reasons.append("the store is away")
    response = await client.get("/health")
    assert response.status == 200
    answer = await response.json()
    assert (answer["status"], answer["service"]) == ("ok", "collector")


async def test_ready_names_the_reasons_against_it(service):
    client, reasons = service
    response = await client.get("/ready")
    assert (response.status, await response.json()) == (200, {"ready": True, "reasons": []})
    reasons.append("the spool is full")
    response = await client.get("/ready")
    assert (response.status, await response.json()) == (503, {"ready": False, "reasons": ["the spool is full"]})


async def test_hosts_of_the_store_that_are_away_are_named(aiohttp_client_of):
    addresses = parse_address("http://a,b:9000/d").each()
    hosts, app = Hosts(addresses, lambda _: False), web.Application()

    async def ready():
        return []

    add_service_routes(app, new_registry(), ready, service="query", hosts=hosts)
    client = await aiohttp_client_of(app)
    assert await (await client.get("/ready")).json() == {"ready": True, "reasons": []}
    hosts.failed(addresses[1])
    answer = await (await client.get("/ready")).json()
    metrics = await (await client.get("/metrics")).text()
    hosts.close()
    assert answer == {"ready": True, "reasons": [], "away": ["b:9000"]}
    assert 'apimetry_store_host_up{host="a:8123"} 1.0' in metrics
    assert 'apimetry_store_host_up{host="b:9000"} 0.0' in metrics


async def test_metrics_count_requests_by_route_template_and_status(service):
    client, _ = service
    await client.get("/health")
    await client.get("/no/such/path")
    response = await client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(await response.text())}
    counted = {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for sample in families["apimetry_test_http_requests"].samples
        if sample.name.endswith("_total")
    }
    assert counted == {("/health", "200"): 1, ("(unmatched)", "404"): 1}
