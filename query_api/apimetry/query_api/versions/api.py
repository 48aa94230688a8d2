"""`GET /v1/versions` (docs/api.md, "Versions")."""

from __future__ import annotations

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.answering import Answering
from apimetry.query_api.kept_answers import KeptAnswers
from apimetry.query_api.planning.narrowing import narrowed
from apimetry.query_api.versions.answer import answer_versions
from apimetry.query_api.versions.params import KEPT_S, VersionsQuery, parse_versions
from apimetry.store.statement import Ask


class VersionsHandlers:
    """Handles `GET /v1/versions`. An answer is kept for KEPT_S."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._kept = KeptAnswers(KEPT_S)

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.get("/v1/versions", self.versions)]

    async def versions(self, request: web.Request) -> web.Response:
        """Answer when versions began to serve."""
        access = await self._answering.authorize(request, takes_links=True)
        query = parse_versions(request.query.items(), self._answering.now())
        query = narrowed(query, access.principal.fixed, names=["version", "source"], looks_back=True)
        return await self._answering.respond_kept(
            request, access, self._kept, self._encoded, query, access.application.id
        )

    def _encoded(self, ask: Ask, query: VersionsQuery, application: str) -> bytes:
        return encode(answer_versions(query, application, ask=ask, now=self._answering.now()))
