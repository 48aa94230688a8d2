"""`GET /v1/values` (docs/api.md, "Values")."""

from __future__ import annotations

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.answering import Answering
from apimetry.query_api.kept_answers import KeptAnswers
from apimetry.query_api.planning.narrowing import narrowed
from apimetry.query_api.values.answer import answer_values
from apimetry.query_api.values.params import KEPT_S, ValuesQuery, parse_values
from apimetry.store.statement import Ask


class ValuesHandlers:
    """Handles `GET /v1/values`. An answer is kept for KEPT_S."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._kept = KeptAnswers(KEPT_S)

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.get("/v1/values", self.values)]

    async def values(self, request: web.Request) -> web.Response:
        """Answer the values of a field."""
        access = await self._answering.authorize(request, takes_links=True)
        query = parse_values(request.query.items(), self._answering.now())
        query = narrowed(query, access.principal.fixed, names=[query.field])
        return await self._answering.respond_kept(
            request, access, self._kept, self._encoded, query, access.application.id
        )

    def _encoded(self, ask: Ask, query: ValuesQuery, application: str) -> bytes:
        return encode(answer_values(query, application, ask=ask, now=self._answering.now()))
