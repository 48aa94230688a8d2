from __future__ import annotations

import asyncio

import pytest

from tests.middleware.calling import call_asgi, call_wsgi


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
    from tests.middleware.calling import call_aiohttp

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
