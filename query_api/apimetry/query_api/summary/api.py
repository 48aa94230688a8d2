"""`GET /v1/summary` (docs/api.md, "Summary")."""

from __future__ import annotations

from functools import partial

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.answering import Answering
from apimetry.query_api.planning.narrowing import narrowed
from apimetry.query_api.summary.answer import answer_summary
from apimetry.query_api.summary.params import SummaryQuery, parse_summary
from apimetry.store.accounts.accounts import Application
from apimetry.store.statement import Ask


class SummaryHandlers:
    """Handles `GET /v1/summary`."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def routes(self) -> list[web.RouteDef]:
        """Return the route of summaries."""
        return [web.get("/v1/summary", self.summary)]

    async def summary(self, request: web.Request) -> web.Response:
        """Answer with totals."""
        access = await self._answering.authorize(request, takes_links=True)
        query = parse_summary(request.query.items(), self._answering.now())
        fixed = access.principal.fixed
        query = narrowed(query, fixed, compared=query.compared, completeness=query.completeness)
        ranges = ((query.start, query.end), *([query.compared] if query.compared else []))
        return await self._answering.respond(request, access, self._encoded, query, access.application, ranges=ranges)

    def _encoded(self, ask: Ask, query: SummaryQuery, application: Application) -> bytes:
        now = self._answering.now()
        answer = partial(answer_summary, query, application, ask=ask, now=now)
        return encode(self._answering.engine.at_one_moment(answer))
