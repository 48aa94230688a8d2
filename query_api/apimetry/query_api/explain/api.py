"""`GET /v1/explain` (docs/api.md, "Explain")."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.answering import Answering
from apimetry.query_api.explain.answer import answer_explain
from apimetry.query_api.explain.params import CONSUMER, ExplainQuery, parse_explain
from apimetry.query_api.planning.narrowing import narrowed
from apimetry.store.accounts.token_records import Fixed
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
        access = await self._answering.authorize(request, takes_links=True)
        query = _within(parse_explain(request.query.items(), self._answering.now()), access.principal.fixed)
        ranges = ((query.start, query.end), query.before)
        return await self._answering.respond(
            request, access, self._encoded, query, access.application.id, ranges=ranges
        )

    def _encoded(self, ask: Ask, query: ExplainQuery, application: str) -> bytes:
        answer = partial(answer_explain, query, application, ask=ask, now=self._answering.now())
        return encode(self._answering.engine.at_one_moment(answer))


def _within(query: ExplainQuery, fixed: Fixed | None) -> ExplainQuery:
    """Return the query within what a link binds: its slices have no field that the link hides."""
    if fixed is None:
        return query
    dimensions = tuple(name for name in query.dimensions if name not in fixed.hides)
    narrower = narrowed(query, fixed, compared=query.before)
    return replace(narrower, dimensions=dimensions, names_consumers=CONSUMER not in fixed.hides)
