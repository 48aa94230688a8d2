"""`POST /1/event/`: a batch in one of the known formats. The status is 200 once all valid events are in the spool."""

from __future__ import annotations

from aiohttp import web

from apimetry.collector.formats.known import format_of
from apimetry.collector.intake import Intake
from apimetry.collector.metrics import Metrics
from apimetry.serving.errors import APIError

PATHS = ("/1/event/", "/1/event", "/1/events/", "/1/events")
"""All paths of the one endpoint."""


class EventsHandler:
    """Handles the endpoint's requests."""

    def __init__(self, intake: Intake, metrics: Metrics) -> None:
        self._intake = intake
        self._metrics = metrics

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the endpoint."""
        return [web.post(path, self.post) for path in PATHS]

    async def post(self, request: web.Request) -> web.Response:
        """Take the batch of the request, and respond with its outcome."""
        try:
            access = await self._intake.admit(request)
            format_ = format_of(request)
            return format_.respond(await self._intake.take(request, access, format_))
        except APIError as error:
            self._metrics.refused(str(error.status))
            raise
