"""The contract suite's application in the frameworks that the generic adapters serve; as `adapters` describes it.

Without postponed annotations: Litestar evaluates them in the module, where what a function imports is not.
"""

import functools
import io
from typing import Any

import pytest

from tests.middleware.asgi_adapters import around_asgi
from tests.middleware.calling import Adapter, HostError, call_wsgi, chunks, failing_chunks
from tests.middleware.wsgi_adapters import around_wsgi


async def _async_chunks(chunks: Any) -> Any:
    for chunk in chunks():
        yield chunk


def make_quart(options: dict[str, Any], *between: str) -> Adapter:
    pytest.importorskip("quart")
    from quart import Quart, Response, request

    app = Quart("contract")
    app.logger.disabled = True

    @app.get("/v1/scores/<identity>")
    async def scores(identity):
        return {"score": 1}

    @app.post("/echo")
    async def echo():
        return str(len(await request.get_data()))

    @app.post("/unread")
    async def unread():
        return ""

    @app.get("/stream")
    async def stream():
        return Response(_async_chunks(chunks))

    @app.get("/stream-error")
    async def stream_error():
        return Response(_async_chunks(failing_chunks))

    @app.get("/boom")
    async def boom():
        raise HostError("before the headers")

    if "last-resort" in between:
        app.register_error_handler(500, _sorry)
    return around_asgi(app, between, options)


async def _sorry(error):
    return "sorry", 503


def make_litestar(options: dict[str, Any], *between: str) -> Adapter:
    pytest.importorskip("litestar")
    from litestar import Litestar, Request, Response, get, post, route
    from litestar.params import FromPath
    from litestar.response import Stream

    @route("/v1/scores/{identity:str}", http_method=["GET", "HEAD"], status_code=200)
    async def scores(identity: FromPath[str]) -> dict[str, int]:
        return {"score": 1}

    @post("/echo", media_type="text/plain")
    async def echo(request: Request) -> str:
        return str(len(await request.body()))

    @post("/unread", media_type="text/plain")
    async def unread() -> str:
        return ""

    @get("/stream")
    async def stream() -> Stream:
        return Stream(_async_chunks(chunks))

    @get("/stream-error")
    async def stream_error() -> Stream:
        return Stream(_async_chunks(failing_chunks))

    @get("/boom")
    async def boom() -> None:
        raise HostError("before the headers")

    def last_resort(request: Request, error: Exception) -> Response:
        return Response("sorry", status_code=503, media_type="text/plain")

    app = Litestar(
        [scores, echo, unread, stream, stream_error, boom],
        exception_handlers={Exception: last_resort} if "last-resort" in between else {},
        openapi_config=None,
        logging_config=None,
    )
    return around_asgi(app, between, options)


def _falcon_routes(app: Any, resources: list[Any]) -> None:
    for path, resource in zip(
        ("/v1/scores/{identity}", "/echo", "/unread", "/stream", "/stream-error", "/boom"), resources, strict=True
    ):
        app.add_route(path, resource)


def make_falcon(options: dict[str, Any], *between: str) -> Adapter:
    falcon = pytest.importorskip("falcon")

    class Scores:
        def on_get(self, request, response, identity):
            response.media = {"score": 1}

        on_head = on_get

    class Echo:
        def on_post(self, request, response):
            response.text = str(len(request.stream.read()))

    class Unread:
        def on_post(self, request, response):
            response.text = ""

    class Stream:
        def on_get(self, request, response):
            response.stream = chunks()

    class StreamError:
        def on_get(self, request, response):
            response.stream = failing_chunks()

    class Boom:
        def on_get(self, request, response):
            raise HostError("before the headers")

    def last_resort(request, response, error, params):
        response.status, response.text = 503, "sorry"

    app = falcon.App()
    _falcon_routes(app, [Scores(), Echo(), Unread(), Stream(), StreamError(), Boom()])
    if "last-resort" in between:
        app.add_error_handler(Exception, last_resort)
    middleware = around_wsgi(app, between, options)
    return Adapter(functools.partial(_quiet_wsgi, middleware), middleware.flush)


def make_falcon_asgi(options: dict[str, Any], *between: str) -> Adapter:
    pytest.importorskip("falcon")
    import falcon.asgi

    class Scores:
        async def on_get(self, request, response, identity):
            response.media = {"score": 1}

        on_head = on_get

    class Echo:
        async def on_post(self, request, response):
            response.text = str(len(await request.stream.read()))

    class Unread:
        async def on_post(self, request, response):
            response.text = ""

    class Stream:
        async def on_get(self, request, response):
            response.stream = _async_chunks(chunks)

    class StreamError:
        async def on_get(self, request, response):
            response.stream = _async_chunks(failing_chunks)

    class Boom:
        async def on_get(self, request, response):
            raise HostError("before the headers")

    async def last_resort(request, response, error, params):
        response.status, response.text = 503, "sorry"

    app = falcon.asgi.App()
    _falcon_routes(app, [Scores(), Echo(), Unread(), Stream(), StreamError(), Boom()])
    if "last-resort" in between:
        app.add_error_handler(Exception, last_resort)
    return around_asgi(app, between, options)


def make_bottle(options: dict[str, Any], *between: str) -> Adapter:
    bottle = pytest.importorskip("bottle")
    app = bottle.Bottle()

    def scores(identity):
        return {"score": 1}

    def boom():
        raise HostError("before the headers")

    app.get("/v1/scores/<identity>")(scores)
    app.post("/echo")(lambda: str(len(bottle.request.body.read())))
    app.post("/unread")(lambda: "")
    app.get("/stream")(chunks)
    app.get("/stream-error")(failing_chunks)
    app.get("/boom")(boom)
    if "last-resort" in between:

        @app.error(500)
        def sorry(error):
            bottle.response.status = 503
            return "sorry"

    middleware = around_wsgi(app, between, options)
    return Adapter(functools.partial(_quiet_wsgi, middleware), middleware.flush)


def _quiet_wsgi(app: Any, *arguments: Any, **how: Any) -> Any:
    def quiet(environ, start_response):
        environ["wsgi.errors"] = io.StringIO()
        return app(environ, start_response)

    return call_wsgi(quiet, *arguments, **how)


MORE_ADAPTERS = {
    "quart": make_quart,
    "litestar": make_litestar,
    "falcon": make_falcon,
    "falcon-asgi": make_falcon_asgi,
    "bottle": make_bottle,
}
