"""Requests that wait before they send a body: `Expect: 100-continue` (RFC 9110, section 10.1.1).

aiohttp asks for the body before it looks for a handler. The services ask for it only after they have authorized the
request: a client without a key sends no body.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy

from apimetry.serving.connection import Connection

RequestFactory = Callable[..., web.BaseRequest]
"""Makes a request from what aiohttp's parser read: `web.Server.request_factory`."""


def make_request(original: RequestFactory) -> RequestFactory:
    """Return a request factory that reports every request to its connection and removes the `Expect` header."""

    def make(
        message: RawRequestMessage, payload: StreamReader, protocol: Connection, *rest: object
    ) -> web.BaseRequest:
        length = message.headers.get("Content-Length")
        expected = message.headers.get("Expect", "")
        if expected:
            # With this header, aiohttp would ask for the body before it looks for a handler.
            headers = CIMultiDict(message.headers)
            del headers["Expect"]
            message = message._replace(headers=CIMultiDictProxy(headers))
        protocol.request_begins(
            int(length) if length is not None else None, payload, expects=expected.lower() == "100-continue"
        )
        return original(message, payload, protocol, *rest)

    return make


def invite(request: web.Request) -> None:
    """Ask the client for the body if it waits for that (`Expect: 100-continue`). Authorize before calling it."""
    if isinstance(request.protocol, Connection):
        request.protocol.invite()
