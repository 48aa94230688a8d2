"""One small application per adapter, and one way to call them all: what the contract suite is parametrised over.

Routes of each: `/v1/scores/{identity}` answers `{"score": 1}`, and echoes nothing; `/echo` reads the body and answers
its length; `/unread` answers a POST without reading its body; `/stream` sends three chunks of four bytes;
`/stream-error` sends one and raises; `/boom` raises.

What stands between us and the application is named: `refuse` answers 403 to a request with the header X-Refuse,
`copy` hands on a copy of the request, `again` is our middleware once more, `last-resort` is the application's own
handler of any exception, which answers 503 and `sorry`.
"""

from __future__ import annotations

import asyncio
import functools
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
    """A built application: `call` sends it a request, `flush` delivers its events.

    Beside method, path, body and headers `call` takes `prefix`, under which the application is mounted, and
    `chunked`, for a body of two chunks and no length.
    """

    call: Callable[..., Answer]
    flush: Callable[[float], bool]


def _chunks() -> Iterator[bytes]:
    yield b"one "
    yield b"two "
    yield b"three"[:4]


def _failing_chunks() -> Iterator[bytes]:
    yield b"one "
    raise HostError("in the stream")


# What stands between us and an application


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


def refuse_wsgi(app: Any) -> Any:
    def layer(environ: Any, start_response: Any) -> Any:
        if "HTTP_X_REFUSE" in environ:
            start_response("403 Forbidden", [("Content-Length", "2")])
            return [b"no"]
        return app(environ, start_response)

    return layer


def copy_wsgi(app: Any) -> Any:
    return lambda environ, start_response: app(dict(environ), start_response)


def around_wsgi(app: Any, between: tuple[str, ...], options: dict[str, Any]) -> Any:
    """Put the layers named and, outermost, our middleware around an application; returns our middleware."""
    from apimetry.middleware.wsgi import WSGIMiddleware

    def again(app: Any) -> Any:
        return WSGIMiddleware(app, **options)

    named = {"refuse": refuse_wsgi, "copy": copy_wsgi, "again": again}
    for name in between:
        app = named[name](app) if name in named else app
    return WSGIMiddleware(app, **options)


# ASGI


def call_asgi(
    app: Any,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    *,
    prefix: str = "",
    chunked: bool = False,
) -> Answer:
    path, _, query = path.partition("?")
    headers = {**headers, **({"Transfer-Encoding": "chunked"} if chunked else {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": prefix + path,
        "raw_path": (prefix + path).encode(),
        "root_path": prefix,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("203.0.113.77", 5000),
        "server": ("localhost", 80),
    }
    sent: list[dict[str, Any]] = []
    parts = [body[:2], body[2:]] if chunked else [body]
    requests = [{"type": "http.request", "body": part, "more_body": part is not parts[-1]} for part in parts][::-1]

    async def main() -> BaseException | None:
        ended = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if requests:
                return requests.pop()
            await ended.wait()  # as servers say it of a request that was answered
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                ended.set()

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
        return StreamingResponse(_chunks())

    async def stream_error(request: Any) -> Any:
        return StreamingResponse(_failing_chunks())

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
        return StreamingResponse(_chunks())

    @app.get("/stream-error", response_model=None)
    async def stream_error() -> Any:
        return StreamingResponse(_failing_chunks())

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


# WSGI


def call_wsgi(
    app: Any,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    *,
    prefix: str = "",
    chunked: bool = False,
) -> Answer:
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": prefix,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "203.0.113.77",
        **(
            {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
            if chunked
            else {"CONTENT_LENGTH": str(len(body)) if body else ""}
        ),
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


def make_flask(options: dict[str, Any], *between: str) -> Adapter:
    from flask import Flask, Response, request

    app = Flask("contract")
    app.wsgi_app = middleware = around_wsgi(app.wsgi_app, between, options)  # type: ignore[method-assign]
    app.logger.disabled = True
    app.add_url_rule("/v1/scores/<identity>", view_func=_flask_scores)
    app.add_url_rule("/echo", "echo", lambda: str(len(request.get_data())), methods=["POST"])
    app.add_url_rule("/unread", "unread", lambda: "", methods=["POST"])
    app.add_url_rule("/stream", "stream", lambda: Response(_chunks()))
    app.add_url_rule("/stream-error", "stream_error", lambda: Response(_failing_chunks()))
    app.add_url_rule("/boom", "boom", _boom)
    if "last-resort" in between:
        app.register_error_handler(500, lambda error: ("sorry", 503))
    return Adapter(functools.partial(call_wsgi, app), middleware.flush)


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


DJANGO_LAYERS = {
    "refuse": "tests.middleware.django_urls.refuse",
    "again": "apimetry.middleware.django.DjangoMiddleware",
}


def make_django(options: dict[str, Any], *between: str) -> Adapter:
    configure_django()
    from django.core.handlers.wsgi import WSGIHandler

    with django_settings(options, between):
        handler = WSGIHandler()
    return Adapter(_django_call(call_wsgi, handler, between), _django_flush(handler))


def make_django_async(options: dict[str, Any], *between: str) -> Adapter:
    configure_django()
    from django.core.handlers.asgi import ASGIHandler

    with django_settings(options, between):
        handler = ASGIHandler()
    return Adapter(_django_call(call_asgi, handler, between), _django_flush(handler))


def django_settings(options: dict[str, Any], between: tuple[str, ...]) -> Any:
    from django.test.utils import override_settings

    layers = [DJANGO_LAYERS[name] for name in reversed(between) if name in DJANGO_LAYERS]
    return override_settings(
        APIMETRY=options,
        MIDDLEWARE=["apimetry.middleware.django.DjangoMiddleware", *layers],
        ROOT_URLCONF="tests.middleware.django_last_resort"
        if "last-resort" in between
        else "tests.middleware.django_urls",
    )


def _django_call(call: Callable[..., Answer], handler: Any, between: tuple[str, ...]) -> Callable[..., Answer]:
    def settled(*arguments: Any, **how: Any) -> Answer:
        with django_settings({}, between):  # its resolver reads them at each request
            return call(handler, *arguments, **how)

    return settled


def _django_flush(handler: Any) -> Callable[[float], bool]:
    """Find our middleware in the chain that Django has built of functions and instances."""
    from apimetry.middleware.django import DjangoMiddleware

    def find(item: Any, depth: int) -> DjangoMiddleware | None:
        if isinstance(item, DjangoMiddleware) or depth == 0:
            return item if isinstance(item, DjangoMiddleware) else None
        cells = [cell.cell_contents for cell in getattr(item, "__closure__", None) or ()]
        wrapped = [getattr(item, "__wrapped__", None), getattr(item, "awaitable", None)]
        for inner in [*cells, *wrapped]:
            if inner is not None and (middleware := find(inner, depth - 1)) is not None:
                return middleware
        return None

    middleware = find(handler._middleware_chain, 6)
    assert middleware is not None
    return middleware.flush


# aiohttp


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


async def call_aiohttp(app: Any, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
    from aiohttp import ClientError
    from aiohttp.test_utils import TestClient, TestServer

    async with TestClient(TestServer(app)) as client:
        async with client.request(method, path, data=body or None, headers=headers) as response:
            try:
                content = await response.read()
            except ClientError:
                content = b""
            return Answer(response.status, content)


ADAPTERS: dict[str, Callable[..., Adapter]] = {
    "starlette": make_starlette,
    "starlette-inside": make_starlette_inside,
    "fastapi": make_fastapi,
    "fastapi-inside": make_fastapi_inside,
    "flask": make_flask,
    "django": make_django,
    "django-async": make_django_async,
    "aiohttp": make_aiohttp,
}
