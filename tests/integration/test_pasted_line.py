"""What `serve` prints on its first start, pasted as it is into real applications."""

from __future__ import annotations

import json
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.oracles.load import send_concurrently
from tests.support.services.ports import free_port
from tests.support.services.processes import get_json, running, wait_for_total

APPS = {
    "FastAPI, Starlette": (
        (
            "from fastapi import FastAPI\n"
            "app = FastAPI()\n"
            "@app.get('/v1/scores/{identity}')\n"
            "def show_score(identity: int):\n"
            "    return {'score': identity}\n"
            "PASTED\n"
        ),
        ["uvicorn", "app:app", "--port"],
    ),
    "Flask, any WSGI app": (
        (
            "from flask import Flask\n"
            "app = Flask(__name__)\n"
            "@app.get('/v1/scores/<int:identity>')\n"
            "def show_score(identity):\n"
            "    return {'score': identity}\n"
            "PASTED\n"
        ),
        ["gunicorn", "app:app", "--workers", "2", "--bind"],
    ),
}
DJANGO = """
import django.conf, django.http, django.urls
MIDDLEWARE_AND_OPTIONS
django.conf.settings.configure(
    ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x", MIDDLEWARE=MIDDLEWARE, APIMETRY=APIMETRY
)
def show_score(request, identity):
    return django.http.JsonResponse({"score": identity})
urlpatterns = [django.urls.path("v1/scores/<int:identity>", show_score)]
from django.core.wsgi import get_wsgi_application
from django.core.asgi import get_asgi_application
app = get_wsgi_application()
asgi = get_asgi_application()
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with running("serve", data_dir=tmp_path_factory.mktemp("first")) as service:
        assert service.query_url
        service.wait_until(lambda: "granularity=minute" in service.output, "lines to paste")
        yield service


def pasted(output, host):
    """Return the printed lines under the name of a host."""
    section = re.search(rf"^  {re.escape(host)} +(.*\n(?: {{20,}}.*\n?)*)", output, re.MULTILINE)
    return "\n".join(line.strip() for line in section[1].splitlines())


def credentials_of(service):
    path = re.search(r"kept in (.*credentials\.json)", service.output)[1]
    return json.loads(Path(path).read_text()), path


def run_and_count(served, folder, command, seen_before):
    port = free_port()
    command = [*command, f"127.0.0.1:{port}" if command[-1] == "--bind" else str(port)]
    server = subprocess.Popen([sys.executable, "-m", *command], cwd=folder)
    try:
        served.wait_until(lambda: listens(port), "host")
        send_concurrently(f"http://127.0.0.1:{port}", [("GET", "/v1/scores/7", None)] * 100, clients=5)
        keys, _ = credentials_of(served)
        wait_for_total(served, served.query_url, seen_before + 100, keys["read_key"])
    finally:
        server.terminate()
        server.wait(20)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def seen(served):
    keys, _ = credentials_of(served)
    answer = get_json(f"{served.query_url}/1/timeseries/0/4102444800/", keys["read_key"])
    return answer["groups"][keys["application"]][0][1]


@pytest.mark.parametrize("host", APPS)
def test_the_printed_lines_make_an_app_report_its_requests(served, tmp_path, host):
    source, command = APPS[host]
    (tmp_path / "app.py").write_text(source.replace("PASTED", pasted(served.output, host)))
    run_and_count(served, tmp_path, command, seen(served))


@pytest.mark.parametrize(
    "command",
    [["gunicorn", "app:app", "--bind"], ["uvicorn", "app:asgi", "--port"]],
    ids=["WSGI", "ASGI"],
)
def test_the_printed_lines_make_a_django_project_report_its_requests(served, tmp_path, command):
    lines = pasted(served.output, "Django").replace(", ...]", "]")
    (tmp_path / "app.py").write_text(DJANGO.replace("MIDDLEWARE_AND_OPTIONS", lines))
    run_and_count(served, tmp_path, command, seen(served))


def test_the_printed_question_is_answered(served):
    question = served.output[served.output.index("  curl -H") :].split("\n\n")[0]
    answer = subprocess.run(["bash", "-c", question], capture_output=True, text=True, check=True)
    assert set(json.loads(answer.stdout)) == {"groups", "start", "end", "granularity"}


def test_the_first_keys_are_left_in_a_file_for_its_owner_only(served):
    keys, path = credentials_of(served)
    assert set(keys) == {"application", "admin_key", "write_key", "read_key"}
    assert all(len(keys[f"{kind}_key"]) == 48 for kind in ("admin", "write", "read"))
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600


def test_keys_are_printed_on_the_first_start_only(tmp_path):
    with running("serve", data_dir=tmp_path) as first:
        assert first.query_url
        keys, _ = credentials_of(first)
    with running("serve", data_dir=tmp_path) as second:
        assert second.query_url
        assert not any(keys[f"{kind}_key"] in second.output for kind in ("admin", "write", "read"))
        assert get_json(f"{second.query_url}/1/timeseries/0/1/", keys["read_key"])["start"] == 0
