"""`GET /v1/quality` (docs/api.md, "Data quality")."""

from __future__ import annotations

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.answering import Answering
from apimetry.query_api.quality.answer import answer_quality
from apimetry.query_api.quality.params import QualityQuery, parse_quality
from apimetry.store.statement import Ask


class QualityHandlers:
    """Handles `GET /v1/quality`."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.get("/v1/quality", self.quality)]

    async def quality(self, request: web.Request) -> web.Response:
        """Answer which share of what senders captured is stored, over time and by sender."""
        access = await self._answering.authorize(request)
        query = parse_quality(request.query.items(), self._answering.now())
        return await self._answering.respond(request, access, self._encoded, query, access.application.id)

    def _encoded(self, ask: Ask, query: QualityQuery, application: str) -> bytes:
        return encode(answer_quality(query, application, ask=ask, now=self._answering.now()))
