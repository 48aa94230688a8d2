"""The further member of seed 002's errors: ``"success": false`` (api.md, section 1)."""

from __future__ import annotations

import msgspec
from aiohttp import web

from apimetry.serving.errors import Handler

PREFIX = "/v1/developer/"


@web.middleware
async def developer_error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Add the member to every error under PREFIX, whoever made it. Put it outside the error middleware."""
    response = await handler(request)
    if response.status < 400 or not request.path.startswith(PREFIX):
        return response
    if isinstance(response, web.Response) and isinstance(response.body, bytes):
        response.body = msgspec.json.encode({"success": False, **msgspec.json.decode(response.body)})
    return response
