"""The contract suite's application in aiohttp, as `adapters` describes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from tests.middleware.calling import Adapter, Answer, HostError, call_aiohttp, chunks, failing_chunks


def make_aiohttp(options: dict[str, Any], *between: str) -> Adapter:  # noqa: C901 - seven small handlers
    from aiohttp import web

    from apimetry.middleware.aiohttp import aiohttp_middleware

    async def scores(request: web.Request) -> web.Response:
        return web.json_response({"score": 1})

    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    async def unread(request: web.Request) -> web.Response:
        return web.Response(text="")

    async def stream(request: web.Request) -> web.StreamResponse:
        return await _send(request, chunks())

    async def stream_error(request: web.Request) -> web.StreamResponse:
        return await _send(request, failing_chunks())

    async def _send(request: web.Request, chunks: Iterator[bytes]) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
        return response

    async def boom(request: web.Request) -> web.Response:
        raise HostError("before the headers")

    @web.middleware
    async def refuse(request: web.Request, handler: Any) -> Any:
        return web.Response(status=403, text="no") if "X-Refuse" in request.headers else await handler(request)

    @web.middleware
    async def last_resort(request: web.Request, handler: Any) -> Any:
        try:
            return await handler(request)
        except HostError:
            return web.Response(status=503, text="sorry")

    middleware = aiohttp_middleware(**options)
    named = {
        "refuse": lambda: refuse,
        "last-resort": lambda: last_resort,
        "again": lambda: aiohttp_middleware(**options),
    }
    layers = [named[name]() for name in reversed(between) if name in named]

    def call(
        method: str, path: str, body: bytes, headers: dict[str, str], *, prefix: str = "", chunked: bool = False
    ) -> Answer:
        app = web.Application(middlewares=[middleware, *layers])
        app.router.add_get("/v1/scores/{identity}", scores)
        app.router.add_post("/echo", echo)
        app.router.add_post("/unread", unread)
        app.router.add_get("/stream", stream)
        app.router.add_get("/stream-error", stream_error)
        app.router.add_get("/boom", boom)
        if prefix:
            inner, app = app, web.Application()
            app.add_subapp(prefix, inner)
        return asyncio.run(call_aiohttp(app, method, prefix + path, _parts(body) if chunked else body, headers))

    async def _parts(body: bytes) -> Any:
        yield body[:2]
        yield body[2:]

    return Adapter(call, middleware.flush)  # type: ignore[attr-defined]
