from __future__ import annotations

import signal

import pytest

from apimetry.middleware.asgi import ASGIMiddleware
from apimetry.middleware.host import Host, lacks_threads


class Server:
    """What uvicorn's server looks like to its signal handler."""

    should_exit = False

    def handle_exit(self, number, frame):
        self.should_exit = True


@pytest.fixture
def server():
    server, before = Server(), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, server.handle_exit)
    yield server
    signal.signal(signal.SIGTERM, before)


def test_server_is_stopping_once_its_own_handler_says_so(server):
    host = Host()
    assert not host.look()
    signal.raise_signal(signal.SIGTERM)
    assert host.look()
    assert host.is_stopping


def test_looking_leaves_the_handler_alone(server):
    Host().look()
    assert signal.getsignal(signal.SIGTERM) == server.handle_exit


def test_server_without_such_a_handler_is_not_stopping():
    assert not Host().look()


async def test_request_waits_for_delivery_only_while_the_server_stops(server, fake_collector):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message):
        pass

    middleware = ASGIMiddleware(app, flush_interval_s=3600, **fake_collector.options)
    scope = {"type": "http", "method": "GET", "path": "/a", "query_string": b"", "headers": []}
    server.should_exit = True
    await middleware(dict(scope), None, send)
    fake_collector.wait_for_events(1)  # the exporter has looked
    await middleware(dict(scope), None, send)
    assert len(fake_collector.events) == 2
    server.should_exit = False
    await middleware(dict(scope), None, send)  # still waits, and has the exporter look again
    await middleware(dict(scope), None, send)
    assert not middleware.recorder.host.is_stopping


def test_interpreter_outside_of_uwsgi_has_threads():
    assert not lacks_threads()
