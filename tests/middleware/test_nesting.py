"""Several of our middlewares on one request, of several kinds: the outermost records it, with what the others saw."""

from __future__ import annotations

import io
import warnings

import pytest

from apimetry.middleware.asgi import ASGIMiddleware
from apimetry.middleware.wsgi import WSGIMiddleware
from tests.middleware.calling import call_asgi, call_wsgi
from tests.middleware.django_adapters import configure_django, django_settings
from tests.middleware.wsgi_adapters import _boom, _flask_scores


def make_django(kind):
    configure_django()
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler

    with django_settings({}, ()):
        return (ASGIHandler if kind == "asgi" else WSGIHandler)()


def seen(events):
    return [(e.route, e.function.rpartition(".")[2], e.status_code, e.error_type) for e in events]


EXPECTED = [
    ("/v1/scores/{identity}", "scores", 200, ""),
    ("/boom", "boom", 500, "HostError"),
    ("(unmatched)", "", 404, ""),
]
PATHS = ("/v1/scores/17", "/boom", "/missing")


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_django_with_its_middleware_inside_a_generic_one(kind, apimetry):
    handler = make_django(kind)
    outer, call = (ASGIMiddleware, call_asgi) if kind == "asgi" else (WSGIMiddleware, call_wsgi)
    for path in PATHS:
        call(outer(handler), "GET", path, b"", {})
    assert seen(apimetry) == EXPECTED


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_django_without_its_middleware_inside_a_generic_one(kind, apimetry):
    from django.test.utils import override_settings

    configure_django()
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler

    with override_settings(MIDDLEWARE=[]):
        handler = (ASGIHandler if kind == "asgi" else WSGIHandler)()
    outer, call = (ASGIMiddleware, call_asgi) if kind == "asgi" else (WSGIMiddleware, call_wsgi)
    for path in PATHS:
        call(outer(handler), "GET", path, b"", {})
    assert seen(apimetry) == EXPECTED


def make_flask():
    from flask import Flask

    app = Flask("inner")
    app.logger.disabled = True
    app.add_url_rule("/v1/scores/<identity>", view_func=_flask_scores)
    app.add_url_rule("/boom", "boom", _boom)
    app.wsgi_app = WSGIMiddleware(app.wsgi_app)
    return app


def mount_by_starlette(app):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from starlette.middleware.wsgi import WSGIMiddleware as Bridge

        return Bridge(app)


def mount_by_asgiref(app):
    from asgiref.wsgi import WsgiToAsgi

    return WsgiToAsgi(app)


@pytest.mark.parametrize("mount", [mount_by_starlette, mount_by_asgiref])
def test_flask_with_its_middleware_mounted_in_starlette(mount, apimetry):
    from starlette.applications import Starlette
    from starlette.routing import Mount

    app = ASGIMiddleware(Starlette(routes=[Mount("/inner", app=mount(make_flask()))]))
    for path in PATHS:
        call_asgi(app, "GET", "/inner" + path, b"", {})
    assert [(e.url, e.route, e.status_code) for e in apimetry] == [
        ("/inner/v1/scores/17", "/inner/v1/scores/{identity}", 200),
        ("/inner/boom", "/inner/boom", 500),
        ("/inner/missing", "(unmatched)", 404),
    ]


def test_request_that_a_view_makes_to_an_application_in_its_process_is_one_of_its_own(apimetry):
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    inner = make_flask()

    async def view(request):
        call_wsgi(inner, "GET", "/v1/scores/17", b"", {})
        return PlainTextResponse("")

    call_asgi(ASGIMiddleware(Starlette(routes=[Route("/view", view)])), "GET", "/view", b"", {})
    assert [e.route for e in apimetry] == ["/v1/scores/{identity}", "/view"]


def test_mounted_application_with_a_middleware_of_its_own_is_recorded_once(apimetry):
    from fastapi import FastAPI

    inner, outer = FastAPI(), FastAPI()
    inner.add_middleware(ASGIMiddleware)
    outer.add_middleware(ASGIMiddleware)
    inner.get("/v1/{identity}")(lambda identity: {})
    outer.mount("/inner", inner)
    call_asgi(outer, "GET", "/inner/v1/17", b"", {})
    assert [e.route for e in apimetry] == ["/inner/v1/{identity}"]


def test_inner_middleware_records_what_the_outer_leaves_out(apimetry):
    inner = WSGIMiddleware(lambda environ, start_response: (start_response("200 OK", []), [b"x"])[1], exclude=[])
    call_wsgi(WSGIMiddleware(inner, exclude=["/a"]), "GET", "/a", b"", {})
    assert [e.url for e in apimetry] == ["/a"]


@pytest.mark.parametrize("call", [call_asgi, call_wsgi])
def test_request_whose_scope_or_environ_is_used_again_is_recorded_again(call, apimetry):
    scopes = []

    async def asgi_app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def wsgi_app(environ, start_response):
        start_response("200 OK", [])
        return [b""]

    middleware = ASGIMiddleware(asgi_app) if call is call_asgi else WSGIMiddleware(wsgi_app)

    async def keeping_asgi(scope, receive, send):
        scopes.append(scope)
        await middleware(scopes[0], receive, send)

    def keeping_wsgi(environ, start_response):
        scopes.append(environ)
        return middleware(scopes[0], start_response)

    for _ in range(2):
        call(keeping_asgi if call is call_asgi else keeping_wsgi, "GET", "/a", b"", {})
    assert len(apimetry) == 2


# Wrappers between us and an application


def proxied(app):
    from werkzeug.middleware.proxy_fix import ProxyFix

    return ProxyFix(app, x_prefix=1)


def dispatched(app):
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    return DispatcherMiddleware(lambda environ, start_response: None, {"/api": app})


def buffered(app):
    """A layer that gives its answer when the application has ended, and its context with it."""
    from werkzeug.wrappers import Response

    return lambda environ, start_response: Response.from_app(app, dict(environ), buffered=True)(
        environ, start_response
    )


def profiled(app):
    return type("Profiler", (), {"__init__": lambda self: vars(self).update(inner=app), "__call__": _call_inner})()


def _call_inner(self, environ, start_response):
    return self.inner(environ, start_response)


@pytest.mark.parametrize("wrap", [proxied, dispatched, buffered, profiled])
def test_route_and_class_of_the_exception_are_known_behind_a_wrapper_of_flask(wrap, apimetry):
    from flask import Flask

    app = Flask("wrapped")
    app.logger.disabled = True
    app.add_url_rule("/v1/scores/<identity>", view_func=_flask_scores)
    app.add_url_rule("/boom", "boom", _boom)
    app.wsgi_app = WSGIMiddleware(wrap(app.wsgi_app))
    prefix = "/api" if wrap is dispatched else ""
    for path in PATHS:
        call_wsgi(app, "GET", prefix + path, b"", {})
    assert [(e.route, e.status_code, e.error_type) for e in apimetry] == [
        (f"{prefix}/v1/scores/{{identity}}", 200, ""),
        (f"{prefix}/boom", 500, "HostError"),
        ("(unmatched)", 404, ""),
    ]


def test_body_is_read_through_the_counter_in_every_way_a_stream_can_be(apimetry):
    def app(environ, start_response):
        stream = environ["wsgi.input"]
        read = [stream.read(2), stream.readline(), next(iter(stream)), *stream.readlines()]
        buffer = bytearray(4)
        environ["wsgi.input"].readinto(buffer)
        start_response("200 OK", [])
        return [b"".join(read)]

    body = b"ab\ncd\nef\ngh\n"
    answer = call_wsgi(WSGIMiddleware(app), "POST", "/a", body, {}, chunked=True)
    assert (answer.body, [e.request_bytes for e in apimetry]) == (body, [len(body)])


def test_chunked_body_of_nothing_has_no_bytes_where_the_server_tells_its_end(apimetry):
    def app(environ, start_response):
        environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [b""]

    for terminated in (True, False):
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/a",
            "HTTP_TRANSFER_ENCODING": "chunked",
            "wsgi.input": io.BytesIO(),
            "wsgi.input_terminated": terminated,
        }
        list(WSGIMiddleware(app)(environ, lambda *arguments: None))
    assert [e.request_bytes for e in apimetry] == [0, None]
