"""Check the ports of the services, before a start makes files or keys."""

from __future__ import annotations

import asyncio
import errno
import socket

from apimetry.cli.settings import Settings
from apimetry.cli.start_error import StartError


async def check_ports(settings: Settings, *names: str) -> None:
    """Raise StartError where a service cannot listen on its port; `names` are "collector" and "query"."""
    ports = {name: settings.collector_port if name == "collector" else settings.query_port for name in names}
    if len(names) > 1 and settings.collector_port == settings.query_port != 0:
        raise StartError(f"the collector and the query service cannot share port {settings.query_port}")
    for name, port in ports.items():
        if port:
            try:
                await _bind(settings.host, port)
            except OSError as error:
                raise cannot_listen(name, settings.host, port, error) from error


def cannot_listen(name: str, host: str, port: int, error: OSError) -> StartError:
    """Return the start error for a failure to listen."""
    is_in_use = error.errno == errno.EADDRINUSE
    reason = "another program listens there" if is_in_use else error.strerror or str(error)
    advice = f"--{name}-port (APIMETRY_{name.upper()}_PORT) sets another port, 0 picks a free one"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        advice = "--host (APIMETRY_HOST) must be an address of this machine"
    return StartError(f"cannot listen on {host}:{port}: {reason}; {advice}")


async def _bind(host: str, port: int) -> None:
    """Bind every address of a host as the listener will, and release it."""
    addresses = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    for family, kind, protocol, _, address in addresses:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
