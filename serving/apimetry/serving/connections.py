"""The open connections of one listener: how many are allowed, and which connection gives way to a new one.

A connection may be cut while it waits for its client: for the next request, for the rest of a head, or for a body
that no handler reads. When all descriptors are taken, the connection that has waited longest is cut for a new one.
A connection whose client takes no byte of its response for STALLED_S may be cut, too.

Responses that clients do not take are held to MAX_UNSENT_BYTES together: beyond that, the connection that has stalled
the longest is cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

STALLED_S: Final = 10.0
READ_BYTES: Final = 64 * 1024
MAX_UNSENT_BYTES: Final = 64 * 1024 * 1024
CONNECTION_BYTES: Final = 160 * 1024
"""What a connection takes at most, without its response: a head and the bytes behind it."""
HTTP_CACHE_BYTES: Final = 64 * 1024 * 1024
"""What aiohttp and yarl remember of the last URLs and headers: hundreds of entries, as long as a line may be."""


class Yielding(Protocol):
    """A connection that can give up its descriptor."""

    def give_way(self) -> None:
        """Cut the connection now."""

    @property
    def unsent_bytes(self) -> int:
        """Return how many bytes of its response wait for the client."""


class _Stall(NamedTuple):
    since_s: float
    unsent_bytes: int


class Connections:
    """The table of open connections; for one event loop.

    The table calls `on_room` whenever a connection might be accepted again.
    """

    def __init__(self, max_open: int, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.max_open = max_open
        self.on_room: Callable[[], None] = lambda: None
        self.buffer = memoryview(bytearray(READ_BYTES))
        """All connections read into this buffer, one after another. So no single read is larger."""
        self._clock_s = clock_s
        self._open: set[Yielding] = set()
        # Both in the order in which the connections began to wait or to stall.
        self._waiting: dict[Yielding, None] = {}
        self._stalled: dict[Yielding, _Stall] = {}
        self._unsent_bytes = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def full(self) -> bool:
        """Return whether a connection must end before another can be accepted."""
        return len(self._open) >= self.max_open

    def add(self, connection: Yielding) -> None:
        """Add an accepted connection, which waits for its first head."""
        self._open.add(connection)
        self._waiting[connection] = None

    def remove(self, connection: Yielding) -> None:
        """Remove a connection that has ended; harmless when repeated."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)
        self.moves(connection)
        self.on_room()

    def waits(self, connection: Yielding) -> None:
        """Note that a connection waits for its client from now on."""
        if connection in self._open:
            self._waiting.setdefault(connection)
            self.on_room()

    def works(self, connection: Yielding) -> None:
        """Note that a connection has a request, which is being handled."""
        self._waiting.pop(connection, None)

    def stalls(self, connection: Yielding) -> None:
        """Note that a connection's client takes no byte of its response."""
        if connection not in self._open:
            return
        self.moves(connection)
        self._stalled[connection] = _Stall(self._clock_s(), connection.unsent_bytes)
        self._unsent_bytes += connection.unsent_bytes
        while self._unsent_bytes > MAX_UNSENT_BYTES:
            self._cut(next(iter(self._stalled)))

    def moves(self, connection: Yielding) -> None:
        """Note that a connection's client takes its response again."""
        stall = self._stalled.pop(connection, None)
        if stall is not None:
            self._unsent_bytes -= stall.unsent_bytes

    def make_room(self) -> bool:
        """Cut the connection that waited longest, or else one that stalled; return False if there is none."""
        connection = next(iter(self._waiting), None) or self._longest_stalled()
        if connection is None:
            return False
        self._cut(connection)
        return True

    def _cut(self, connection: Yielding) -> None:
        # The connection stays in the table until its transport is gone, but it is not cut a second time.
        self._waiting.pop(connection, None)
        self.moves(connection)
        connection.give_way()

    def _longest_stalled(self) -> Yielding | None:
        connection, stall = next(iter(self._stalled.items()), (None, _Stall(0.0, 0)))
        return connection if self._clock_s() - stall.since_s >= STALLED_S else None
