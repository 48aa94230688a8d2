"""`GET /v1/developer/usage` (docs/api.md, "Developer usage API")."""

from __future__ import annotations

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.answering import Answering
from apimetry.query_api.planning.period import ranges_of
from apimetry.query_api.usage.answer import answer_usage
from apimetry.query_api.usage.params import UsageQuery, parse_usage
from apimetry.store.accounts.accounts import Application
from apimetry.store.statement import Ask


class UsageHandlers:
    """Handles `GET /v1/developer/usage`."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def routes(self) -> list[web.RouteDef]:
        """Return the route of the developer usage API."""
        return [web.get("/v1/developer/usage", self.usage)]

    async def usage(self, request: web.Request) -> web.Response:
        """Answer a usage query."""
        access = await self._answering.authorize(request)
        now = self._answering.now()
        query = parse_usage(request.query.items(), now)
        window = query.window
        # Without a start, the answer begins at the first event.
        ranges = ranges_of(window.start or 0, window.end, query.compare)
        return await self._answering.respond(request, access, self._encoded, query, access.application, ranges=ranges)

    def _encoded(self, ask: Ask, query: UsageQuery, application: Application) -> bytes:
        now = self._answering.now()
        between_inserts = self._answering.engine.between_inserts
        return encode(answer_usage(query, application, ask=ask, now=now, again=between_inserts))
