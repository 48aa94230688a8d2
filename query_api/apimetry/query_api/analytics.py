"""The analytics endpoints."""

from __future__ import annotations

from aiohttp import web

from apimetry.query_api.engine import Engine
from apimetry.query_api.params import TimeseriesQuery, parse_timeseries
from apimetry.query_api.settings import QuerySettings
from apimetry.query_api.timeseries import Limits, answer_timeseries
from apimetry.store.accounts import KeyKind
from apimetry.store.directory import Directory
from apimetry.web.credentials import authorize_application
from apimetry.web.service import json_response


class Analytics:
    """The handlers."""

    def __init__(self, engine: Engine, directory: Directory, settings: QuerySettings) -> None:
        self._engine = engine
        self._directory = directory
        self._limits = Limits(settings.max_points, settings.max_groups)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of analytics."""
        return [
            web.get("/1/timeseries/{start}/{end}/", self.timeseries),
            web.get("/1/timeseries/{start}/{end}", self.timeseries),
        ]

    async def timeseries(self, request: web.Request) -> web.Response:
        """Answer a timeseries question (api.md, section 3.1)."""
        access = await authorize_application(
            request, self._directory, KeyKind.read, KeyKind.admin, purpose="query events"
        )
        query = parse_timeseries(
            request.match_info["start"],
            request.match_info["end"],
            request.query.items(),
            max_groups=self._limits.max_groups,
        )
        return await self._engine.answer(self._answer, query, access.application.id)

    def _answer(self, query: TimeseriesQuery, application: str) -> web.Response:
        """Ask and encode in the store's thread: a hundred thousand points take the event loop nothing."""
        return json_response(
            answer_timeseries(query, application, ask=self._engine.ask, limits=self._limits),
            headers={"Cache-Control": "no-store"},
        )
