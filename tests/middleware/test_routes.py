from __future__ import annotations

import asyncio

import pytest

from tests.middleware.adapters import call_asgi, call_wsgi, configure_django, refuse_asgi
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


@pytest.fixture
def everything(fake_collector):
    return {**fake_collector.options, "exclude": []}


@pytest.fixture
def names_of(fake_collector):
    """Send one request to an application and return the route and the function of its event."""

    def read(middleware, call, method, path, app=None):
        call(app or middleware, method, path, b"", {})
        assert middleware.flush(10)
        (event,) = fake_collector.events
        return event["route"], event["function"].removeprefix(f"{__name__}.")

    return read


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


def make_nested_flask():
    from flask import Blueprint, Flask
    from flask.views import MethodView

    class Score(MethodView):
        def get(self):
            return "x"

    def show(tenant, number):
        return "x"

    app = Flask("nested")
    outer, inner = Blueprint("outer", "o", url_prefix="/outer"), Blueprint("inner", "i", url_prefix="/<tenant>")
    inner.add_url_rule("/v1/<int:number>", view_func=show)
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    app.add_url_rule("/class/", view_func=Score.as_view("score"))
    return app


FLASK_ROUTES = [
    ("GET", "/outer/acme/v1/3", "/outer/{tenant}/v1/{number}", "show"),
    ("GET", "/class/", "/class/", "Score.get"),
    ("HEAD", "/class/", "/class/", "Score.get"),
    ("PUT", "/class/", "/class/", ""),
    ("GET", "/class", "(unmatched)", ""),
    ("GET", "/static/nope.css", "/static/{filename}", "<lambda>"),
    ("GET", "/nope", "(unmatched)", ""),
]


@pytest.mark.parametrize("where", ["alone", "dispatched", "inside the dispatcher"])
@pytest.mark.parametrize(("method", "path", "route", "function"), FLASK_ROUTES)
def test_blueprints_classes_and_dispatchers_of_flask(method, path, route, function, where, everything, names_of):
    from flask import Flask
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    from apimetry.middleware.wsgi import WSGIMiddleware

    app = make_nested_flask()
    if where == "dispatched":
        middleware = WSGIMiddleware(DispatcherMiddleware(Flask("root"), {"/sub": app}), **everything)
        outermost, path, route = middleware, f"/sub{path}", route if route == "(unmatched)" else f"/sub{route}"
    else:
        app.wsgi_app = middleware = WSGIMiddleware(app.wsgi_app, **everything)
        outermost = app if where == "alone" else DispatcherMiddleware(Flask("root"), {"/sub": app})
        path = path if where == "alone" else f"/sub{path}"
    names = names_of(middleware, call_wsgi, method, path, app=outermost)
    assert (names[0], names[1].rpartition("<locals>.")[2]) == (route, function)


@pytest.mark.parametrize(
    ("method", "path", "route", "function"),
    [
        ("GET", "/view/3", "/view/{identity}", "ScoreView.get"),
        ("POST", "/view/3", "/view/{identity}", "ScoreView"),
        ("GET", "/included/7/deep/a-b/", "/included/{tenant}/deep/{name}/", "plain"),
        ("GET", "/included/7/old/2024/5/", "/included/{tenant}/old/{year}/{1}/", "plain"),
        ("GET", "/re/y/deep/a/", "/re/{0}/deep/{name}/", "plain"),
        ("GET", "/rest/3", "/rest/{identity}", "ScoreAPIView.get"),
        ("GET", "/set/scores/", "/set/scores/", "ScoreViewSet.list"),
        ("GET", "/set/scores/7/", "/set/scores/{pk}/", "ScoreViewSet.retrieve"),
        ("GET", "/ninja/scores/7", "/ninja/scores/{identity}", "ninja_score"),
        ("POST", "/ninja/scores/7", "/ninja/scores/{identity}", "ninja_post"),
        ("GET", "/api-one/", "/api-one/", "api_one"),
        ("POST", "/api-one/", "/api-one/", "api_one"),
        ("GET", "/api-two/", "/api-two/", "api_two"),
        ("GET", "/wrapped/", "/wrapped/", "plain"),
        ("GET", "/wrapped-class/3", "/wrapped-class/{identity}", "ScoreView.get"),
        ("GET", "/partial/", "/partial/", "plain"),
        ("GET", "/nested/v2/page-3/", "/nested/{version}/page-{number}/", "plain"),
        ("GET", "/either/both/", "/either/both", "ScoreViewSet.list"),
        ("GET", "/either/both/7", "/either/both/{pk}", "ScoreViewSet.retrieve"),
        ("GET", "/nope", "(unmatched)", ""),
    ],
)
def test_includes_classes_rest_framework_and_ninja_of_django(method, path, route, function, fake_collector):
    pytest.importorskip("rest_framework")
    configure_django()
    pytest.importorskip("ninja")
    from django.core.handlers.wsgi import WSGIHandler
    from django.test.utils import override_settings

    options = {**fake_collector.options}
    with override_settings(
        APIMETRY=options,
        ROOT_URLCONF="tests.middleware.django_more_urls",
        REST_FRAMEWORK={"UNAUTHENTICATED_USER": None, "DEFAULT_RENDERER_CLASSES": (JSON_RENDERER,)},
    ):
        handler = WSGIHandler()
        call_wsgi(handler, method, path, b"", {})
    (event,) = fake_collector.wait_for_events(1)
    assert (event["route"], event["function"].rpartition("more_urls.")[2]) == (route, function)


def test_methods_of_one_ninja_path_keep_their_own_functions(fake_collector):
    configure_django()
    pytest.importorskip("ninja")
    from django.core.handlers.wsgi import WSGIHandler
    from django.test.utils import override_settings

    with override_settings(APIMETRY=fake_collector.options, ROOT_URLCONF="tests.middleware.django_more_urls"):
        handler = WSGIHandler()
        for method in ("GET", "POST", "GET"):
            call_wsgi(handler, method, "/ninja/scores/7", b"", {})
    functions = [e["function"].rpartition(".")[2] for e in fake_collector.wait_for_events(3)]
    assert functions == ["ninja_score", "ninja_post", "ninja_score"]


JSON_RENDERER = "rest_framework.renderers.JSONRenderer"


def make_litestar():
    from litestar import Litestar, get

    @get("/v1/scores/{identity:int}")
    async def show(identity: int) -> dict[str, int]:
        return {}

    show.fn.__annotations__.update(identity=int)
    return Litestar([show]), call_asgi


def make_quart():
    from quart import Quart

    app = Quart("quart")

    @app.get("/v1/scores/<int:identity>")
    async def show(identity):
        return {}

    return app, call_asgi


def make_falcon():
    import falcon

    class Score:
        def on_get(self, request, response, identity):
            response.media = {}

    app = falcon.App()
    app.add_route("/v1/scores/{identity:int}", Score())
    return app, call_wsgi


def make_falcon_asgi():
    import falcon.asgi

    class Score:
        async def on_get(self, request, response, identity):
            response.media = {}

    app = falcon.asgi.App()
    app.add_route("/v1/scores/{identity:int}", Score())
    return app, call_asgi


def make_bottle():
    import bottle

    app = bottle.Bottle()
    app.get("/v1/scores/<identity:int>")(lambda identity: {})
    return app, call_wsgi


def make_pyramid():
    from pyramid.config import Configurator
    from pyramid.response import Response

    with Configurator() as config:
        config.add_route("score", r"/v1/scores/{identity:\d{1,3}}")
        config.add_view(lambda request: Response("{}"), route_name="score")
        return config.make_wsgi_app(), call_wsgi


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("framework", "make", "function"),
    [
        ("litestar", make_litestar, "show"),
        ("quart", make_quart, "show"),
        ("falcon", make_falcon, "Score.on_get"),
        ("falcon", make_falcon_asgi, "Score.on_get"),
        ("bottle", make_bottle, "<lambda>"),
        ("pyramid", make_pyramid, "<lambda>"),
    ],
)
def test_other_frameworks_tell_their_routes_through_the_generic_adapters(framework, make, function, fake_collector):
    pytest.importorskip(framework)
    from apimetry.middleware.asgi import ASGIMiddleware
    from apimetry.middleware.wsgi import WSGIMiddleware

    app, call = make()
    middleware = (ASGIMiddleware if call is call_asgi else WSGIMiddleware)(app, **fake_collector.options)
    for path in ("/v1/scores/17", "/nope"):
        call(middleware, "GET", path, b"", {})
    assert middleware.flush(10)
    recorded = [
        (e["route"], e["function"].rpartition("<locals>.")[2], e["status_code"]) for e in fake_collector.events
    ]
    assert recorded == [("/v1/scores/{identity}", function, 200), ("(unmatched)", "", 404)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("framework", "make"), [("litestar", make_litestar), ("bottle", make_bottle)])
def test_method_that_a_path_does_not_have_keeps_the_route(framework, make, fake_collector):
    pytest.importorskip(framework)
    from apimetry.middleware.asgi import ASGIMiddleware
    from apimetry.middleware.wsgi import WSGIMiddleware

    app, call = make()
    middleware = (ASGIMiddleware if call is call_asgi else WSGIMiddleware)(app, **fake_collector.options)
    call(middleware, "DELETE", "/v1/scores/17", b"", {})
    assert middleware.flush(10)
    recorded = [(e["route"], e["function"], e["status_code"]) for e in fake_collector.events]
    assert recorded == [("/v1/scores/{identity}", "", 405)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_converters_with_patterns_leave_none_of_them_in_a_route(fake_collector):
    from aiohttp import web
    from flask import Flask
    from starlette.applications import Starlette
    from starlette.convertors import Convertor, register_url_convertor
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from werkzeug.routing import BaseConverter

    from apimetry.middleware.aiohttp import aiohttp_middleware
    from apimetry.middleware.asgi import ASGIMiddleware
    from apimetry.middleware.wsgi import WSGIMiddleware
    from tests.middleware.adapters import call_aiohttp

    class Regex(BaseConverter):
        part_isolating = False

        def __init__(self, url_map, pattern):
            super().__init__(url_map)
            self.regex = pattern

    class Code(Convertor):
        regex = "[a-z]{2}(?:x|y)"
        convert = to_string = str

    app = Flask("patterns")
    app.url_map.converters["regex"] = Regex
    app.add_url_rule('/flask/<regex("[a-z]{2}(x|y)"):code>/', "flask", lambda code: "")
    app.wsgi_app = of_flask = WSGIMiddleware(app.wsgi_app, **fake_collector.options)
    call_wsgi(app, "GET", "/flask/abx/", b"", {})

    async def show(request):
        return PlainTextResponse("")

    register_url_convertor("code", Code())
    of_starlette = ASGIMiddleware(
        Starlette(routes=[Route("/starlette/{code:code}/", show)]), **fake_collector.options
    )
    call_asgi(of_starlette, "GET", "/starlette/abx/", b"", {})

    async def answer(request):
        return web.Response()

    of_aiohttp = aiohttp_middleware(**fake_collector.options)
    server = web.Application(middlewares=[of_aiohttp])
    server.router.add_get(r"/aiohttp/{code:[a-z]{2}(?:x|y)}/", answer)
    asyncio.run(call_aiohttp(server, "GET", "/aiohttp/abx/", b"", {}))
    assert all(middleware.flush(10) for middleware in (of_flask, of_starlette, of_aiohttp))
    assert {e["route"] for e in fake_collector.events} == {
        f"/{f}/{{code}}/" for f in ("flask", "starlette", "aiohttp")
    }


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
