"""What an outer layer answers in place of ours: a last resort, a timeout; and where it cannot be seen."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from apimetry.middleware.asgi import ASGIMiddleware
from tests.middleware.calling import HostError, call_aiohttp, call_asgi

SOON_S = 0.02


class Timeout:
    """Answers 504 when the application takes longer than `SOON_S`."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        with anyio.move_on_after(SOON_S) as limit:
            await self.app(scope, receive, send)
        if limit.cancelled_caught:
            await PlainTextResponse("too late", 504)(scope, receive, send)


class WaitFor(Timeout):
    """The same, by a task of its own that is cancelled."""

    async def __call__(self, scope, receive, send):
        try:
            await asyncio.wait_for(self.app(scope, receive, send), SOON_S)
        except asyncio.TimeoutError:
            await PlainTextResponse("too late", 504)(scope, receive, send)


class Catch(Timeout):
    """Answers 502 to any exception."""

    async def __call__(self, scope, receive, send):
        try:
            await self.app(scope, receive, send)
        except HostError:
            await PlainTextResponse("caught", 502)(scope, receive, send)


async def slow(request):
    await asyncio.Event().wait()


async def boom(request):
    raise HostError("before the headers")


def make(**options):
    return Starlette(routes=[Route("/slow", slow), Route("/boom", boom)], **options)


def seen(events):
    return [(e.route, e.status_code, e.response_bytes, e.error_type) for e in events]


@pytest.mark.parametrize("timeout", [Timeout, WaitFor])
def test_timeout_within_ours_is_the_504_it_answers(timeout, apimetry):
    call_asgi(ASGIMiddleware(timeout(make())), "GET", "/slow", b"", {})
    assert seen(apimetry) == [("/slow", 504, 8, "")]


def test_timeout_around_ours_in_one_application_is_the_504_it_answers(apimetry):
    app = make()
    app.add_middleware(ASGIMiddleware)
    app.add_middleware(Timeout)
    call_asgi(app, "GET", "/slow", b"", {})
    assert seen(apimetry) == [("/slow", 504, 8, "")]


def test_timeout_around_everything_is_not_seen_and_counts_as_a_client_that_left(apimetry):
    call_asgi(Timeout(ASGIMiddleware(make())), "GET", "/slow", b"", {})
    assert seen(apimetry) == [("/slow", 499, 0, "")]


async def ask_aiohttp(path, *around):
    """Ask an application of aiohttp with the middlewares given around ours."""
    from aiohttp import web

    from apimetry.middleware.aiohttp import aiohttp_middleware

    app = web.Application(middlewares=[*around, aiohttp_middleware()])
    app.router.add_get("/slow", slow)
    app.router.add_get("/boom", boom)
    return await call_aiohttp(app, "GET", path, b"", {})


async def test_page_of_aiohttp_for_an_exception_is_recorded_with_its_size(apimetry):
    answer = await ask_aiohttp("/boom")
    assert seen(apimetry) == [("/boom", 500, len(answer.body), "HostError")]
    assert answer.body


async def test_timeout_around_ours_in_aiohttp_is_the_504_it_answers(apimetry):
    from aiohttp import web

    @web.middleware
    async def timeout(request, handler):
        try:
            return await asyncio.wait_for(handler(request), SOON_S)
        except asyncio.TimeoutError:
            return web.Response(status=504, text="too late")

    await ask_aiohttp("/slow", timeout)
    assert seen(apimetry) == [("/slow", 504, 8, "")]


@pytest.mark.parametrize("around", [Catch, CORSMiddleware])
def test_answer_of_an_added_middleware_or_of_the_last_resort_around_it_is_seen(around, apimetry):
    async def last_resort(request, error):
        return PlainTextResponse("sorry", 503)

    app = make(exception_handlers={Exception: last_resort})
    app.add_middleware(ASGIMiddleware)
    app.add_middleware(around)
    call_asgi(app, "GET", "/boom", b"", {"Origin": "https://example.org"})
    status, size = (502, 6) if around is Catch else (503, 5)
    assert seen(apimetry) == [("/boom", status, size, "HostError")]


def test_page_of_starlette_for_an_exception_that_nobody_handles_is_recorded_with_its_size(apimetry):
    app = make()
    app.add_middleware(ASGIMiddleware)
    answer = call_asgi(app, "GET", "/boom", b"", {})
    assert seen(apimetry) == [("/boom", 500, len(answer.body), "HostError")]
    assert answer.body


def test_last_resort_that_raises_itself_is_a_500_without_an_answer(apimetry):
    async def last_resort(request, error):
        raise HostError("once more")

    app = make(exception_handlers={Exception: last_resort})
    app.add_middleware(ASGIMiddleware)
    call_asgi(app, "GET", "/boom", b"", {})
    assert seen(apimetry) == [("/boom", 500, 0, "HostError")]


def test_last_resort_that_answers_below_500_leaves_no_class(apimetry):
    async def last_resort(request, error):
        return PlainTextResponse("all right", 200)

    app = make(exception_handlers={Exception: last_resort})
    app.add_middleware(ASGIMiddleware)
    call_asgi(app, "GET", "/boom", b"", {})
    assert seen(apimetry) == [("/boom", 200, 9, "")]
