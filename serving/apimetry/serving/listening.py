"""Listen on a port, and accept no more connections than the process has descriptors for.

asyncio's own server accepts a whole backlog of connections before it handles the first of them. It also logs a
traceback for every connection that the kernel refuses for want of a descriptor. So this module accepts connections
one by one, while there is room. At the limit, the connection that has waited longest for its client gives way. If no
connection waits for its client, new ones wait in the kernel. `connection` says what happens on a connection.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import Final, cast

from aiohttp import web

from apimetry.serving.connection import Connection
from apimetry.serving.connections import Connections
from apimetry.serving.descriptors import MAX_CONNECTIONS
from apimetry.serving.expectations import make_request
from apimetry.serving.repeats import RepeatedLine
from apimetry.serving.timers import Timeouts

logger = logging.getLogger(__name__)

HEAD_TIMEOUT_S: Final = 10.0
KEEPALIVE_S: Final = 75.0
STALL_TIMEOUT_S: Final = 60.0
# The kernel holds so many open connections until they are accepted.
BACKLOG: Final = 1024
ACCEPTED_AT_ONCE: Final = 64
RETRY_S: Final = 1.0


class Acceptor:
    """Accepts connections on one socket while `connections` has room; for one event loop."""

    def __init__(
        self, listening: socket.socket, server: web.Server, connections: Connections, timeouts: Timeouts
    ) -> None:
        self._socket = listening
        self._server = server
        self._connections = connections
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._accepting: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._is_reading = False
        self._refused = RepeatedLine(logger, "%d times no connection could be accepted, the last time: %s")
        self._unreadable = RepeatedLine(
            logger, "%d requests could not be read, the last one for: %s", level=logging.INFO
        )

    def start(self) -> None:
        """Accept from now on, unless the socket is closed; harmless when repeated."""
        self._retry = None
        if not self._is_reading and self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept)
            self._is_reading = True

    def close(self) -> None:
        """Accept no more connections, and close the socket."""
        self._stop()
        if self._retry is not None:
            self._retry.cancel()
        self._socket.close()

    def room(self) -> None:
        """Accept again: a connection has ended, or may be cut."""
        if self._retry is None:
            self.start()

    def _stop(self) -> None:
        if self._is_reading:
            self._loop.remove_reader(self._socket)
            self._is_reading = False

    def _accept(self) -> None:
        # The event loop calls this method because a client waits. So one connection may be cut for that client.
        # Whether a second client waits is not known: the loop below therefore cuts none.
        if self._connections.full:
            if not self._connections.make_room():
                self._stop()
            return
        for _ in range(min(ACCEPTED_AT_ONCE, self._connections.max_open - len(self._connections))):
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._fail(error)
                return
            accepted.setblocking(False)
            connection = Connection(self._server, self._connections, self._timeouts, self._unreadable)
            self._connections.add(connection)
            task = self._loop.create_task(self._connect(connection, accepted))
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)

    def _fail(self, error: OSError) -> None:
        self._refused.say(error.strerror or error)
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            # The kernel reports the waiting client again and again: accepting stops for a while. The disk needs
            # descriptors, too: an idle connection gives its descriptor back.
            self._connections.make_room()
            self._stop()
            self._retry = self._loop.call_later(RETRY_S, self.start)

    async def _connect(self, connection: Connection, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError as error:
            # The client had left before its connection was set up.
            accepted.close()
            self._connections.remove(connection)
            self._refused.say(error.strerror or error)


class Listener:
    """One application on one port; `url` is its address. `close` lets open requests finish."""

    def __init__(self, runner: web.AppRunner, acceptors: list[Acceptor], address: tuple[str, int]) -> None:
        self._runner = runner
        self._acceptors = acceptors
        host, port = address
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def close(self) -> None:
        """Stop accepting, let open requests finish within `grace_s`, and end the application."""
        for acceptor in self._acceptors:
            acceptor.close()
        await self._runner.cleanup()


async def listen(  # noqa: PLR0913 - a test shortens one limit at a time
    app: web.Application,
    host: str,
    port: int,
    *,
    grace_s: float,
    head_timeout_s: float = HEAD_TIMEOUT_S,
    stall_timeout_s: float = STALL_TIMEOUT_S,
    max_connections: int = MAX_CONNECTIONS,
) -> Listener:
    """Start the application and listen.

    Args:
        app: not yet started.
        host: a name or an address; the listener takes every address of a name.
        port: 0 picks a free one.
        grace_s: how long open requests may take when the listener closes.
        head_timeout_s: from a head's first byte to its end, and from a connection's begin to its first head's end.
        stall_timeout_s: how long a client may take no byte of its response.
        max_connections: open at once; see `descriptors`.

    Raises:
        OSError: the address is not available. The application has been ended.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=grace_s)
    await runner.setup()
    try:
        sockets = await _listening(host, port)
    except BaseException:
        await runner.cleanup()
        raise
    server = cast(web.Server, runner.server)
    server.request_factory = make_request(server.request_factory)
    connections = Connections(max_connections)
    timeouts = Timeouts(head_timeout_s, KEEPALIVE_S, stall_timeout_s)
    acceptors = [Acceptor(listening, server, connections, timeouts) for listening in sockets]

    def room() -> None:
        for acceptor in acceptors:
            acceptor.room()

    connections.on_room = room
    room()
    return Listener(runner, acceptors, sockets[0].getsockname()[:2])


_NOT_HERE: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


async def _listening(host: str, port: int) -> list[socket.socket]:
    """Return one listening socket per address of the host, all on one port; port 0 picks one free port for all."""
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(addresses):
        actual_port = sockets[0].getsockname()[1] if sockets and not port else address[1]
        try:
            sockets.append(_bound(socket.AddressFamily(family), (address[0], actual_port, *address[2:])))
        except OSError as error:
            # A name may stand for an address that this machine does not have: `localhost` without IPv6.
            failure = error
            if error.errno not in _NOT_HERE:
                break
    if failure is not None and (not sockets or failure.errno not in _NOT_HERE):
        for listening in sockets:
            listening.close()
        raise failure
    return sockets


def _bound(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # The IPv4 address of the same name has a socket of its own.
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
