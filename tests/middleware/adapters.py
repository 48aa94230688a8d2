"""One small application per adapter, and one way to call them all: what the contract suite is parametrised over.

Routes of each: `/v1/scores/{identity}` answers `{"score": 1}`, and echoes nothing; `/echo` reads the body and answers
its length; `/stream` sends three chunks of four bytes; `/stream-error` sends one and raises; `/boom` raises.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from apimetry.middleware.errors import error_name


class HostError(Exception):
    """What the applications raise."""


@dataclass(frozen=True)
class Answer:
    """What a client saw: status and body; or the exception that reached the server."""

    status: int
    body: bytes
    error: BaseException | None = None


@dataclass(frozen=True)
class Adapter:
    """A built application: `call` sends it a request, `flush` delivers its events."""

    call: Callable[..., Answer]
    flush: Callable[[float], bool]


def _chunks() -> Iterator[bytes]:
    yield b"one "
    yield b"two "
    yield b"three"[:4]


def _failing_chunks() -> Iterator[bytes]:
    yield b"one "
    raise HostError("in the stream")


# ASGI


def call_asgi(app: Any, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("203.0.113.77", 5000),
        "server": ("localhost", 80),
    }
    sent: list[dict[str, Any]] = []
    requests = [{"type": "http.request", "body": body, "more_body": False}]

    async def main() -> BaseException | None:
        async def receive() -> dict[str, Any]:
            if requests:
                return requests.pop()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        try:
            await app(scope, receive, send)
        except Exception as error:  # Starlette's oldest raises a group around it
            if error_name(error) != "HostError":
                raise
            return error
        return None

    error = asyncio.run(main())
    status = next((m["status"] for m in sent if m["type"] == "http.response.start"), 500)
    return Answer(status, b"".join(m.get("body", b"") for m in sent), error)


def make_starlette(options: dict[str, Any]) -> Adapter:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
    from starlette.routing import Route

    from apimetry.middleware.asgi import ASGIMiddleware

    async def scores(request: Any) -> Any:
        return JSONResponse({"score": 1})

    async def echo(request: Any) -> Any:
        return PlainTextResponse(str(len(await request.body())))

    async def stream(request: Any) -> Any:
        return StreamingResponse(_chunks())

    async def stream_error(request: Any) -> Any:
        return StreamingResponse(_failing_chunks())

    async def boom(request: Any) -> Any:
        raise HostError("before the headers")

    app = Starlette(
        routes=[
            Route("/v1/scores/{identity}", scores),
            Route("/echo", echo, methods=["POST"]),
            Route("/stream", stream),
            Route("/stream-error", stream_error),
            Route("/boom", boom),
        ]
    )
    middleware = ASGIMiddleware(app, **options)
    return Adapter(
        lambda method, path, body, headers: call_asgi(middleware, method, path, body, headers),
        middleware.flush,
    )


def make_fastapi(options: dict[str, Any]) -> Adapter:
    from fastapi import FastAPI, Request
    from fastapi.responses import PlainTextResponse, StreamingResponse

    from apimetry.middleware.asgi import ASGIMiddleware

    app = FastAPI()

    @app.api_route("/v1/scores/{identity}", methods=["GET", "HEAD"])
    async def scores(identity: str) -> dict[str, int]:
        return {"score": 1}

    # FastAPI reads the annotations from the module, where these names are not.
    async def echo(request: Any) -> Any:
        return PlainTextResponse(str(len(await request.body())))

    echo.__annotations__ = {"request": Request}
    app.post("/echo", response_model=None)(echo)

    @app.get("/stream", response_model=None)
    async def stream() -> Any:
        return StreamingResponse(_chunks())

    @app.get("/stream-error", response_model=None)
    async def stream_error() -> Any:
        return StreamingResponse(_failing_chunks())

    @app.get("/boom")
    async def boom() -> None:
        raise HostError("before the headers")

    middleware = ASGIMiddleware(app, **options)
    return Adapter(
        lambda method, path, body, headers: call_asgi(middleware, method, path, body, headers),
        middleware.flush,
    )


# WSGI


def call_wsgi(app: Any, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "203.0.113.77",
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **{"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()},
    }
    started: list[int] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        started.append(int(status[:3]))
        return received.append

    received: list[bytes] = []
    error = None
    try:
        content = app(environ, start_response)
        try:
            received.extend(content)
        finally:
            if hasattr(content, "close"):
                content.close()
    except HostError as caught:
        error = caught
    if method == "HEAD":
        received.clear()
    return Answer(started[-1] if started else 500, b"".join(received), error)


def make_flask(options: dict[str, Any]) -> Adapter:
    from flask import Flask, Response, request

    from apimetry.middleware.wsgi import WSGIMiddleware

    app = Flask("contract")
    app.wsgi_app = WSGIMiddleware(app.wsgi_app, **options)  # type: ignore[method-assign]
    app.logger.disabled = True
    app.add_url_rule("/v1/scores/<identity>", view_func=_flask_scores)
    app.add_url_rule("/echo", "echo", lambda: str(len(request.get_data())), methods=["POST"])
    app.add_url_rule("/stream", "stream", lambda: Response(_chunks()))
    app.add_url_rule("/stream-error", "stream_error", lambda: Response(_failing_chunks()))
    app.add_url_rule("/boom", "boom", _boom)
    return Adapter(
        lambda method, path, body, headers: call_wsgi(app, method, path, body, headers),
        app.wsgi_app.flush,
    )


def _flask_scores(identity: str) -> dict[str, int]:
    return {"score": 1}


def _boom() -> str:
    raise HostError("before the headers")


# Django


def configure_django() -> None:
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF="tests.middleware.django_urls",
            SECRET_KEY="not a secret",
            LOGGING_CONFIG=None,
            MIDDLEWARE=["apimetry.middleware.django.DjangoMiddleware"],
        )
        django.setup()


def make_django(options: dict[str, Any]) -> Adapter:
    configure_django()
    from django.core.handlers.wsgi import WSGIHandler
    from django.test.utils import override_settings

    with override_settings(APIMETRY=options):
        handler = WSGIHandler()
    return Adapter(
        lambda method, path, body, headers: call_wsgi(handler, method, path, body, headers),
        _django_flush(handler),
    )


def make_django_async(options: dict[str, Any]) -> Adapter:
    configure_django()
    from django.core.handlers.asgi import ASGIHandler
    from django.test.utils import override_settings

    with override_settings(APIMETRY=options):
        handler = ASGIHandler()
    return Adapter(
        lambda method, path, body, headers: call_asgi(handler, method, path, body, headers),
        _django_flush(handler),
    )


def _django_flush(handler: Any) -> Callable[[float], bool]:
    """Find our middleware in the chain that Django has built of functions and instances."""
    from apimetry.middleware.django import DjangoMiddleware

    def find(item: Any, depth: int) -> DjangoMiddleware | None:
        if isinstance(item, DjangoMiddleware) or depth == 0:
            return item if isinstance(item, DjangoMiddleware) else None
        cells = [cell.cell_contents for cell in getattr(item, "__closure__", None) or ()]
        wrapped = [getattr(item, "__wrapped__", None), getattr(item, "awaitable", None)]
        for inner in [*cells, *wrapped]:
            if inner is not None and (found := find(inner, depth - 1)) is not None:
                return found
        return None

    middleware = find(handler._middleware_chain, 6)
    assert middleware is not None
    return middleware.flush


# aiohttp


def make_aiohttp(options: dict[str, Any]) -> Adapter:
    from aiohttp import web

    from apimetry.middleware.aiohttp import aiohttp_middleware

    async def scores(request: web.Request) -> web.Response:
        return web.json_response({"score": 1})

    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    async def stream(request: web.Request) -> web.StreamResponse:
        return await _send(request, _chunks())

    async def stream_error(request: web.Request) -> web.StreamResponse:
        return await _send(request, _failing_chunks())

    async def _send(request: web.Request, chunks: Iterator[bytes]) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
        return response

    async def boom(request: web.Request) -> web.Response:
        raise HostError("before the headers")

    middleware = aiohttp_middleware(**options)

    def call(method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        app = web.Application(middlewares=[middleware])
        app.router.add_get("/v1/scores/{identity}", scores)
        app.router.add_post("/echo", echo)
        app.router.add_get("/stream", stream)
        app.router.add_get("/stream-error", stream_error)
        app.router.add_get("/boom", boom)
        return asyncio.run(call_aiohttp(app, method, path, body, headers))

    return Adapter(call, middleware.flush)  # type: ignore[attr-defined]


async def call_aiohttp(app: Any, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
    from aiohttp import ClientError
    from aiohttp.test_utils import TestClient, TestServer

    async with TestClient(TestServer(app)) as client:
        async with client.request(method, path, data=body or None, headers=headers) as response:
            try:
                content = await response.read()
            except ClientError:
                content = b""
            return Answer(response.status, content)


ADAPTERS: dict[str, Callable[[dict[str, Any]], Adapter]] = {
    "starlette": make_starlette,
    "fastapi": make_fastapi,
    "flask": make_flask,
    "django": make_django,
    "django-async": make_django_async,
    "aiohttp": make_aiohttp,
}
