"""The connection below a streamed response: how much of it waits unsent, and how it is cut."""

from __future__ import annotations

import socket
import struct

from aiohttp import web

# Unsent bytes in the kernel. With more of them, a steady reader seems to stop and then to jump.
_UNSENT_BYTES = 128 * 1024


def keep_little_unsent(request: web.Request) -> None:
    """Let the kernel take a piece only after it sent most of the last one, so that the reader's pace shows."""
    connection = request.transport.get_extra_info("socket") if request.transport else None
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if connection is not None and option is not None and connection.family != getattr(socket, "AF_UNIX", None):
        connection.setsockopt(socket.IPPROTO_TCP, option, _UNSENT_BYTES)


def reset(request: web.Request) -> None:
    """End the connection with an RST, in every version of HTTP."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
