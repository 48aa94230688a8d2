"""Routers are searched for while there may be some to find, and no longer."""

from __future__ import annotations

from flask import Flask

from apimetry.middleware.asgi import ASGIMiddleware
from apimetry.middleware.routers import _MAX_SEARCHES, RouterSearch
from apimetry.middleware.wsgi import WSGIMiddleware


class PlainApplication:
    """An application without a router, which counts the searches for one."""

    def __init__(self):
        self.searches = 0

    @property
    def url_map(self):
        self.searches += 1
        raise AttributeError("url_map")

    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return [b"a"]


class PlainAsyncApplication(PlainApplication):
    async def __call__(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a"})


class Wrapper:
    """A wrapper that gets its application late."""

    app = None

    def __call__(self, environ, start_response):
        return self.app(environ, start_response)


def call_wsgi(middleware):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/a", "SCRIPT_NAME": ""}
    list(middleware(environ, lambda status, headers, exc_info=None: None))


def call_asgi(middleware):
    async def send(message):
        pass

    scope = {"type": "http", "method": "GET", "path": "/a", "headers": []}
    call = middleware(scope, None, send)
    try:
        call.send(None)
    except StopIteration:
        return
    raise AssertionError("the application waits")


def test_application_without_routers_is_searched_a_bounded_number_of_times(fake_collector):
    for middleware_type, app, call in (
        (WSGIMiddleware, PlainApplication(), call_wsgi),
        (ASGIMiddleware, PlainAsyncApplication(), call_asgi),
    ):
        middleware = middleware_type(app, **fake_collector.options)
        for _ in range(_MAX_SEARCHES):
            call(middleware)
        searches = app.searches
        assert searches >= _MAX_SEARCHES
        for _ in range(100):
            call(middleware)
        assert app.searches == searches


def test_router_of_an_application_that_comes_late_is_found():
    wrapper, search = Wrapper(), RouterSearch()
    assert search.find(wrapper) == ()
    wrapper.app = Flask("late")
    assert search.find(wrapper) == (("", wrapper.app),)
