"""`GET /v1/developer/insights` (docs/api.md, "Developer usage API")."""

from __future__ import annotations

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.answering import Answering
from apimetry.query_api.insights.answer import answer_insights
from apimetry.query_api.insights.forecast import Prices
from apimetry.query_api.settings import QuerySettings
from apimetry.query_api.usage.params import Window, parse_window
from apimetry.store.accounts.accounts import Application
from apimetry.store.statement import Ask


class InsightsHandlers:
    """The handler."""

    def __init__(self, answering: Answering, settings: QuerySettings) -> None:
        self._answering = answering
        self._prices = Prices(str(settings.price_per_request), str(settings.price_per_byte))

    def routes(self) -> list[web.RouteDef]:
        """Return the route of insights."""
        return [web.get("/v1/developer/insights", self.insights)]

    async def insights(self, request: web.Request) -> web.Response:
        """Answer what the usage means: trends, costs, capacity and what to improve."""
        access = await self._answering.authorize(request)
        now = self._answering.now()
        window = parse_window(request.query.items(), now)
        return await self._answering.respond(request, access, self._encoded, window, access.application, now)

    def _encoded(self, ask: Ask, window: Window, application: Application, now: int) -> bytes:
        return encode(answer_insights(window, application, prices=self._prices, ask=ask, now=now))
