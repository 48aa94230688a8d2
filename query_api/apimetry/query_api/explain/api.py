"""`GET /v1/explain` (docs/api.md, "Explain")."""

from __future__ import annotations

from functools import partial

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.answering import Answering
from apimetry.query_api.explain.answer import answer_explain
from apimetry.query_api.explain.params import ExplainQuery, parse_explain
from apimetry.store.statement import Ask


class ExplainHandlers:
    """Handles `GET /v1/explain`."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.get("/v1/explain", self.explain)]

    async def explain(self, request: web.Request) -> web.Response:
        """Answer which requests a change is made of."""
        access = await self._answering.authorize(request)
        query = parse_explain(request.query.items(), self._answering.now())
        ranges = ((query.start, query.end), query.before)
        return await self._answering.respond(
            request, access, self._encoded, query, access.application.id, ranges=ranges
        )

    def _encoded(self, ask: Ask, query: ExplainQuery, application: str) -> bytes:
        answer = partial(answer_explain, query, application, ask=ask, now=self._answering.now())
        return encode(self._answering.engine.at_one_moment(answer))
