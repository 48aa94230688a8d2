"""The open connections of one listener: how many are allowed, and which connection gives way to a new one.

A connection may be cut while it waits for its client: for the next request, for the rest of a head, or for a body
that no handler reads. When all descriptors are taken, the connection that has waited longest is cut for a new one.
A connection whose client takes no byte of its response for STALLED_S may be cut, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

STALLED_S: Final = 10.0
READ_BYTES: Final = 64 * 1024


class Yielding(Protocol):
    """A connection that can give up its descriptor."""

    def give_way(self) -> None:
        """Cut the connection now."""


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
        self._stalled: dict[Yielding, float] = {}

    def __len__(self) -> int:
        return len(self._open)

    @property
    def full(self) -> bool:
        """Whether a connection must end before another can be accepted."""
        return len(self._open) >= self.max_open

    def add(self, connection: Yielding) -> None:
        """Add an accepted connection, which waits for its first head."""
        self._open.add(connection)
        self._waiting[connection] = None

    def remove(self, connection: Yielding) -> None:
        """Remove a connection that has ended; harmless when repeated."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)
        self._stalled.pop(connection, None)
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
        if connection in self._open:
            self._stalled[connection] = self._clock_s()

    def moves(self, connection: Yielding) -> None:
        """Note that a connection's client takes its response again."""
        self._stalled.pop(connection, None)

    def make_room(self) -> bool:
        """Cut the connection that waited longest, or else one that stalled; return False if there is none."""
        connection = next(iter(self._waiting), None) or self._longest_stalled()
        if connection is None:
            return False
        # The connection stays in the table until its transport is gone, but it is not cut a second time.
        self._waiting.pop(connection, None)
        self._stalled.pop(connection, None)
        connection.give_way()
        return True

    def _longest_stalled(self) -> Yielding | None:
        connection, since_s = next(iter(self._stalled.items()), (None, 0.0))
        return connection if self._clock_s() - since_s >= STALLED_S else None
