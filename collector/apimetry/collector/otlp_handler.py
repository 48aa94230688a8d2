"""`POST /v1/traces`: spans over OTLP. The status is 200 once the events of all valid server spans are in the spool.

docs/opentelemetry.md has the answers. An exporter sends a request again only after 429, 502, 503 and 504.
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from apimetry.collector.formats.known import SPAN_FORMATS, format_of
from apimetry.collector.formats.otlp.responses import JSON, PROTOBUF, as_status
from apimetry.collector.intake import Intake
from apimetry.collector.metrics import Metrics
from apimetry.serving.errors import APIError, Error, TooSlow, Unavailable, error_middleware

PATH = "/v1/traces"
RETRY_AFTER_S = 1.0
_read_error = msgspec.json.Decoder(Error).decode


class OTLPHandler:
    """Handles the endpoint's requests."""

    def __init__(self, intake: Intake, metrics: Metrics) -> None:
        self._intake = intake
        self._metrics = metrics

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the endpoint."""
        return [web.post(PATH, self.post)]

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Take the spans of the request, and respond with their outcome; an error becomes a Status."""
        response = await error_middleware(request, self._take)
        if response.status < 400 or not isinstance(response, web.Response):
            return response
        content_type = PROTOBUF if request.content_type == PROTOBUF else JSON
        return as_status(response, _read_error(response.text or "")["message"], content_type)

    async def _take(self, request: web.Request) -> web.Response:
        try:
            access = await self._intake.admit(request)
            format_ = format_of(request, SPAN_FORMATS)
            return format_.respond(await self._intake.take(request, access, format_))
        except TooSlow as error:
            # Exporters give up after 408, and a slow network passes.
            self._metrics.refused(str(error.status))
            raise Unavailable(error.message, retry_after_s=RETRY_AFTER_S) from error
        except APIError as error:
            self._metrics.refused(str(error.status))
            raise
