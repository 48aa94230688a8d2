"""`GET /metrics/traffic`: the traffic that this collector took, for Prometheus. docs/operations.md describes it."""

from __future__ import annotations

import asyncio

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from apimetry.collector.traffic.exposition import PROTOBUF, write_protobuf, write_text
from apimetry.collector.traffic.table import Traffic
from apimetry.serving.credentials import authorize
from apimetry.store.accounts.accounts import KeyKind
from apimetry.store.accounts.directory import Directory

PATH = "/metrics/traffic"


class TrafficHandler:
    """Handles the endpoint's requests."""

    def __init__(self, directory: Directory, traffic: Traffic) -> None:
        self._directory = directory
        self._traffic = traffic
        # Writing many series takes memory and a thread: one answer at a time.
        self._writing = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the endpoint."""
        return [web.get(PATH, self.get)]

    async def get(self, request: web.Request) -> web.Response:
        """Answer the series of the key's application; those of all its applications to an admin key."""
        access = await authorize(
            request, self._directory, KeyKind.read, KeyKind.admin, purpose="read the collected traffic"
        )
        applications = (
            [access.application]
            if access.application is not None
            else self._directory.applications_of(access.organization.id)
        )
        names = {application.id: application.name for application in applications}
        wants_protobuf = "io.prometheus.client.MetricFamily" in request.headers.get("Accept", "")
        async with self._writing:
            traffic = list(self._traffic.read(names))
            body = await asyncio.to_thread(write_protobuf if wants_protobuf else write_text, traffic, names)
        response = web.Response(
            body=body, headers={"Content-Type": PROTOBUF if wants_protobuf else CONTENT_TYPE_LATEST}
        )
        response.enable_compression()
        return response
