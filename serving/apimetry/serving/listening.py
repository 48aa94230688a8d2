"""Listening on a port, with a deadline for the head of the first request on each connection.

aiohttp bounds the size of a request's head but not its time: a client that sends a byte a second keeps its connection
for hours. So a connection belongs to a gate until a whole head came over it, and to aiohttp from then on; one that
does not get there in time is cut. Later heads on the same connection fall under `KEEPALIVE_S`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from aiohttp import web

HEAD_TIMEOUT_S: Final = 10.0
KEEPALIVE_S: Final = 75.0
# Open connections that the kernel holds until they are accepted.
BACKLOG: Final = 1024

_END_OF_HEAD: Final = b"\r\n\r\n"


class HeadGate(asyncio.Protocol):
    """Passes everything on to `inner`, and leaves once it saw the end of a head; cuts the connection otherwise."""

    def __init__(self, inner: asyncio.Protocol, timeout_s: float) -> None:
        self._inner = inner
        self._timeout_s = timeout_s
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)
        self._deadline = asyncio.get_running_loop().call_later(self._timeout_s, self._transport.abort)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        seen = self._tail + data
        self._tail = seen[-3:]
        if _END_OF_HEAD in seen and self._transport is not None:
            self._leave()
            self._transport.set_protocol(self._inner)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """See asyncio.Protocol."""
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._leave()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._inner.resume_writing()

    def _leave(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Listener:
    """One application on one port: `url` until `close`, which lets open requests finish."""

    def __init__(self, runner: web.AppRunner, server: asyncio.Server) -> None:
        self._runner = runner
        self._server = server
        host, port = server.sockets[0].getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def close(self) -> None:
        """Stop accepting, finish what is open within the grace, and end the application."""
        self._server.close()
        await self._runner.cleanup()


async def listen(
    app: web.Application, host: str, port: int, *, grace_s: float, head_timeout_s: float = HEAD_TIMEOUT_S
) -> Listener:
    """Start the application and listen; raises OSError where the address cannot be had, and has ended it then.

    Args:
        app: not yet started.
        host: name or address.
        port: 0 picks a free one.
        grace_s: how long open requests may take at the end.
        head_timeout_s: from a connection's begin to the end of its first request's head.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=grace_s, keepalive_timeout=KEEPALIVE_S)
    await runner.setup()
    try:
        serve = cast(Callable[[], asyncio.Protocol], runner.server)
        server = await asyncio.get_running_loop().create_server(
            lambda: HeadGate(serve(), head_timeout_s), host, port, backlog=BACKLOG
        )
    except BaseException:
        await runner.cleanup()
        raise
    return Listener(runner, server)
