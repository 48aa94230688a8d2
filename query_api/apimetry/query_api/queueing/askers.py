"""Watch whether the client of a request still waits for its response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web

from apimetry.query_api.queueing.fair_queue import Asker
from apimetry.serving.errors import Handler
from apimetry.store.accounts.directory import Principal

T = TypeVar("T")

POLL_S = 0.25
"""Seconds between two checks whether a waiting client has left."""

# The status that proxies log for a client that left.
_CLIENT_CLOSED_REQUEST = 499


class ClientLeft(Exception):
    """The client's connection ended before the response."""


@dataclass(frozen=True)
class Client:
    """The client of one request: its asker, and whether its connection has ended."""

    asker: Asker
    has_left: Callable[[], bool]


def client_of(request: web.Request, principal: Principal) -> Client:
    """Return the client of an authorized request."""

    def has_left() -> bool:
        return request.transport is None or request.transport.is_closing()

    # All links of an organization count as one key: who looks by a link takes no place of those with keys.
    return Client(Asker(principal.organization_id, "links" if principal.fixed else principal.key_id), has_left)


async def until_left(client: Client, work: asyncio.Future[T]) -> T:
    """Return the result of `work`, which goes on if the client leaves.

    Raises:
        ClientLeft: the client has left; raised within POLL_S.
    """
    while not work.done():
        if client.has_left():
            raise ClientLeft
        await asyncio.wait([work], timeout=POLL_S)
    return work.result()


@web.middleware
async def client_left_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return a 499 for a client that has left: only the log and the metrics see it."""
    try:
        return await handler(request)
    except ClientLeft:
        return web.Response(status=_CLIENT_CLOSED_REQUEST, reason="Client Closed Request")
