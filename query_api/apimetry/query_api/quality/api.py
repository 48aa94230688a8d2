"""`GET /v1/quality` (docs/api.md, "Data quality")."""

from __future__ import annotations

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.answering import Answering
from apimetry.query_api.lost_shards import wants_partial
from apimetry.query_api.quality.answer import answer_quality
from apimetry.query_api.quality.kept import KeptParts
from apimetry.query_api.quality.params import QualityQuery, parse_quality
from apimetry.store.statement import Ask


class QualityHandlers:
    """Handles `GET /v1/quality`. Parts of its answer are kept for seconds, unless it may lack shards."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._kept = KeptParts()

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.get("/v1/quality", self.quality)]

    async def quality(self, request: web.Request) -> web.Response:
        """Answer which share of what senders captured is stored, over time and by sender."""
        access = await self._answering.authorize(request)
        query = parse_quality(request.query.items(), self._answering.now())
        read = self._read if wants_partial(request) else self._with_kept
        return await self._answering.respond(request, access, read, query, access.application.id)

    def _read(self, ask: Ask, query: QualityQuery, application: str) -> bytes:
        return encode(answer_quality(query, application, ask=ask, now=self._answering.now()))

    def _with_kept(self, ask: Ask, query: QualityQuery, application: str) -> bytes:
        return encode(answer_quality(query, application, ask=ask, now=self._answering.now(), kept=self._kept))
