"""What the handlers of analytics share: whose application, what time it is, and an answer that is read once."""

from __future__ import annotations

import math
from collections.abc import Callable

from aiohttp import web

from apimetry.query_api.engine import Engine
from apimetry.query_api.queueing.askers import client_of
from apimetry.serving.credentials import ApplicationAccess, authorize_application
from apimetry.store.accounts.accounts import KeyKind
from apimetry.store.accounts.directory import Directory


class Answering:
    """One for all analytics handlers. `clock` returns seconds since the epoch."""

    def __init__(self, engine: Engine, directory: Directory, clock: Callable[[], float]) -> None:
        self.engine = engine
        self._directory = directory
        self._clock = clock

    async def authorize(self, request: web.Request) -> ApplicationAccess:
        """Return who asks about which application; for read and admin keys."""
        return await authorize_application(
            request, self._directory, KeyKind.read, KeyKind.admin, purpose="query events"
        )

    def now(self) -> int:
        """Return now, to the next whole second: what was stored a moment ago is before it."""
        return math.ceil(self._clock())

    async def respond(
        self, request: web.Request, access: ApplicationAccess, query: Callable[..., bytes], *args: object
    ) -> web.Response:
        """Answer with the JSON that `query(ask, *args)` returns; it runs in a thread of the store.

        It encodes there too: a hundred thousand points take the event loop nothing.
        """
        body = await self.engine.answer_once(client_of(request, access.principal), query, *args)
        return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})
