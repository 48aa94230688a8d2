"""The contract suite's application in Starlette and FastAPI, as `adapters` describes it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tests.middleware.calling import Adapter, HostError, call_asgi, chunks, failing_chunks


def refuse_asgi(app: Any) -> Any:
    async def layer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (b"x-refuse", b"1") in scope["headers"]:
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b"no"})
        else:
            await app(scope, receive, send)

    return layer


def copy_asgi(app: Any) -> Any:
    async def layer(scope: Any, receive: Any, send: Any) -> None:
        await app(dict(scope), receive, send)

    return layer


def layers_asgi(between: tuple[str, ...], options: dict[str, Any]) -> list[Callable[[Any], Any]]:
    """Return the layers named, innermost first."""
    from apimetry.middleware.asgi import ASGIMiddleware

    named = {"refuse": refuse_asgi, "copy": copy_asgi, "again": lambda app: ASGIMiddleware(app, **options)}
    return [named[name] for name in between if name in named]


def around_asgi(app: Any, between: tuple[str, ...], options: dict[str, Any]) -> Adapter:
    """Put the layers named and, outermost, our middleware around an application."""
    from apimetry.middleware.asgi import ASGIMiddleware

    for layer in layers_asgi(between, options):
        app = layer(app)
    middleware = ASGIMiddleware(app, **options)
    return Adapter(functools.partial(call_asgi, middleware), middleware.flush)


def _starlette(between: tuple[str, ...]) -> Any:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
    from starlette.routing import Route

    async def scores(request: Any) -> Any:
        return JSONResponse({"score": 1})

    async def echo(request: Any) -> Any:
        return PlainTextResponse(str(len(await request.body())))

    async def unread(request: Any) -> Any:
        return PlainTextResponse("")

    async def stream(request: Any) -> Any:
        return StreamingResponse(chunks())

    async def stream_error(request: Any) -> Any:
        return StreamingResponse(failing_chunks())

    async def boom(request: Any) -> Any:
        raise HostError("before the headers")

    async def last_resort(request: Any, error: Exception) -> Any:
        return PlainTextResponse("sorry", 503)

    return Starlette(
        routes=[
            Route("/v1/scores/{identity}", scores),
            Route("/echo", echo, methods=["POST"]),
            Route("/unread", unread, methods=["POST"]),
            Route("/stream", stream),
            Route("/stream-error", stream_error),
            Route("/boom", boom),
        ],
        exception_handlers={Exception: last_resort} if "last-resort" in between else {},
    )


def make_starlette(options: dict[str, Any], *between: str) -> Adapter:
    return around_asgi(_starlette(between), between, options)


def make_starlette_inside(options: dict[str, Any], *between: str) -> Adapter:
    return add_to_starlette(_starlette(between), between, options)


def add_to_starlette(app: Any, between: tuple[str, ...], options: dict[str, Any]) -> Adapter:
    """Add our middleware, and before it the layers named, by the application's own `add_middleware`."""
    from apimetry.middleware.asgi import ASGIMiddleware

    middlewares: list[ASGIMiddleware] = []

    def make(app: Any) -> ASGIMiddleware:
        middlewares.append(ASGIMiddleware(app, **options))
        return middlewares[-1]

    for layer in layers_asgi(between, options):
        app.add_middleware(layer)
    app.add_middleware(make)
    app.middleware_stack = app.build_middleware_stack()
    return Adapter(functools.partial(call_asgi, app), middlewares[-1].flush)


def _fastapi(between: tuple[str, ...]) -> Any:
    from fastapi import FastAPI, Request
    from fastapi.responses import PlainTextResponse, StreamingResponse

    app = FastAPI()

    @app.api_route("/v1/scores/{identity}", methods=["GET", "HEAD"])
    async def scores(identity: str) -> dict[str, int]:
        return {"score": 1}

    # FastAPI reads the annotations from the module, where these names are not.
    async def echo(request: Any) -> Any:
        return PlainTextResponse(str(len(await request.body())))

    echo.__annotations__ = {"request": Request}
    app.post("/echo", response_model=None)(echo)

    @app.post("/unread", response_model=None)
    async def unread() -> Any:
        return PlainTextResponse("")

    @app.get("/stream", response_model=None)
    async def stream() -> Any:
        return StreamingResponse(chunks())

    @app.get("/stream-error", response_model=None)
    async def stream_error() -> Any:
        return StreamingResponse(failing_chunks())

    @app.get("/boom")
    async def boom() -> None:
        raise HostError("before the headers")

    async def last_resort(request: Any, error: Exception) -> Any:
        return PlainTextResponse("sorry", 503)

    if "last-resort" in between:
        app.add_exception_handler(Exception, last_resort)
    return app


def make_fastapi(options: dict[str, Any], *between: str) -> Adapter:
    return around_asgi(_fastapi(between), between, options)


def make_fastapi_inside(options: dict[str, Any], *between: str) -> Adapter:
    return add_to_starlette(_fastapi(between), between, options)
