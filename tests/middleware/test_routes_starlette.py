"""Routes and functions of Starlette and FastAPI, at any depth."""

from __future__ import annotations

import pytest

from tests.middleware.asgi_adapters import refuse_asgi
from tests.middleware.calling import call_asgi
from tests.support.services.fake_collector import FakeCollector
from tests.support.services.keys import WRITE_KEY


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/in/v1/scores/3", "/api/in/v1/scores/{identity}"),
        ("/b/v1/scores/3", "/b/v1/scores/{identity}"),
        ("/files/a/b", "/files/{name}"),
        ("/t/acme/x/1", "/t/{tenant}/x/{y}"),
        ("/openapi.json", "/openapi.json"),
        ("/nope", "(unmatched)"),
        ("/t/acme/nope", "(unmatched)"),
    ],
)
@pytest.mark.parametrize("is_refused", [False, True], ids=["answered", "refused by a layer within"])
def test_included_and_mounted_routes_of_fastapi(path, route, is_refused, fake_collector):
    from fastapi import APIRouter, FastAPI

    from apimetry.middleware.asgi import ASGIMiddleware

    app, inner, outer, mounted = FastAPI(), APIRouter(prefix="/v1"), APIRouter(), FastAPI()
    inner.get("/scores/{identity}")(lambda identity: {})
    outer.include_router(inner, prefix="/in")
    app.include_router(outer, prefix="/api")
    app.include_router(inner, prefix="/b")
    app.get("/files/{name:path}")(lambda name: {})
    mounted.get("/x/{y}")(lambda y: {})
    app.mount("/t/{tenant}", mounted)
    middleware = ASGIMiddleware(refuse_asgi(app), **fake_collector.options)
    call_asgi(middleware, "GET", path, b"", {"X-Refuse": "1"} if is_refused else {})
    assert middleware.flush(10)
    assert [e["route"] for e in fake_collector.events] == [route]


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/a/1", "/a/{x}"),
        ("/b/1", "/b/{x}"),
        ("/m/n/7", "/m/n/{x}"),
        ("/s/routes.txt", "/s/{path}"),
        ("/nope", "(unmatched)"),
    ],
)
def test_routes_that_share_an_endpoint_in_starlette(path, route, fake_collector, tmp_path):
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    from apimetry.middleware.asgi import ASGIMiddleware

    async def endpoint(request):
        return PlainTextResponse("")

    app = Starlette(
        routes=[
            Route("/a/{x:int}", endpoint),
            Route("/b/{x}", endpoint),
            Mount("/m", routes=[Mount("/n", routes=[Route("/{x}", endpoint)])]),
            Mount("/s", StaticFiles(directory=tmp_path)),
        ]
    )
    middleware = ASGIMiddleware(app, **fake_collector.options)
    call_asgi(middleware, "GET", path, b"", {})
    assert middleware.flush(10)
    assert [e["route"] for e in fake_collector.events] == [route]


def make_deep_starlette():
    from starlette.applications import Starlette
    from starlette.endpoints import HTTPEndpoint
    from starlette.responses import PlainTextResponse
    from starlette.routing import Host, Mount, Route, Router

    async def show(request):
        return PlainTextResponse("")

    async def raw(scope, receive, send):
        await PlainTextResponse("")(scope, receive, send)

    class Score(HTTPEndpoint):
        async def get(self, request):
            return PlainTextResponse("")

    inner = Starlette(routes=[Route("/x/{y}", show), Route("/", show)])

    async def behind_a_middleware(scope, receive, send):
        await inner(scope, receive, send)

    return Starlette(
        routes=[
            Route("/class", Score),
            Route("/slash/", show),
            Mount("/a", routes=[Mount("/{b}", app=inner)]),
            Mount("/hidden/{tenant}", app=behind_a_middleware),
            Mount("/raw", app=raw),
            Mount("/once", app=inner),
            Host("example.org", app=Router([Route("/of-host/{z}", show)])),
        ]
    )


STARLETTE_ROUTES = [
    ("GET", "/class", "/class", "Score.get"),
    ("HEAD", "/class", "/class", "Score.get"),
    ("POST", "/class", "/class", "Score"),
    ("GET", "/slash", "(unmatched)", ""),
    ("GET", "/slash/", "/slash/", "show"),
    ("GET", "/a/q/x/1", "/a/{b}/x/{y}", "show"),
    ("GET", "/a/x/x/x", "/a/{b}/x/{y}", "show"),
    ("GET", "/a/q/", "/a/{b}/", "show"),
    ("GET", "/a/q/nope", "(unmatched)", ""),
    ("GET", "/hidden/acme/x/2", "/hidden/{tenant}/x/{y}", "show"),
    ("GET", "/raw/any/thing", "/raw/{path}", "raw"),
    ("GET", "/once/x/once", "/once/x/{y}", "show"),
    ("DELETE", "/once/x/1", "/once/x/{y}", "show"),
]


@pytest.mark.parametrize("prefix", ["", "/api"], ids=["outermost", "mounted"])
@pytest.mark.parametrize("root_path", ["", "/proxy"], ids=["at-the-root", "behind-a-proxy"])
@pytest.mark.parametrize("is_refused", [False, True], ids=["answered", "refused by a layer within"])
@pytest.mark.parametrize(("method", "path", "route", "function"), STARLETTE_ROUTES)
def test_mounts_at_any_depth_and_root_path_of_starlette(method, path, route, function, prefix, root_path, is_refused):
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from apimetry.middleware.asgi import ASGIMiddleware

    app = make_deep_starlette()
    if prefix:
        app = Starlette(routes=[Mount(prefix, app=app)])
    with FakeCollector() as collector:
        middleware = ASGIMiddleware(refuse_asgi(app), collector_url=collector.url, write_key=WRITE_KEY)

        scopes = []

        async def behind_proxy(scope, receive, send):
            scope["root_path"], scope["path"] = root_path, root_path + scope["path"]
            scopes.append(scope)
            await middleware(scope, receive, send)

        for _ in range(2):  # the second is answered from memory
            call_asgi(behind_proxy, method, prefix + path, b"", {"X-Refuse": "1"} if is_refused else {})
        assert middleware.flush(10)
        recorded = [(e["route"], e["function"].rpartition("<locals>.")[2]) for e in collector.events]
    if path.startswith("/hidden") and "route" not in scopes[0] and not is_refused:
        route = "/hidden/{tenant}/{path}"  # before 1.0 Starlette did not tell which route it took
    assert recorded == [(route if route == "(unmatched)" else prefix + route, function)] * 2


def test_two_paths_of_one_mounted_application_keep_their_own_routes(fake_collector):
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    from apimetry.middleware.asgi import ASGIMiddleware

    async def show(request):
        return PlainTextResponse("")

    inner = Starlette(routes=[Route("/{y}", show), Route("/also/{y}", show)])
    middleware = ASGIMiddleware(
        Starlette(routes=[Mount("/one", app=inner), Mount("/two/{t}", app=inner)]), **fake_collector.options
    )
    paths = ["/one/1", "/two/a/1", "/one/also/1", "/two/b/2", "/one/2"]
    for path in paths:
        call_asgi(middleware, "GET", path, b"", {})
    assert middleware.flush(10)
    routes = ["/one/{y}", "/two/{t}/{y}", "/one/also/{y}", "/two/{t}/{y}", "/one/{y}"]
    assert [e["route"] for e in fake_collector.events] == routes


def test_names_that_a_client_makes_long_are_not_kept(fake_collector):
    from starlette.applications import Starlette
    from starlette.endpoints import HTTPEndpoint
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    from apimetry.middleware.asgi import ASGIMiddleware

    class Score(HTTPEndpoint):
        async def get(self, request):
            return PlainTextResponse("")

    inner = Starlette(routes=[Route("/x", Score)])
    middleware = ASGIMiddleware(Starlette(routes=[Mount("/{tenant}", app=inner)]), **fake_collector.options)
    for number in range(50):
        call_asgi(middleware, "GET", f"/{number}{'a' * 2000}/x", b"", {})
        call_asgi(middleware, f"M{number}{'A' * 2000}", "/short/x", b"", {})
    assert sum(map(_measure_text, middleware.names.entries)) < 10_000


def _measure_text(key):
    return len(key) if isinstance(key, str) else sum(map(_measure_text, key)) if isinstance(key, tuple) else 0
