"""`GET /1/timeseries/{start}/{end}/` (docs/api.md, "Timeseries API")."""

from __future__ import annotations

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.answering import Answering
from apimetry.query_api.planning.narrowing import narrowed
from apimetry.query_api.planning.period import compared_period, ranges_of
from apimetry.query_api.settings import QuerySettings
from apimetry.query_api.timeseries.answer import answer_rows, answer_timeseries
from apimetry.query_api.timeseries.params import TimeseriesQuery, parse_timeseries
from apimetry.query_api.timeseries.reading import Limits
from apimetry.store.statement import Ask


class TimeseriesHandlers:
    """Handles `GET /1/timeseries/{start}/{end}/`."""

    def __init__(self, answering: Answering, settings: QuerySettings) -> None:
        self._answering = answering
        self._limits = Limits(settings.max_points, settings.max_groups)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the timeseries API."""
        return [
            web.get("/1/timeseries/{start}/{end}/", self.timeseries),
            web.get("/1/timeseries/{start}/{end}", self.timeseries),
        ]

    async def timeseries(self, request: web.Request) -> web.Response:
        """Answer a timeseries query."""
        access = await self._answering.authorize(request, takes_links=True)
        query = parse_timeseries(
            request.match_info["start"],
            request.match_info["end"],
            request.query.items(),
            max_groups=self._limits.max_groups,
        )
        query = narrowed(
            query,
            access.principal.fixed,
            names=query.groups,
            compared=compared_period(query.compare, query.start, query.end) if query.compare else None,
            completeness=query.completeness,
        )
        ranges = ranges_of(query.start, query.end, query.compare)
        return await self._answering.respond(
            request, access, self._encoded, query, access.application.id, ranges=ranges
        )

    def _encoded(self, ask: Ask, query: TimeseriesQuery, application: str) -> bytes:
        now = self._answering.now()
        answer = answer_rows if query.shown.in_rows else answer_timeseries
        return encode(answer(query, application, ask=ask, limits=self._limits, now=now))
