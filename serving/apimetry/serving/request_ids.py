"""The id of a request: in its response, and in every log line that is written for it.

A proxy in front may have given the request an id. A request without a usable one gets a new id.
"""

from __future__ import annotations

import os
import re
from contextvars import ContextVar
from typing import Final

from aiohttp import web

from apimetry.serving.errors import Handler

HEADER: Final = "X-Request-Id"
CURRENT: Final[ContextVar[str]] = ContextVar("apimetry_request_id", default="")
"""The id of the request that this task answers; "" outside requests."""

# Other characters, or longer ids, could forge or flood a log.
_USABLE: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@web.middleware
async def request_id_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its id; put it outside every middleware that logs."""
    request_id = request.headers.get(HEADER, "")
    CURRENT.set(request_id if _USABLE.fullmatch(request_id) else os.urandom(8).hex())
    return await handler(request)


async def request_id_marker(_: web.Request, response: web.StreamResponse) -> None:
    """Name the request's id in its response; belongs in `app.on_response_prepare`."""
    response.headers[HEADER] = CURRENT.get()
