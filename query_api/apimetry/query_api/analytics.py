"""The analytics endpoints."""

from __future__ import annotations

import math
from collections.abc import Callable

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.engine import Ask, Engine
from apimetry.query_api.insights.answer import answer_insights
from apimetry.query_api.insights.forecast import Prices
from apimetry.query_api.queueing.askers import client_of
from apimetry.query_api.settings import QuerySettings
from apimetry.query_api.timeseries.answer import Limits, answer_timeseries
from apimetry.query_api.timeseries.params import TimeseriesQuery, parse_timeseries
from apimetry.query_api.usage.answer import answer_usage
from apimetry.query_api.usage.params import UsageQuery, Window, parse_usage, parse_window
from apimetry.serving.credentials import ApplicationAccess, authorize_application
from apimetry.store.accounts.accounts import Application, KeyKind
from apimetry.store.accounts.directory import Directory


class Analytics:
    """The handlers. `clock` returns seconds since the epoch."""

    def __init__(
        self, engine: Engine, directory: Directory, settings: QuerySettings, clock: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._directory = directory
        self._clock = clock
        self._prices = Prices(str(settings.price_per_request), str(settings.price_per_byte))
        self._limits = Limits(settings.max_points, settings.max_groups)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of analytics."""
        return [
            web.get("/1/timeseries/{start}/{end}/", self.timeseries),
            web.get("/1/timeseries/{start}/{end}", self.timeseries),
            web.get("/v1/developer/usage", self.usage),
            web.get("/v1/developer/insights", self.insights),
        ]

    async def timeseries(self, request: web.Request) -> web.Response:
        """Answer a timeseries question (api.md, section 3.1)."""
        access = await self._authorize(request)
        query = parse_timeseries(
            request.match_info["start"],
            request.match_info["end"],
            request.query.items(),
            max_groups=self._limits.max_groups,
        )
        client = client_of(request, access.principal)
        return _response(await self._engine.answer_once(client, self._timeseries, query, access.application.id))

    async def usage(self, request: web.Request) -> web.Response:
        """Answer a usage question (api.md, section 3.2)."""
        access = await self._authorize(request)
        now = self._now()
        query = parse_usage(request.query.items(), now)
        client = client_of(request, access.principal)
        return _response(await self._engine.answer_once(client, self._usage, query, access.application, now))

    async def insights(self, request: web.Request) -> web.Response:
        """Answer what is to be made of the usage (api.md, section 3.2)."""
        access = await self._authorize(request)
        now = self._now()
        window = parse_window(request.query.items(), now)
        client = client_of(request, access.principal)
        return _response(await self._engine.answer_once(client, self._insights, window, access.application, now))

    async def _authorize(self, request: web.Request) -> ApplicationAccess:
        return await authorize_application(
            request, self._directory, KeyKind.read, KeyKind.admin, purpose="query events"
        )

    def _now(self) -> int:
        """Return now, to the next whole second: what was stored a moment ago is before it."""
        return math.ceil(self._clock())

    # Asked and encoded in the store's thread: a hundred thousand points take the event loop nothing.

    def _timeseries(self, ask: Ask, query: TimeseriesQuery, application: str) -> bytes:
        now = self._now()
        return encode(answer_timeseries(query, application, ask=ask, limits=self._limits, now=now))

    def _usage(self, ask: Ask, query: UsageQuery, application: Application, now: int) -> bytes:
        with self._engine.between_inserts():
            answer = answer_usage(query, application, ask=ask, now=now)
        return encode(answer)

    def _insights(self, ask: Ask, window: Window, application: Application, now: int) -> bytes:
        return encode(answer_insights(window, application, prices=self._prices, ask=ask, now=now))


def _response(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})
