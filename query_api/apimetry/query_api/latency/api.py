"""`GET /v1/latency` (docs/api.md, "Latency")."""

from __future__ import annotations

from functools import partial

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.answering import Answering
from apimetry.query_api.latency.answer import answer_latency
from apimetry.query_api.latency.params import LatencyQuery, parse_latency
from apimetry.query_api.planning.narrowing import narrowed
from apimetry.store.statement import Ask


class LatencyHandlers:
    """Handles `GET /v1/latency`."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def routes(self) -> list[web.RouteDef]:
        """Return the route of distributions."""
        return [web.get("/v1/latency", self.latency)]

    async def latency(self, request: web.Request) -> web.Response:
        """Answer how a value is distributed."""
        access = await self._answering.authorize(request, takes_links=True)
        query = parse_latency(request.query.items(), self._answering.now())
        query = narrowed(query, access.principal.fixed, compared=query.compared)
        ranges = ((query.start, query.end), *([query.compared] if query.compared else []))
        return await self._answering.respond(
            request, access, self._encoded, query, access.application.id, ranges=ranges
        )

    def _encoded(self, ask: Ask, query: LatencyQuery, application: str) -> bytes:
        now = self._answering.now()
        answer = partial(answer_latency, query, application, ask=ask, now=now)
        return encode(self._answering.engine.at_one_moment(answer))
