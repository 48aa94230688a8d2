"""Serve all analytics handlers: authorize a request, tell the time, and run a query for its response."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

from aiohttp import web

from apimetry.query_api.engine import Engine
from apimetry.query_api.kept_answers import KeptAnswers
from apimetry.query_api.lost_shards import WithoutLostShards, wants_partial
from apimetry.query_api.planning.period import Ranges
from apimetry.query_api.queueing.askers import client_of
from apimetry.query_api.remembering import About
from apimetry.serving.credentials import ApplicationAccess, authorize_application
from apimetry.store.accounts.accounts import KeyKind
from apimetry.store.accounts.directory import Directory


class Answering:
    """The engine, the directory and the clock of all analytics handlers. `clock` returns seconds since the epoch."""

    def __init__(self, engine: Engine, directory: Directory, clock: Callable[[], float]) -> None:
        self.engine = engine
        self._directory = directory
        self._clock = clock

    async def authorize(self, request: web.Request, *, takes_links: bool = False) -> ApplicationAccess:
        """Return the access of the request's key to its application; for read and admin keys.

        With `takes_links` also for a link. Then the handler passes its question through `planning.narrowing`.
        """
        return await authorize_application(
            request,
            self._directory,
            KeyKind.read,
            KeyKind.admin,
            purpose="query events",
            takes_links=takes_links,
        )

    def now(self) -> int:
        """Return the time, rounded up to a whole second, so that every stored event is before it."""
        return math.ceil(self._clock())

    async def respond(
        self,
        request: web.Request,
        access: ApplicationAccess,
        query: Callable[..., bytes],
        *args: object,
        ranges: Ranges | None = None,
    ) -> web.Response:
        """Return the response with the JSON of `query(ask, *args)`, which runs in a thread of the store.

        `query` encodes its JSON in that thread, so that a hundred thousand points do not block the event loop.
        `ranges` hold all events that the rows of its statements depend on. Without them, no rows are remembered.
        """
        application = access.application
        about = None if ranges is None else About(application.id, ranges, application.retention_days)
        client = client_of(request, access.principal)
        if wants_partial(request):
            query = WithoutLostShards(query, self.engine.lost_shards)
        return _json(await self.engine.run_shared(client, query, *args, about=about))

    async def respond_kept(
        self,
        request: web.Request,
        access: ApplicationAccess,
        kept: KeptAnswers,
        query: Callable[..., bytes],
        *args: Hashable,
    ) -> web.Response:
        """Return the response that `kept` has for the same `args`, or else the response of `respond`, and keep it."""
        now_s = self._clock()
        body = kept.of(args, now_s)
        if body is None:
            body = await self.engine.run_shared(client_of(request, access.principal), query, *args)
            kept.keep(args, body, now_s)
        return _json(body)


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})
