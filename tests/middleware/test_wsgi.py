"""What only WSGI has: bodies closed early, read twice or never, `write`, file wrappers, held applications."""

from __future__ import annotations

import gc
import io
import weakref
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from flask import Flask

from apimetry.middleware.wsgi import WSGIMiddleware


def environ(**more):
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **more,
    }


def start_response(status, headers, exc_info=None):
    return lambda data: None


@pytest.fixture
def middleware_of(fake_collector):
    return lambda app: WSGIMiddleware(app, **fake_collector.options)


def app_of(body, headers=()):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), *headers])
        return body

    return app


@pytest.fixture
def events_of(fake_collector):
    def read(middleware):
        assert middleware.flush(10)
        return [(e["status_code"], e["response_bytes"]) for e in fake_collector.events]

    return read


def test_middleware_is_valid_wsgi(middleware_of, events_of):
    middleware = middleware_of(validator(app_of([b"abc"])))
    body = validator(middleware)(environ(), start_response)
    assert list(body) == [b"abc"]
    body.close()
    assert events_of(middleware) == [(200, 3)]


def test_body_that_is_closed_early_is_a_499(middleware_of, events_of):
    middleware = middleware_of(app_of(iter([b"abc", b"def"])))
    body = middleware(environ(), start_response)
    next(iter(body))
    body.close()
    body.close()
    assert events_of(middleware) == [(499, 3)]


def test_body_that_is_given_whole_but_not_exhausted_is_no_499(middleware_of, events_of):
    middleware = middleware_of(app_of(iter([b"abc"]), [("Content-Length", "3")]))
    body = middleware(environ(), start_response)
    next(iter(body))
    body.close()
    assert events_of(middleware) == [(200, 3)]


def test_body_that_is_handed_over_whole_is_recorded_though_nobody_reads_it(middleware_of, events_of):
    middleware = middleware_of(app_of([b"abc", b"d"]))
    response = middleware(environ(), start_response)
    assert events_of(middleware) == [(200, 4)]
    response.close()
    assert events_of(middleware) == [(200, 4)]


def test_body_that_has_reached_its_length_is_recorded_though_the_response_is_kept(middleware_of, events_of):
    middleware = middleware_of(app_of(iter([b"abc", b"d"]), [("Content-Length", "4")]))
    chunks = iter(middleware(environ(), start_response))
    next(chunks)
    assert events_of(middleware) == []
    next(chunks)
    assert events_of(middleware) == [(200, 4)]


def test_stream_that_is_never_read_is_no_499(middleware_of, events_of):
    middleware = middleware_of(app_of(iter([b"abc"])))
    middleware(environ(), start_response).close()
    assert events_of(middleware) == [(200, 0)]


def test_body_that_is_read_twice_is_one_event(middleware_of, events_of):
    middleware = middleware_of(app_of([b"abc"]))
    body = middleware(environ(), start_response)
    assert [list(body), list(body)] == [[b"abc"], [b"abc"]]
    body.close()
    assert events_of(middleware) == [(200, 3)]


def test_length_of_a_list_is_kept_for_the_server(middleware_of):
    assert len(middleware_of(app_of([b"abc"]))(environ(), start_response)) == 1


def test_bytes_given_to_write_are_counted(middleware_of, events_of):
    def app(environ, start_response):
        start_response("201 Created", [])(b"abcd")
        return []

    middleware = middleware_of(app)
    list(middleware(environ(), start_response))
    assert events_of(middleware) == [(201, 4)]


def test_file_wrapper_reaches_the_server_as_it_is(middleware_of, events_of):
    wrapped = FileWrapper(io.BytesIO(b"abc"))
    middleware = middleware_of(app_of(wrapped, [("Content-Length", "3")]))
    body = middleware(environ(**{"wsgi.file_wrapper": FileWrapper}), start_response)
    assert body is wrapped
    assert events_of(middleware) == [(200, 3)]


def test_close_of_the_applications_body_is_called_once_and_its_error_passes(middleware_of, events_of):
    class Body:
        def __iter__(self):
            return iter([b"abc"])

        def close(self):
            raise LookupError("the host's")

    middleware = middleware_of(app_of(Body()))
    body = middleware(environ(), start_response)
    with pytest.raises(LookupError):
        body.close()
    assert events_of(middleware) == [(500, 0)]


def make_flask():
    app = Flask("held")
    app.add_url_rule("/a", "view", lambda: "ok")
    app.add_url_rule("/boom/<int:number>", "boom", lambda number: 1 / 0)
    return app


def test_wrapped_flask_application_is_freed_without_the_cycle_collector(fake_collector):
    app = make_flask()
    app.wsgi_app = WSGIMiddleware(app.wsgi_app, **fake_collector.options)
    assert b"".join(app(environ(), start_response)) == b"ok"
    held = weakref.ref(app)
    gc.collect()
    gc.disable()
    try:
        del app
        assert held() is None
    finally:
        gc.enable()


def test_application_that_only_the_middleware_holds_stays_alive(middleware_of):
    middleware = middleware_of(make_flask().wsgi_app)
    for _ in range(3):
        gc.collect()
        assert b"".join(middleware(environ(), start_response)) == b"ok"


def test_exception_that_flask_passes_on_keeps_its_route(middleware_of, fake_collector):
    app = make_flask()
    app.testing = True
    app.wsgi_app = middleware_of(app.wsgi_app)
    with pytest.raises(ZeroDivisionError):
        app.test_client().get("/boom/7")
    assert app.wsgi_app.flush(10)
    (event,) = fake_collector.events
    assert (event["status_code"], event["error_type"], event["route"]) == (
        500,
        "ZeroDivisionError",
        "/boom/{number}",
    )


def test_callables_see_flasks_g(fake_collector):
    from flask import g

    app = Flask("callables")

    @app.get("/a")
    def view():
        g.user_id = 17
        return "ok"

    app.wsgi_app = WSGIMiddleware(
        app.wsgi_app,
        consumer=lambda environ: g.get("user_id"),
        data=lambda environ: {"user": g.get("user_id")},
        **fake_collector.options,
    )
    assert app.test_client().get("/a").data == b"ok"
    assert app.wsgi_app.flush(10)
    assert [(e["consumer_id"], e["data"]) for e in fake_collector.events] == [("17", {"user": "17"})]
