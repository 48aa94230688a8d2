"""Around an application nothing changes: what passes through, passes unchanged, and is one event."""

from __future__ import annotations

import asyncio
import contextvars
import io
from wsgiref.util import FileWrapper

import pytest

from apimetry.middleware.asgi import ASGIMiddleware
from apimetry.middleware.wsgi import WSGIMiddleware
from tests.middleware.adapters import HostError, configure_django
from tests.middleware.test_wsgi import environ

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
SCOPE = {"type": "http", "method": "GET", "path": "/a", "query_string": b"", "headers": []}
START = {"type": "http.response.start", "status": 200, "headers": []}


def part(body=b"", more=False):
    return {"type": "http.response.body", "body": body, "more_body": more}


async def drive(app, *incoming, scope=SCOPE):
    """Call an ASGI application and return the very messages it sent."""
    waiting, sent = list(incoming), []

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    await app(dict(scope), receive, send)
    return sent


# ASGI


async def test_messages_pass_as_the_same_objects_both_ways(apimetry):
    request = {"type": "http.request", "body": b"abc", "more_body": False}
    messages = [
        {**START, "status": 103},  # an early hint, as some servers take it
        {**START, "trailers": True},
        part(b"abc"),
        {"type": "http.response.trailers", "headers": [(b"x", b"y")], "more_trailers": False},
    ]
    received = []

    async def app(scope, receive, send):
        received.append(await receive())
        for message in messages:
            await send(message)

    sent = await drive(ASGIMiddleware(app), request)
    assert all(a is b for a, b in zip(sent, messages, strict=True))
    assert received[0] is request
    assert [(e.status_code, e.request_bytes, e.response_bytes) for e in apimetry] == [(200, 3, 3)]


async def test_early_hints_server_push_and_debug_messages_are_no_answer(apimetry):
    async def app(scope, receive, send):
        await send({"type": "http.response.early_hint", "links": []})
        await send({"type": "http.response.push", "path": "/style.css", "headers": []})
        await send({"type": "http.response.debug", "info": {}})
        await send({**START, "status": 201})
        await send(part(b"abc"))

    assert len(await drive(ASGIMiddleware(app))) == 5
    assert [(e.status_code, e.response_bytes) for e in apimetry] == [(201, 3)]


async def test_parts_reach_the_server_before_the_next_is_made(apimetry):
    part_numbers, messages = [], []

    async def app(scope, receive, send):
        await send(START)
        for number in range(5):
            part_numbers.append(number)
            await send(part(b"x" * 1000, more=True))
            assert len(messages) == number + 2
        await send(part())

    async def send(message):
        messages.append(message)

    await ASGIMiddleware(app)(dict(SCOPE), None, send)
    assert (part_numbers, [e.response_bytes for e in apimetry]) == ([0, 1, 2, 3, 4], [5000])


async def test_request_body_is_read_no_faster_than_the_application_reads(apimetry):
    pulled = []

    async def receive():
        pulled.append(1)
        return {"type": "http.request", "body": b"1234", "more_body": True}

    async def app(scope, receive, send):
        await receive()
        assert len(pulled) == 1
        await receive()
        await send(START)
        await send(part())

    async def send(message):
        pass

    await ASGIMiddleware(app)({**SCOPE, "method": "POST"}, receive, send)
    assert (len(pulled), [e.request_bytes for e in apimetry]) == (2, [8])


async def test_context_variables_are_visible_inside_and_outside(apimetry):
    async def app(scope, receive, send):
        assert variable.get() == "outer"
        variable.set("inner")
        await send(START)
        await send(part())

    variable.set("outer")
    await drive(ASGIMiddleware(app))
    assert variable.get() == "inner"


async def test_cancellation_reaches_the_application_and_is_a_499(apimetry):
    inside, cleaned = asyncio.Event(), []

    async def app(scope, receive, send):
        try:
            inside.set()
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    task = asyncio.create_task(drive(ASGIMiddleware(app)))
    await inside.wait()
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.args == ("enough",)
    assert (cleaned, [e.status_code for e in apimetry]) == ([True], [499])


@pytest.mark.parametrize("messages", [[], [START], [START, part(b"x", more=True)]], ids=["none", "headers", "part"])
async def test_exception_passes_as_the_same_object_and_is_a_500(messages, apimetry):
    error = HostError("the host's")

    async def app(scope, receive, send):
        for message in messages:
            await send(message)
        raise error

    with pytest.raises(HostError) as caught:
        await drive(ASGIMiddleware(app))
    assert caught.value is error
    assert [(e.status_code, e.error_type) for e in apimetry] == [(500, "HostError")]


async def test_background_work_is_no_part_of_the_duration(apimetry):
    events_at_work = []

    async def app(scope, receive, send):
        await send(START)
        await send(part(b"done"))
        events_at_work.extend(apimetry)
        await asyncio.sleep(0.2)

    await drive(ASGIMiddleware(app))
    assert [e.response_us < 200_000 for e in apimetry] == [True]
    assert events_at_work == list(apimetry)


async def test_other_scope_types_and_unknown_ones_pass_untouched(apimetry):
    scopes = []

    async def app(scope, receive, send):
        scopes.append((scope["type"], receive, send))

    async def receive():
        return {}

    async def send(message):
        pass

    await ASGIMiddleware(app)({"type": "telepathy"}, receive, send)
    assert scopes == [("telepathy", receive, send)]
    assert len(apimetry) == 0


async def test_scope_is_the_servers_own_and_gains_nothing(apimetry):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await send(START)
        await send(part())

    scope = dict(SCOPE)

    async def send(message):
        pass

    await ASGIMiddleware(app)(scope, None, send)
    assert scopes[0] is scope
    assert scope == SCOPE


@pytest.mark.parametrize("spread", [1, 5])
async def test_concurrent_requests_are_as_many_events_of_their_own(spread, apimetry):
    async def app(scope, receive, send):
        number = int(scope["path"][1:])
        await asyncio.sleep(0)
        await send({**START, "status": 200 + number})
        for _ in range(spread):
            await asyncio.sleep(0)
            await send(part(b"x" * number, more=True))
        await send(part())

    middleware = ASGIMiddleware(app)
    await asyncio.gather(*(drive(middleware, scope={**SCOPE, "path": f"/{n}"}) for n in range(50)))
    recorded = sorted((int(e.url[1:]), e.status_code - 200, e.response_bytes) for e in apimetry)
    assert recorded == [(n, n, n * spread) for n in range(50)]


# WSGI


def test_start_response_and_environ_are_the_servers_own(apimetry):
    calls = []

    def app(environ, start_response):
        environs.append(environ)
        start_response("404 NOT FOUND", headers)
        return [b"x"]

    def start_response(*arguments):
        calls.append(arguments)
        return io.BytesIO().write

    environs, headers, own = [], [("X-A", "b")], environ()
    before = dict(own)
    assert list(WSGIMiddleware(app)(own, start_response)) == [b"x"]
    assert environs[0] is own
    assert own == before
    assert calls == [("404 NOT FOUND", headers)]
    assert calls[0][1] is headers


def test_second_start_response_with_exc_info_decides_the_status(apimetry):
    calls = []

    def app(environ, start_response):
        start_response("200 OK", [])
        start_response("500 ERROR", [], (HostError, HostError("late"), None))
        return [b"sorry"]

    list(WSGIMiddleware(app)(environ(), lambda *arguments: calls.append(arguments)))
    assert [len(arguments) for arguments in calls] == [2, 3]
    assert [(e.status_code, e.response_bytes) for e in apimetry] == [(500, 5)]


def test_body_is_asked_for_one_chunk_at_a_time(apimetry):
    chunk_numbers = []

    def chunks():
        for number in range(3):
            chunk_numbers.append(number)
            yield b"abc"

    def app(environ, start_response):
        start_response("200 OK", [])
        return chunks()

    body = iter(WSGIMiddleware(app)(environ(), lambda *arguments: None))
    assert chunk_numbers == []
    for number in range(3):
        next(body)
        assert chunk_numbers == list(range(number + 1))
    assert list(body) == []
    assert [e.response_bytes for e in apimetry] == [9]


def test_context_variables_pass_through_a_wsgi_body(apimetry):
    def app(environ, start_response):
        variable.set("inner")
        start_response("200 OK", [])
        yield variable.get().encode()

    variable.set("outer")
    assert list(WSGIMiddleware(app)(environ(), lambda *arguments: None)) == [b"inner"]
    assert variable.get() == "inner"


@pytest.mark.parametrize("when", ["call", "iter", "next", "later"])
def test_exception_of_a_wsgi_application_passes_as_the_same_object(when, apimetry):
    error = HostError(when)

    class Body:
        def __iter__(self):
            if when == "iter":
                raise error
            return self.chunks()

        def chunks(self):
            if when == "next":
                raise error
            yield b"abc"
            raise error

    def app(environ, start_response):
        if when == "call":
            raise error
        start_response("200 OK", [])
        return Body()

    with pytest.raises(HostError) as caught:
        list(WSGIMiddleware(app)(environ(), lambda *arguments: None))
    assert caught.value is error
    assert [(e.status_code, e.error_type) for e in apimetry] == [(500, "HostError")]


def test_body_is_closed_once_whatever_the_server_does(apimetry):
    closed = []

    class Body:
        def __iter__(self):
            return iter([b"abc", b"def"])

        def close(self):
            closed.append(True)

    def app(environ, start_response):
        start_response("200 OK", [])
        return Body()

    middleware = WSGIMiddleware(app)
    for read in (0, 1, 2):
        closed.clear()
        body = middleware(environ(), lambda *arguments: None)
        chunks = iter(body)
        for _ in range(read):
            next(chunks)
        body.close()
        del chunks
        assert closed == [True]
    assert [e.status_code for e in apimetry] == [200, 499, 499]


def test_file_wrapper_of_the_server_is_one_event_of_its_announced_length(apimetry):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "6")])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"abcdef"))

    body = WSGIMiddleware(app)(environ(**{"wsgi.file_wrapper": FileWrapper}), lambda *arguments: None)
    assert type(body) is FileWrapper
    assert [(e.status_code, e.response_bytes) for e in apimetry] == [(200, 6)]


def test_head_304_and_204_have_no_bytes(apimetry):
    def app(environ, start_response):
        start_response(environ["PATH_INFO"][1:], [])
        return [] if environ["REQUEST_METHOD"] == "GET" else [b"ignored"]

    middleware = WSGIMiddleware(app)
    for method, status in (("GET", "304 NOT MODIFIED"), ("GET", "204 NO CONTENT"), ("HEAD", "200 OK")):
        list(middleware(environ(REQUEST_METHOD=method, PATH_INFO=f"/{status}"), lambda *arguments: None))
    assert [(e.status_code, e.response_bytes) for e in apimetry] == [(304, 0), (204, 0), (200, 0)]


# Django


@pytest.fixture
def django_client(apimetry):
    configure_django()
    from django.test import Client

    return Client(raise_request_exception=False)


def test_django_files_stream_to_their_end_and_are_closed(django_client, apimetry):
    from django.test.utils import override_settings

    with override_settings(ROOT_URLCONF="tests.middleware.django_files"):
        response = django_client.get("/file")
        assert b"".join(response.streaming_content) == b"abcdef"
        response.close()
    assert [(e.route, e.status_code, e.response_bytes) for e in apimetry] == [("/file", 200, 6)]


def test_django_stream_that_is_closed_early_is_a_499(django_client, apimetry):
    response = django_client.get("/stream")
    next(iter(response.streaming_content))
    response.close()
    assert [(e.route, e.status_code, e.response_bytes) for e in apimetry] == [("/stream", 499, 4)]


def test_django_under_a_forced_script_name_excludes_by_the_whole_path_and_by_the_path_within(apimetry):
    configure_django()
    from django.test import Client
    from django.test.utils import override_settings

    for exclude in (["/stream"], ["/api/stream"]):
        with override_settings(FORCE_SCRIPT_NAME="/api", APIMETRY={"exclude": exclude}):
            for path in ("/stream", "/echo"):
                Client().post(path).close()
    assert [e.url for e in apimetry] == ["/api/echo"] * 2


def test_django_exception_of_a_middleware_within_keeps_its_class(apimetry):
    configure_django()
    from django.test import Client
    from django.test.utils import override_settings

    middlewares = [
        "apimetry.middleware.django.DjangoMiddleware",
        "tests.middleware.django_urls.failing_middleware",
    ]
    with override_settings(MIDDLEWARE=middlewares):
        Client(raise_request_exception=False).get("/v1/scores/17")
    recorded = [(e.route, e.status_code, e.error_type) for e in apimetry]
    assert recorded == [("/v1/scores/{identity}", 500, "HostError")]


def test_django_exception_that_a_handler_answers_keeps_its_class(django_client, apimetry):
    assert django_client.get("/boom").status_code == 500
    assert [(e.status_code, e.error_type) for e in apimetry] == [(500, "HostError")]
