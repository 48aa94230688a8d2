"""Around a WSGI application nothing changes: what passes through, passes unchanged, and is one event."""

from __future__ import annotations

import contextvars
import io
from wsgiref.util import FileWrapper

import pytest

from apimetry.middleware.wsgi import WSGIMiddleware
from tests.middleware.calling import HostError
from tests.middleware.test_wsgi import environ

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


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
