"""Ports for services that must come back under the same address."""

from __future__ import annotations

import socket


def free_port():
    """Return a port of the loopback that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
