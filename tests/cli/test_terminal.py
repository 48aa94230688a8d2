"""Foreign text cannot control a terminal: names of files, lines of logs, stored events, responses of services."""

from __future__ import annotations

import os
import pty
import subprocess
import time

import pytest

from tests.support.services.http_server import answering
from tests.support.services.keys import READ_KEY, WRITE_KEY
from tests.support.services.processes import APIMETRY, BOOTSTRAP, post_events, running, wait_for_total

HOSTILE = "a\x1b[2J\x1b]0;t\x07b"


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    with running("serve", data_dir=tmp_path_factory.mktemp("serve"), **BOOTSTRAP) as service:
        yield service


def shown(*arguments, cwd=None, **environment):
    """Return what a command writes to a terminal."""
    controlling, terminal = pty.openpty()
    try:
        process = subprocess.Popen(
            [str(APIMETRY), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            env={**os.environ, "APIMETRY_READ_KEY": READ_KEY, "APIMETRY_WRITE_KEY": WRITE_KEY, **environment},
            cwd=cwd,
        )
        os.close(terminal)
        output = b""
        while True:
            try:
                chunk = os.read(controlling, 65536)
            except OSError:
                break
            if not chunk:
                break
            output += chunk
        process.wait(60)
        return output.decode()
    finally:
        os.close(controlling)


def assert_harmless(text):
    assert "\x1b[2J" not in text
    assert "\x1b]" not in text
    assert "\x07" not in text
    assert "Traceback" not in text


def addresses(serve):
    return {"APIMETRY_COLLECTOR_URL": serve.collector_url, "APIMETRY_QUERY_URL": serve.query_url}


def test_a_stored_event_in_tail(serve):
    event = {"timestamp": time.time(), "method": "GET", "url": f"/{HOSTILE}", "response_us": 1, "status_code": 200}
    post_events(serve.collector_url, [{**event, "consumer_id": HOSTILE}])
    wait_for_total(serve, serve.query_url, 1)
    text = shown("tail", "--once", "--last-s", "60", **addresses(serve))
    assert "GET" in text
    assert_harmless(text)


@pytest.mark.parametrize("content", ["", f"{HOSTILE}\n", None], ids=["empty", "unreadable lines", "no such file"])
def test_the_name_and_the_lines_of_a_log(serve, tmp_path, content):
    name = f"{HOSTILE}.log"
    if content is not None:
        (tmp_path / name).write_text(content)
    for more in ((), ("--format", "combined")):
        text = shown("import", "access-log", name, *more, cwd=tmp_path, **addresses(serve))
        assert_harmless(text)


@pytest.mark.parametrize(
    "arguments", [("keys", "list"), ("tail",), ("doctor",), ("import", "access-log", "/dev/null")]
)
def test_what_a_service_answers(arguments):
    body = f'{{"error": "x", "message": "{HOSTILE}"}}'.encode()
    for status in (200, 302, 400, 404):
        with answering(lambda _, s=status: (s, {"Location": "http://a/\x1b[2J"}, body)) as server:
            both = {"APIMETRY_COLLECTOR_URL": server.url, "APIMETRY_QUERY_URL": server.url}
            assert_harmless(shown(*arguments, **both, APIMETRY_ADMIN_KEY="apimetry_a_x"))


def test_a_variable_and_an_argument(tmp_path):
    assert_harmless(shown("keys", "show", "--data-dir", HOSTILE, cwd=tmp_path))
    assert_harmless(shown("spool", "status", cwd=tmp_path, APIMETRY_DATA_DIR=HOSTILE))
    assert_harmless(shown("serve", "--log-level", HOSTILE, cwd=tmp_path))
    assert_harmless(shown("serve", "--config", HOSTILE, cwd=tmp_path))
    assert_harmless(shown("tail", cwd=tmp_path, APIMETRY_QUERY_URL=HOSTILE))
    assert_harmless(shown("keys", "show", cwd=tmp_path, **{f"APIMETRY_{HOSTILE}": "x"}))
