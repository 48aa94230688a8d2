"""The endpoints that every service has: ``/health``, ``/ready`` and ``/metrics``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Annotated, Literal, TypedDict

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from apimetry.serving.errors import Handler
from apimetry.store.hosts import Hosts

UnreadyReasons = Callable[[], Awaitable[list[str]]]
"""Returns the reasons why the service is not ready; an empty list if it is ready."""

# In seconds: from a response on the loopback to the longest query that the store's limits allow.
LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


ServiceName = Literal["collector", "query"]


class Health(TypedDict):
    """Which service serves here."""

    status: Literal["ok"]
    service: ServiceName
    version: str


class _Ready(TypedDict):
    ready: bool
    reasons: list[str]


class Readiness(_Ready, total=False):
    """Whether the service can answer now, and why not."""

    away: Annotated[
        list[str],
        msgspec.Meta(description="Of several hosts of the store, those that do not answer; the others are used."),
    ]


def json_response(payload: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a response with `payload` as JSON."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(payload),
        content_type="application/json",
        headers=dict(headers or {}),
    )


async def no_store(_: web.Request, response: web.StreamResponse) -> None:
    """Forbid caching of a response without a Cache-Control header; belongs in `app.on_response_prepare`."""
    response.headers.setdefault("Cache-Control", "no-store")


def new_registry() -> CollectorRegistry:
    """Return a metrics registry for one service, with the process's own metrics in it."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def metrics_middleware(registry: CollectorRegistry, service: str) -> Middleware:
    """Return an aiohttp middleware that counts and times requests by route template and status.

    Put it outside the error middleware, so that it sees the statuses that clients see.
    """
    requests = Counter(
        f"apimetry_{service}_http_requests", "Requests answered.", ["route", "status"], registry=registry
    )
    seconds = Histogram(
        f"apimetry_{service}_http_request_seconds",
        "Time to answer a request.",
        ["route"],
        registry=registry,
        buckets=LATENCY_BUCKETS_S,
    )

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        response = await handler(request)
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "(unmatched)"
        seconds.labels(route).observe(time.perf_counter() - started)
        requests.labels(route, response.status).inc()
        return response

    return middleware


class _StoreHosts(Collector):
    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "apimetry_store_host_up", "Whether a host of the store answered last: 1 or 0.", labels=["host"]
        )
        for place, is_up in self._hosts.are_up().items():
            up.add_metric([place], is_up)
        yield up


def add_service_routes(
    app: web.Application,
    registry: CollectorRegistry,
    ready: UnreadyReasons,
    *,
    service: ServiceName,
    hosts: Hosts | None = None,
) -> None:
    """Add the three endpoints for an orchestrator and a monitor.

    ``/health`` responds with 200 while the process serves, and names the service, so that a wrong address shows.
    ``/ready`` responds with 200, or with 503 and the reasons why the service is not ready.
    Of several `hosts` of the store it names those that are away.
    ``/metrics`` responds in the Prometheus text format.
    """
    if hosts is not None:
        registry.register(_StoreHosts(hosts))

    async def health(_: web.Request) -> web.Response:
        return json_response(Health(status="ok", service=service, version=version("apimetry")))

    checking: asyncio.Task[list[str]] | None = None

    async def readiness(_: web.Request) -> web.Response:
        nonlocal checking
        # Anyone can request this without a key, and the check asks the store. So all requests share one check.
        if checking is None or checking.done():
            checking = asyncio.ensure_future(ready())
        reasons = await asyncio.shield(checking)
        answer = Readiness(ready=not reasons, reasons=reasons)
        up = hosts.are_up() if hosts is not None else {}
        if len(up) > 1 and not all(up.values()):
            answer["away"] = [place for place, is_up in up.items() if not is_up]
        return json_response(answer, status=503 if reasons else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_get("/health", health)
    app.router.add_get("/ready", readiness)
    app.router.add_get("/metrics", metrics)
