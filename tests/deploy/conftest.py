"""One service for the tests that need a real one, and what it tells its service manager."""

from __future__ import annotations

import contextlib
import socket

import pytest

from tests.support.services.processes import BOOTSTRAP, running


@pytest.fixture(scope="session")
def manager(tmp_path_factory):
    """Return the socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path_factory.mktemp("manager") / "notify"))
        bound.setblocking(False)
        yield bound


@pytest.fixture(scope="session")
def notifications(manager):
    """Return a function that returns all that the service manager was told."""
    messages = []

    def received():
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(manager.recv(4096).decode())
        return messages

    return received


@pytest.fixture(scope="session")
def service(tmp_path_factory, manager, notifications):
    """Run collector and query service with the test keys."""
    data_dir = tmp_path_factory.mktemp("data")
    settings = {"NOTIFY_SOCKET": manager.getsockname(), "APIMETRY_TRAFFIC_METRICS": "true", **BOOTSTRAP}
    with running("serve", data_dir=data_dir, **settings) as service:
        yield service
    assert notifications() == ["READY=1", "STOPPING=1"]
