"""aiohttp middlewares of the query service: a log line for each request, compression, and a member of errors.

The log line has method, route template, status and time, and never a query string, key, body or address.
"""

from __future__ import annotations

import logging
import time

from aiohttp import web
from aiohttp.typedefs import Middleware

from apimetry.serving.errors import Handler, UnsupportedMediaType, method_of

logger = logging.getLogger(__name__)

DEVELOPER_PREFIX = "/v1/developer/"


@web.middleware
async def plain_bodies_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a compressed body before the handler runs."""
    for header, plain in (("Content-Encoding", "identity"), ("Transfer-Encoding", "chunked")):
        encoding = ",".join(request.headers.getall(header, ())).strip().lower()
        if encoding not in ("", plain):
            raise UnsupportedMediaType(f"{header} is {encoding[:80]!r}; allowed: {plain}")
    return await handler(request)


@web.middleware
async def access_log_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log the request after its response, or after its client left."""
    started = time.perf_counter()
    status = 499
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "(unmatched)"
        logger.info("%s %s %d %.1f ms", method_of(request), route, status, 1000 * (time.perf_counter() - started))


def compression_middleware(over_bytes: int) -> Middleware:
    """Return a middleware that compresses bodies longer than `over_bytes` for clients that accept it.

    The JSON of points has the same digits again and again: compressed, it is five times smaller.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        body = response.body if isinstance(response, web.Response) else None
        # A handler that names the header in Vary has chosen among bodies that were compressed at the build.
        has_chosen = "Accept-Encoding" in response.headers.get("Vary", "")
        if isinstance(body, bytes) and len(body) > over_bytes and not has_chosen:
            response.headers.add("Vary", "Accept-Encoding")
            response.enable_compression()
        return response

    return middleware


@web.middleware
async def developer_error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Add ``"success": false`` to every error under DEVELOPER_PREFIX. Put it outside the error middleware."""
    response = await handler(request)
    if response.status < 400 or not request.path.startswith(DEVELOPER_PREFIX):
        return response
    if isinstance(response, web.Response) and isinstance(response.body, bytes) and response.body.startswith(b"{"):
        response.body = b'{"success":false,' + response.body[1:]
    return response
