"""`POST /1/event/`: a batch in one of the known formats; 200 once everything that is valid is in the spool."""

from aiohttp import web

from apimetry.collector.formats.known import format_of
from apimetry.collector.intake import Intake
from apimetry.collector.metrics import Metrics
from apimetry.serving.errors import APIError

PATHS = ("/1/event/", "/1/event", "/1/events/", "/1/events")
"""Different words for one endpoint."""


class EventsHandler:
    """The handler."""

    def __init__(self, intake: Intake, metrics: Metrics) -> None:
        self._intake = intake
        self._metrics = metrics

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the endpoint."""
        return [web.post(path, self.post) for path in PATHS]

    async def post(self, request: web.Request) -> web.Response:
        """Answer in the format of the batch what became of it."""
        try:
            access = await self._intake.admit(request)
            form = format_of(request)
            return form.answer(await self._intake.take(request, access, form))
        except APIError as error:
            self._metrics.refused(str(error.status))
            raise
