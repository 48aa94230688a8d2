"""A service manager is told a state; without one, or where it cannot be told, nothing stops."""

from __future__ import annotations

import logging
import os
import socket

import pytest

from apimetry.cli.notifying import READY, notify


@pytest.mark.parametrize("abstract", [False, True])
def test_state_reaches_the_service_manager(tmp_path, abstract):
    name = f"apimetry-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if abstract else str(tmp_path / name))
        manager.settimeout(10)
        notify(READY, {"NOTIFY_SOCKET": f"@{name}" if abstract else str(tmp_path / name)})
        assert manager.recv(100) == b"READY=1"


def test_nobody_to_tell_is_no_error(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    notify(READY, {})
    assert caplog.messages == []
    notify(READY, {"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert caplog.messages == ["the service manager cannot be told READY=1: No such file or directory"]
