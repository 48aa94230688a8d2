"""The processes of the demo: a `serve` and the example applications, started and ended together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

import click

_START_S: Final = 60.0
_STOP_S: Final = 20.0


class Processes:
    """Children of the demo, each with its log in `folder`. As a context manager it ends all of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(list(self._children)):
            self.stop(name)

    def start_serve(self, data_dir: Path, collector_port: int, query_port: int) -> None:
        """Start `apimetry serve` with its own data directory, and wait until it is ready."""
        environment = {
            **_without_settings(),
            "APIMETRY_DATA_DIR": str(data_dir),
            "APIMETRY_COLLECTOR_PORT": str(collector_port),
            "APIMETRY_QUERY_PORT": str(query_port),
            "APIMETRY_LOG_LEVEL": "warning",
        }
        self._start("serve", ["-c", "from apimetry.cli.main import main; main()", "serve"], environment)
        self._wait("serve", f"http://127.0.0.1:{query_port}/ready")

    def start_application(self, name: str, port: int, version: str, collector_url: str, write_key: str) -> None:
        """Start an example application, and wait until it answers."""
        environment = {
            **_without_settings(),
            "APIMETRY_COLLECTOR_URL": collector_url,
            "APIMETRY_WRITE_KEY": write_key,
            "APIMETRY_DEMO_VERSION": version,
        }
        self._start(name, ["-m", "apimetry.cli.demo.applications", name, str(port)], environment)
        self._wait(name, f"http://127.0.0.1:{port}/health")

    def stop(self, name: str) -> None:
        """End a child as an operator does, and wait until it is gone."""
        child = self._children.pop(name)
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def check(self) -> None:
        """Raise ClickException where a child has ended by itself."""
        for name, child in self._children.items():
            if child.poll() is not None:
                log = self._folder / f"{name}.log"
                raise click.ClickException(f"{name} ended with exit code {child.returncode}; {log} says why")

    def _start(self, name: str, arguments: list[str], environment: dict[str, str]) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            # A group of its own: Ctrl-C reaches the demo alone, which then ends its children in order.
            self._children[name] = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, *arguments],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait(self, name: str, url: str) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            self.check()
            try:
                urllib.request.urlopen(url, timeout=1).close()  # noqa: S310 - the loopback
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    return
            except OSError:
                pass
            else:
                return
            time.sleep(0.1)
        raise click.ClickException(f"{name} does not answer at {url}")


def free_port() -> int:
    """Return a port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _without_settings() -> dict[str, str]:
    """Return the environment without settings of the user's own services."""
    return {name: value for name, value in os.environ.items() if not name.startswith("APIMETRY_")}
