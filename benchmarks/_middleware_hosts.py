"""Applications of each framework, called in the process, for the middleware's benchmarks.

Every application answers `GET /v1/scores/17` with `{"score": 17}`. A call takes nanoseconds of the application alone:
what makes the scope or the environ stays outside the clock.
"""

# ruff: noqa: PLC0415, ANN001, ANN202, N815 - frameworks are imported where they are used; a script
from __future__ import annotations

import asyncio
import http.server
import io
import multiprocessing
import sys
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

FRAMEWORKS = ("starlette", "fastapi", "flask", "django")
WRITE_KEY = "apimetry_w_" + "k" * 37
HEADERS = {
    "host": "localhost",
    "user-agent": "bench",
    "accept": "*/*",
    "accept-encoding": "gzip",
    "connection": "keep-alive",
    "x-api-key": "consumer-17",
}
_ASGI_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_WSGI_HEADERS = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in HEADERS.items()}


def make_starlette():
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def scores(request):
        return JSONResponse({"score": int(request.path_params["identity"])})

    return Starlette(routes=[Route("/v1/scores/{identity}", scores)])


def make_fastapi():
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/v1/scores/{identity}")
    async def scores(identity: int) -> dict[str, int]:
        return {"score": identity}

    return app


def make_flask():
    from flask import Flask

    app = Flask("bench")

    @app.get("/v1/scores/<int:identity>")
    def scores(identity: int) -> dict[str, int]:
        return {"score": identity}

    return app


def make_django(middleware: tuple[str, ...] = (), settings: dict[str, object] | None = None):
    import django
    from django.conf import settings as django_settings
    from django.core.handlers.wsgi import WSGIHandler

    if not django_settings.configured:
        from django.http import JsonResponse

        def scores(_request, identity):
            return JsonResponse({"score": identity})

        urls: Any = type(sys)("bench_urls")
        sys.modules["bench_urls"] = urls
        django_settings.configure(
            ROOT_URLCONF="bench_urls", ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None, **settings or {}
        )
        django.setup()
        from django.urls import path

        urls.urlpatterns = [path("v1/scores/<int:identity>", scores)]
    django_settings.MIDDLEWARE = list(middleware)
    return WSGIHandler()


MAKE: dict[str, Callable[[], Any]] = {
    "starlette": make_starlette,
    "fastapi": make_fastapi,
    "flask": make_flask,
    "django": make_django,
}


async def _receive() -> dict[str, object]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(_message: object) -> None:
    return None


async def call_asgi(app, path: str = "/v1/scores/17") -> int:
    """Send one request to an ASGI application; nanoseconds."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": _ASGI_HEADERS,
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
    start = perf_counter_ns()
    await app(scope, _receive, _send)
    return perf_counter_ns() - start


def _start_response(_status: str, _headers: object, _exc_info: object = None) -> Callable[[bytes], object]:
    return _write


def _write(_data: bytes) -> None:
    return None


def call_wsgi(app) -> int:
    """Send one request to a WSGI application and read its body; nanoseconds."""
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/v1/scores/17",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
        **_WSGI_HEADERS,
    }
    start = perf_counter_ns()
    body = app(environ, _start_response)
    for _chunk in body:
        pass
    if hasattr(body, "close"):
        body.close()
    return perf_counter_ns() - start


def alternate(framework: str, applications: list[Any], times: int) -> list[list[int]]:
    """Call the applications in turn, each `times` times; nanoseconds of each.

    The order turns round too: the second of a pair finds warmer caches.
    """
    figures: list[list[int]] = [[] for _ in applications]
    pairs = list(zip(applications, figures, strict=True))

    async def drive() -> None:
        for index in range(times):
            for app, durations in pairs if index % 2 else pairs[::-1]:
                durations.append(await call_asgi(app))

    if framework in ("starlette", "fastapi"):
        asyncio.run(drive())
    else:
        for index in range(times):
            for app, durations in pairs if index % 2 else pairs[::-1]:
                durations.append(call_wsgi(app))
    return figures


class _Accepting(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = b'{"accepted": 1, "rejected": 0}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.wfile.flush()

    do_PUT = do_GET = do_POST

    def log_message(self, *_values: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that is gone: its measurement has ended."""


def _serve(pipe) -> None:
    server = _Server(("127.0.0.1", 0), _Accepting)
    pipe.send(server.server_port)
    server.serve_forever()


def start_collector() -> str:
    """Start a server in another process that answers 200 to whatever it gets; its URL. It ends with this process."""
    context = multiprocessing.get_context("spawn")
    parent_end, child_end = context.Pipe()
    context.Process(target=_serve, args=(child_end,), daemon=True).start()
    return f"http://127.0.0.1:{parent_end.recv()}"
