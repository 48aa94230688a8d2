"""What the middleware adds to a request, in the process: median microseconds, paired with the bare application.

Route, function, sizes and a consumer (from a header) are captured; the collector is a socket server that answers 200
in another process. Bare and recorded requests are interleaved, so that the machine's noise falls on both alike.

    python benchmarks/middleware_overhead.py [requests]
"""

# ruff: noqa: PLC0415, D101, D102  # a framework is imported where it is measured; a script
from __future__ import annotations

import asyncio
import gc
import http.server
import io
import multiprocessing
import os
import statistics
import sys
from time import perf_counter_ns

KEY = "apimetry_w_" + "k" * 37
HEADERS = [
    (b"host", b"localhost"),
    (b"user-agent", b"bench"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip"),
    (b"connection", b"keep-alive"),
    (b"x-api-key", b"consumer-17"),
]
OPTIONS = {"write_key": KEY, "consumer": "X-API-Key"}


class Accepting(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:  # http.server's name
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = b'{"accepted": 1, "rejected": 0}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_values: object) -> None:
        pass


def collect(pipe) -> None:  # noqa: ANN001  # a multiprocessing connection
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Accepting)
    pipe.send(server.server_port)
    server.serve_forever()


def starlette_app():  # noqa: ANN201  # a framework's application
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def scores(_request):  # noqa: ANN001, ANN202
        return JSONResponse({"score": 1})

    return Starlette(routes=[Route("/v1/scores/{identity}", scores)])


def fastapi_app():  # noqa: ANN201  # a framework's application
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/v1/scores/{identity}")
    async def scores(identity: int) -> dict[str, int]:
        return {"score": identity}

    return app


def flask_app():  # noqa: ANN201  # a framework's application
    from flask import Flask

    app = Flask("bench")

    @app.get("/v1/scores/<int:identity>")
    def scores(identity: int) -> dict[str, int]:
        return {"score": identity}

    return app


def django_app(middleware: list[str]):  # noqa: ANN201  # a framework's application
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler

    settings.MIDDLEWARE = middleware
    return WSGIHandler()


def configure_django() -> None:
    import django
    from django.conf import settings
    from django.http import JsonResponse
    from django.urls import path

    def scores(_request, identity):  # noqa: ANN001, ANN202
        return JsonResponse({"score": identity})

    urls = type(sys)("bench_urls")
    urls.urlpatterns = [path("v1/scores/<int:identity>", scores)]
    sys.modules["bench_urls"] = urls
    settings.configure(ROOT_URLCONF="bench_urls", ALLOWED_HOSTS=["*"], APIMETRY=OPTIONS, LOGGING_CONFIG=None)
    django.setup()


def asgi_call(app, loop):  # noqa: ANN001, ANN201
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: object) -> None:
        return None

    async def once() -> int:
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/v1/scores/17",
            "root_path": "",
            "query_string": b"",
            "headers": HEADERS,
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
            "scheme": "http",
            "http_version": "1.1",
        }
        start = perf_counter_ns()
        await app(scope, receive, send)
        return perf_counter_ns() - start

    return lambda: loop.run_until_complete(once())


def wsgi_call(app):  # noqa: ANN001, ANN201
    def start_response(_status: str, _headers: object, _exc_info: object = None) -> None:
        return None

    def once() -> int:
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/v1/scores/17",
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "localhost",
            "HTTP_X_API_KEY": "consumer-17",
            "wsgi.input": io.BytesIO(),
            "wsgi.url_scheme": "http",
        }
        start = perf_counter_ns()
        body = app(environ, start_response)
        for _chunk in body:
            pass
        if hasattr(body, "close"):
            body.close()
        return perf_counter_ns() - start

    return once


def measure(name: str, bare, recorded, requests: int) -> None:  # noqa: ANN001
    for _ in range(300):
        bare()
        recorded()
    gc.collect()
    bare_ns, recorded_ns = [], []
    for index in range(requests):
        # The order alternates too: the second of a pair finds warmer caches.
        pair = ((bare, bare_ns), (recorded, recorded_ns))
        for call, times in pair if index % 2 else reversed(pair):
            times.append(call())
    base, with_us = statistics.median(bare_ns) / 1000, statistics.median(recorded_ns) / 1000
    print(f"{name:<10} bare {base:8.1f} µs   recorded {with_us:8.1f} µs   added {with_us - base:6.1f} µs")


def main() -> None:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=collect, args=(theirs,), daemon=True)
    process.start()
    os.environ["APIMETRY_COLLECTOR_URL"] = f"http://127.0.0.1:{ours.recv()}"

    from apimetry.middleware.asgi import ASGIMiddleware
    from apimetry.middleware.wsgi import WSGIMiddleware

    loop = asyncio.new_event_loop()
    for name, make in (("Starlette", starlette_app), ("FastAPI", fastapi_app)):
        recorded = asgi_call(ASGIMiddleware(make(), **OPTIONS), loop)
        measure(name, asgi_call(make(), loop), recorded, requests)
    flask = flask_app()
    flask.wsgi_app = WSGIMiddleware(flask.wsgi_app, **OPTIONS)
    measure("Flask", wsgi_call(flask_app()), wsgi_call(flask), requests)
    configure_django()
    bare = wsgi_call(django_app([]))
    recorded = wsgi_call(django_app(["apimetry.middleware.django.DjangoMiddleware"]))
    measure("Django", bare, recorded, requests)
    loop.close()
    # A daemon: it ends with us, after our exit has flushed.


if __name__ == "__main__":
    main()
