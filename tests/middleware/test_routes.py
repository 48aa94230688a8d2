from __future__ import annotations

import functools

import pytest

from apimetry.middleware.routes import django_template, function_name, werkzeug_template
from tests.middleware.adapters import call_asgi


@pytest.mark.parametrize(
    ("rule", "template"),
    [
        ("/v1/scores/<int:identity>", "/v1/scores/{identity}"),
        ("/<a>/<string(length=2):b>", "/{a}/{b}"),
        ("/files/<path:name>", "/files/{name}"),
    ],
)
def test_werkzeug_rule_in_one_spelling(rule, template):
    assert werkzeug_template(rule) == template


@pytest.mark.parametrize(
    ("route", "template"),
    [
        ("v1/scores/<int:identity>", "/v1/scores/{identity}"),
        ("", "/"),
        (r"^v1/(?P<identity>\d+)/$", "/v1/{identity}/"),
        (r"api/^v1/(\d+)/(?P<rest>(?:a|b)+)$", "/api/v1/{0}/{rest}"),
        (r"^a\.json\Z", "/a.json"),
    ],
)
def test_django_route_in_one_spelling(route, template):
    assert django_template(route) == template


def test_function_is_named_by_module_and_qualname():
    here = __name__
    assert function_name(django_template.__wrapped__) == "apimetry.middleware.routes.django_template"
    assert function_name(functools.partial(function_name)) == "apimetry.middleware.routes.function_name"
    assert function_name(_Instance()) == f"{here}._Instance"
    assert function_name(_Instance) == f"{here}._Instance"


class _Instance:
    pass


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
def test_included_and_mounted_routes_of_fastapi(path, route, fake_collector):
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
    middleware = ASGIMiddleware(app, **fake_collector.options)
    call_asgi(middleware, "GET", path, b"", {})
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
