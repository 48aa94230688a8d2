"""Let pages of other origins send requests (the Fetch standard, section 3.2).

A key is in a header, never in a cookie, so a page of another origin can use only a key that it knows. By default any
origin may read. Only an origin that the operator named may change anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from apimetry.serving.errors import Handler

REQUEST_HEADERS = ("X-API-Key", "Authorization", "X-Auth-User", "X-Auth-Key", "Content-Type")
READ_METHODS = ("GET", "HEAD", "OPTIONS")
WRITE_METHODS = ("POST", "PATCH", "DELETE")
# Browsers have a maximum: two hours in Chromium.
_MAX_AGE_S = 7200


def cors_middleware(allowed_origins: tuple[str, ...]) -> Middleware:
    """Return an aiohttp middleware that answers preflights. `cors_marker` adds the headers of all responses."""
    named = frozenset(allowed_origins) - {"*"}
    any_may_read = "*" in allowed_origins

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if origin is None or not is_preflight:
            return await handler(request)
        response = web.Response(status=204)
        if any_may_read or origin in named:
            methods = READ_METHODS + (WRITE_METHODS if origin in named else ())
            response.headers["Access-Control-Allow-Methods"] = ", ".join(methods)
            response.headers["Access-Control-Allow-Headers"] = ", ".join(REQUEST_HEADERS)
            response.headers["Access-Control-Max-Age"] = str(_MAX_AGE_S)
        return response

    return middleware


def cors_marker(allowed_origins: tuple[str, ...]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return a function for `app.on_response_prepare` that adds the headers of this standard to a response.

    A middleware would be too late for a stream: its headers are sent before its handler returns.
    """
    named = frozenset(allowed_origins) - {"*"}
    any_may_read = "*" in allowed_origins

    async def mark(request: web.Request, response: web.StreamResponse) -> None:
        _mark(response, request.headers.get("Origin"), named, any_may_read=any_may_read)

    return mark


def _mark(response: web.StreamResponse, origin: str | None, named: frozenset[str], *, any_may_read: bool) -> None:
    if named:
        # The response depends on the origin: a cache must not give one origin's response to another.
        response.headers.add("Vary", "Origin")
    if origin is not None and origin in named:
        response.headers["Access-Control-Allow-Origin"] = origin
    elif any_may_read:
        response.headers["Access-Control-Allow-Origin"] = "*"
    else:
        return
    response.headers["Access-Control-Expose-Headers"] = "Retry-After, Content-Disposition, X-Request-Id"
