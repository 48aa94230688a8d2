"""Real host applications under real servers, for tests.

Every host serves the same routes: `GET /v1/scores/{identity}` (200, JSON), `POST /v1/scores` (201, echoes JSON),
`GET /boom` (raises ZeroDivisionError); nothing else is routed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.services.fake_collector import FakeCollector

APPS = Path(__file__).parent / "host_apps"
STARTUP_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0


def _uvicorn(app: str, port: int, *more: str) -> list[str]:
    return ["-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", *more]


def _gunicorn(app: str, port: int, *more: str) -> list[str]:
    control = ["--no-control-socket"] if _has_control_socket() else []
    return ["-m", "gunicorn", app, "--bind", f"127.0.0.1:{port}", "--workers", "1", *control, *more]


def _has_control_socket() -> bool:
    from gunicorn.config import KNOWN_SETTINGS

    return any("--no-control-socket" in (setting.cli or ()) for setting in KNOWN_SETTINGS)


def _hypercorn(app: str, port: int, *more: str) -> list[str]:
    return ["-m", "hypercorn", app, "--bind", f"127.0.0.1:{port}", *more]


def _granian(app: str, port: int, interface: str) -> list[str]:
    return ["-m", "granian", app, "--interface", interface, "--host", "127.0.0.1", "--port", str(port)]


def _uwsgi(app: str, port: int) -> list[str]:
    # It is a program of its own, with an interpreter inside.
    module = f"--http-socket 127.0.0.1:{port} --module {app} --master --processes 2 --enable-threads --die-on-term"
    return ["-c", "import os, sys; os.execv(sys.argv[1], sys.argv[1:])", _uwsgi_path(), *module.split()]


def _uwsgi_path() -> str:
    return str(Path(sys.executable).with_name("uwsgi"))


HOSTS: dict[str, Callable[[int], list[str]]] = {
    "fastapi-uvicorn": lambda port: _uvicorn("fastapi_app:app", port),
    "fastapi-uvicorn-workers": lambda port: _uvicorn("fastapi_app:app", port, "--workers", "2"),
    "starlette-uvicorn-without-lifespan": lambda port: _uvicorn("starlette_app:app", port, "--lifespan", "off"),
    "starlette-hypercorn": lambda port: _hypercorn("starlette_app:app", port),
    "starlette-hypercorn-trio": lambda port: _hypercorn("starlette_app:app", port, "--worker-class", "trio"),
    "starlette-granian": lambda port: _granian("starlette_app:app", port, "asgi"),
    "fastapi-gunicorn-asgi": lambda port: _gunicorn("fastapi_app:app", port, "--worker-class", _asgi_worker()),
    "flask-gunicorn": lambda port: _gunicorn("flask_app:app", port),
    "flask-gunicorn-gthread": lambda port: _gunicorn("flask_app:app", port, "--threads", "2", "--preload"),
    "flask-gunicorn-gevent": lambda port: _gunicorn("flask_app:app", port, "--worker-class", "gevent", "--preload"),
    "flask-granian": lambda port: _granian("flask_app:app", port, "wsgi"),
    "flask-uwsgi": lambda port: _uwsgi("flask_app:app", port),
    "django-wsgi-gunicorn": lambda port: _gunicorn("django_app:application", port, "--threads", "2"),
    "django-asgi-uvicorn": lambda port: _uvicorn("django_app:asgi_application", port),
    "aiohttp": lambda port: [str(APPS / "aiohttp_app.py"), str(port)],
}
_NEEDS = {
    "starlette-hypercorn-trio": "trio",
    "starlette-granian": "granian",
    "flask-granian": "granian",
    "flask-gunicorn-gevent": "gevent",
}


def _asgi_worker() -> str:
    """Name gunicorn's own ASGI worker where it has one, else uvicorn's for it."""
    from gunicorn.workers import SUPPORTED_WORKERS

    return "asgi" if "asgi" in SUPPORTED_WORKERS else "uvicorn.workers.UvicornWorker"


def require_host(kind: str) -> None:
    """Skip the test where the server of a host is not installed."""
    if kind in _NEEDS:
        pytest.importorskip(_NEEDS[kind])
    if "uwsgi" in kind and not Path(_uwsgi_path()).exists():
        pytest.skip("uWSGI is not installed")


@dataclass(frozen=True)
class Host:
    """A running host application: where it answers, its process, and the file its output goes to."""

    url: str
    process: subprocess.Popen[bytes]
    output_path: Path

    @property
    def output(self) -> str:
        return self.output_path.read_text(errors="replace")


@contextlib.contextmanager
def start_host(
    kind: str,
    *,
    collector_url: str,
    write_key: str,
    env: Mapping[str, str] | None = None,
    arguments: tuple[str, ...] = (),
) -> Iterator[Host]:
    """Start a host of `HOSTS` on a free port, wait until it listens, and end it with SIGTERM.

    Its output is printed (pytest shows it where a test fails). `arguments` are appended to the server's own.
    """
    port = _free_port()
    environment = {
        **os.environ,
        "APIMETRY_COLLECTOR_URL": collector_url,
        "APIMETRY_WRITE_KEY": write_key,
        "PYTHONPATH": str(APPS),
        "PYTHONUNBUFFERED": "1",
        **(env or {}),
    }
    with tempfile.TemporaryDirectory() as folder:
        output_path = Path(folder) / "output"
        with output_path.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *HOSTS[kind](port), *arguments],
                env=environment,
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        host = Host(f"http://127.0.0.1:{port}", process, output_path)
        try:
            _wait_until_listening(host, port)
            yield host
        finally:
            _stop(process)
            print(f"--- {kind} ---\n{host.output}")


@pytest.fixture
def fake_collector() -> Iterator[FakeCollector]:
    """A collector that keeps what it gets and can be told to fail."""
    with FakeCollector() as collector:
        yield collector


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_listening(host: Host, port: int) -> None:
    deadline = time.monotonic() + STARTUP_TIMEOUT_S
    while time.monotonic() < deadline:
        if host.process.poll() is not None:
            raise RuntimeError(f"the host ended with {host.process.returncode}:\n{host.output}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"the host does not listen:\n{host.output}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
