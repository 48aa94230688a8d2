"""The fixture `apimetry`, which pytest finds through the package's entry point."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest
from flask import Flask, Response, redirect

from apimetry.middleware.recorder import Recorder
from apimetry.middleware.testing import RecordedEvents, record_events
from apimetry.middleware.wsgi import WSGIMiddleware
from tests.middleware.adapters import ADAPTERS
from tests.middleware.calling import call_wsgi
from tests.middleware.django_adapters import configure_django
from tests.middleware.recording import event


@pytest.mark.parametrize("kind", ADAPTERS)
def test_events_of_a_test_are_a_list_without_a_key_or_a_collector(kind, apimetry):
    adapter = ADAPTERS[kind]({})
    adapter.call("GET", "/v1/scores/17?token=s3cret", b"", {})
    adapter.call("GET", "/missing", b"", {})
    assert [(e.method, e.route, e.status_code, e.error_type) for e in apimetry] == [
        ("GET", "/v1/scores/{identity}", 200, ""),
        ("GET", "(unmatched)", 404, ""),
    ]
    assert apimetry[0].url == "/v1/scores/17?token=***"
    assert apimetry[0].function.endswith("scores")
    figures = apimetry.assert_route("/v1/scores/{identity}", method="GET", count=1)
    assert 0 < figures.p50_us == figures.p95_us == figures.max_us < 30_000_000
    assert (figures.count, figures.statuses, figures.error_rate) == (1, [200], 0.0)


def hello(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]


made_before = WSGIMiddleware(hello, write_key="key", collector_url="http://127.0.0.1:9", sample=0.000001)


def test_middlewares_made_before_the_test_record_unsampled_and_send_nothing(apimetry):
    call_wsgi(made_before, "GET", "/a", b"", {})
    assert [e.response_bytes for e in apimetry] == [5]
    assert made_before.recorder.counters()["captured"] == 0
    apimetry.clear()
    assert list(apimetry) == []


def test_after_the_test_everything_is_as_before(fake_collector):
    recorder = Recorder(fake_collector.options, {})
    with record_events() as events:
        recorder.record(event("/in"))
        made_inside = Recorder(fake_collector.options, {})
        made_inside.record(event("/in"))
    for current in (recorder, made_inside):
        current.record(event("/after"))
        assert current.flush(10)
    assert [e.url for e in events] == ["/in", "/in"]
    assert [e["url"] for e in fake_collector.events] == ["/after", "/after"]
    assert not Recorder({}, {}).enabled


def test_percentiles_are_by_nearest_rank():
    with record_events() as events:
        recorder = Recorder({}, {})
        for milliseconds in range(1, 101):
            recorder.record(event(response_ns=milliseconds * 1_000_000, status=500 if milliseconds > 75 else 200))
    figures = events.assert_route("/a")
    assert (figures.p50_us, figures.p95_us, figures.p99_us, figures.max_us) == (50_000, 95_000, 99_000, 100_000)
    assert figures.error_rate == 0.25


def test_missing_route_is_said_with_what_there_was():
    with record_events() as events:
        Recorder({}, {}).record(event())
    with pytest.raises(AssertionError, match=r"0 request to /b, expected some; recorded: .*GET /a 200 5000 µs"):
        events.assert_route("/b")
    with pytest.raises(AssertionError, match="1 GET to /a, expected 2"):
        events.assert_route("/a", method="GET", count=2)
    assert repr(RecordedEvents()) == "<RecordedEvents: none>"


def test_plugin_alone_imports_none_of_the_middleware(tmp_path):
    (tmp_path / "test_host.py").write_text(
        "import sys\n"
        "def test_unused():\n"
        "    loaded = {m for m in sys.modules if m.startswith('apimetry.middleware.')}\n"
        "    assert loaded == {'apimetry.middleware.pytest_plugin'}\n"
        "def test_used(apimetry):\n"
        "    assert len(apimetry) == 0\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:cov", str(tmp_path)],
        capture_output=True,
        check=False,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout


def make_flask(response):
    app = Flask("kept")
    app.add_url_rule("/a", "view", response)
    app.wsgi_app = WSGIMiddleware(app.wsgi_app)
    return app.test_client()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    "response",
    [
        lambda: "hello",
        lambda: "",
        lambda: {"a": 1},
        lambda: ("", 204),
        lambda: Response(["he", "llo"]),
        lambda: Response(iter(["he", "llo"]), headers={"Content-Length": "5"}),
        lambda: redirect("/b"),
    ],
    ids=["text", "empty", "json", "204", "pieces", "stream", "redirect"],
)
def test_request_to_flask_is_recorded_though_the_test_keeps_its_response(method, response, apimetry):
    held_response = make_flask(response).open("/a", method=method)
    if held_response.is_streamed and method == "GET" and len(apimetry) == 0:
        held_response.get_data()  # a stream of several pieces has no more than begun
    assert [(e.route, e.method, e.status_code) for e in apimetry] == [("/a", method, held_response.status_code)]
    assert apimetry[0].response_bytes == len(held_response.get_data())
    assert len(apimetry) == 1


@pytest.fixture
def django_client():
    configure_django()
    from django.test import Client

    return Client()


@pytest.mark.parametrize("path", ["/v1/scores/17", "/stream", "/file"])
def test_head_of_djangos_test_client_is_no_499(path, django_client, apimetry):
    from django.test.utils import override_settings

    with override_settings(ROOT_URLCONF=f"tests.middleware.django_{'files' if path == '/file' else 'urls'}"):
        assert django_client.head(path).status_code == 200
    assert [(e.method, e.status_code, e.response_bytes) for e in apimetry] == [("HEAD", 200, 0)]


@pytest.mark.parametrize("end", ["close", "drop"])
def test_stream_of_djangos_test_client_that_nobody_reads_is_no_499(end, django_client, apimetry):
    response = django_client.get("/stream")
    if end == "close":
        response.close()
    del response
    gc.collect()
    assert [(e.route, e.status_code) for e in apimetry] == [("/stream", 200)]


async def test_stream_of_djangos_asynchronous_client_that_nobody_reads_is_no_499(apimetry):
    configure_django()
    from django.test import AsyncClient

    for method in ("head", "get"):
        response = await getattr(AsyncClient(), method)("/stream")
        response.close()
    assert [(e.method, e.status_code) for e in apimetry] == [("HEAD", 200), ("GET", 200)]
