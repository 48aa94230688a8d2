"""One log line a request: method, route template, status, time. Never a query string, key, body or address."""

from __future__ import annotations

import logging
import time

from aiohttp import web

from apimetry.serving.errors import Handler

log = logging.getLogger(__name__)


@web.middleware
async def access_log_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log the request after it was answered, or after its client left."""
    started = time.perf_counter()
    status = 499
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "(unmatched)"
        log.info("%s %s %d %.1f ms", request.method, route, status, 1000 * (time.perf_counter() - started))
