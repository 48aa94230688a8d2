"""`GET /v1/breakdown` (docs/api.md, "Breakdown")."""

from __future__ import annotations

from functools import partial

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.answering import Answering
from apimetry.query_api.breakdown.answer import answer_breakdown, answer_breakdown_rows
from apimetry.query_api.breakdown.params import BreakdownQuery, parse_breakdown
from apimetry.query_api.planning.narrowing import narrowed
from apimetry.store.statement import Ask


class BreakdownHandlers:
    """Handles `GET /v1/breakdown`."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def routes(self) -> list[web.RouteDef]:
        """Return the route of the breakdown API."""
        return [web.get("/v1/breakdown", self.breakdown)]

    async def breakdown(self, request: web.Request) -> web.Response:
        """Answer a table."""
        access = await self._answering.authorize(request, takes_links=True)
        query = parse_breakdown(request.query.items(), self._answering.now())
        fixed = access.principal.fixed
        query = narrowed(query, fixed, names=query.by, compared=query.compared, looks_back=query.having is not None)
        ranges = ((query.start, query.end), *([query.compared] if query.compared else []))
        return await self._answering.respond(
            request,
            access,
            self._encoded,
            query,
            access.application.id,
            # Which consumers are new or silent depends on events of other times.
            ranges=None if query.having else ranges,
        )

    def _encoded(self, ask: Ask, query: BreakdownQuery, application: str) -> bytes:
        shape = answer_breakdown_rows if query.shown.in_rows else answer_breakdown
        answer = partial(shape, query, application, ask=ask, now=self._answering.now())
        return encode(self._answering.engine.at_one_moment(answer))
