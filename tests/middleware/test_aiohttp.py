from __future__ import annotations

import asyncio
import gc

import pytest
from aiohttp import web

from apimetry.middleware.aiohttp import aiohttp_middleware
from tests.middleware.calling import call_aiohttp

CONTENT = b"0123456789" * 200


@pytest.fixture
def serve(fake_collector, tmp_path):
    """Serve a folder with one file, statically and by FileResponse, and send requests to it."""
    (tmp_path / "file.txt").write_bytes(CONTENT)
    (tmp_path / "zipped.txt").write_bytes(CONTENT)
    (tmp_path / "zipped.txt.gz").write_bytes(b"\x1f\x8b" + b"z" * 40)
    middleware = aiohttp_middleware(**fake_collector.options)

    async def answer(request):
        return web.FileResponse(tmp_path / request.match_info["name"])

    async def unprepared(request):
        return web.StreamResponse(status=202)

    def call(method, path, headers=None, *, outer=None):
        app = web.Application(middlewares=[*([outer] if outer else []), middleware])
        app.router.add_static("/folder", tmp_path)
        app.router.add_route("*", "/files/{name}", answer)
        app.router.add_get("/unprepared", unprepared)
        response = asyncio.run(
            call_aiohttp(app, method, path, b"", {"Accept-Encoding": "identity", **(headers or {})})
        )
        gc.collect()
        assert middleware.flush(10)
        (event,) = fake_collector.events
        return response, event

    return call


@pytest.mark.parametrize("folder", ["/folder", "/files"])
@pytest.mark.parametrize(
    ("method", "name", "headers", "status", "size"),
    [
        ("GET", "file.txt", {}, 200, len(CONTENT)),
        ("HEAD", "file.txt", {}, 200, 0),
        ("GET", "file.txt", {"Range": "bytes=0-99"}, 206, 100),
        ("GET", "file.txt", {"Range": "bytes=-7"}, 206, 7),
        ("GET", "file.txt", {"Range": "bytes=99999-"}, 416, 0),
        ("GET", "file.txt", {"If-Modified-Since": "Fri, 31 Dec 2060 23:59:59 GMT"}, 304, 0),
        ("GET", "file.txt", {"If-Unmodified-Since": "Fri, 31 Dec 1999 23:59:59 GMT"}, 412, 0),
        ("GET", "zipped.txt", {"Accept-Encoding": "gzip"}, 200, 42),
    ],
)
def test_file_is_recorded_as_it_was_answered(serve, folder, method, name, headers, status, size):
    response, event = serve(method, f"{folder}/{name}", headers)
    assert (response.status, event["status_code"], event["response_bytes"]) == (status, status, size)
    assert 0 < event["ttfb_us"] <= event["response_us"]


@pytest.mark.parametrize("path", ["/folder/missing.txt", "/files/missing.txt"])
def test_file_that_is_not_there_is_a_404(serve, path):
    response, event = serve("GET", path)
    assert (response.status, event["status_code"]) == (404, 404)


def test_response_that_the_server_prepares_has_its_own_status(serve):
    response, event = serve("GET", "/unprepared")
    assert (response.status, event["status_code"]) == (202, 202)


def test_file_that_an_outer_middleware_replaces_is_one_event_all_the_same(serve):
    @web.middleware
    async def replace(request, handler):
        await handler(request)
        return web.Response(text="another")

    response, event = serve("GET", "/files/file.txt", outer=replace)
    assert (response.body, event["status_code"], event["response_bytes"]) == (b"another", 200, None)
