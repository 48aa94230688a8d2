"""The open connections of one listener: how many there may be, and which of them give way.

A connection that waits for its client has no claim on its descriptor: for the next request, for the rest of a head,
for a body that nobody reads. When all are taken, the one that has waited longest is cut for a new one. A client that
does not take its answer for STALLED_S has no claim either.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

STALLED_S: Final = 10.0
READ_BYTES: Final = 64 * 1024


class Yielding(Protocol):
    """What can be asked to give up its descriptor."""

    def give_way(self) -> None:
        """Cut the connection now."""


class Connections:
    """The table; for one event loop. `on_room` is called whenever one might be accepted again."""

    def __init__(self, most: int, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self.on_room: Callable[[], None] = lambda: None
        self.buffer = memoryview(bytearray(READ_BYTES))
        """What all connections read into, one after another; so no read is larger."""
        self._clock_s = clock_s
        self._open: set[Yielding] = set()
        # In the order in which they began to wait.
        self._waiting: dict[Yielding, None] = {}
        self._stalled: dict[Yielding, float] = {}

    def __len__(self) -> int:
        return len(self._open)

    @property
    def full(self) -> bool:
        """Whether none can be accepted before one is gone."""
        return len(self._open) >= self.most

    def add(self, connection: Yielding) -> None:
        """One was accepted, and waits for its first head."""
        self._open.add(connection)
        self._waiting[connection] = None

    def remove(self, connection: Yielding) -> None:
        """One is gone; harmless when repeated."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)
        self._stalled.pop(connection, None)
        self.on_room()

    def waits(self, connection: Yielding) -> None:
        """One waits for its client from now on."""
        if connection in self._open:
            self._waiting.setdefault(connection)
            self.on_room()

    def works(self, connection: Yielding) -> None:
        """One has a request that is worked on."""
        self._waiting.pop(connection, None)

    def stalls(self, connection: Yielding) -> None:
        """One's client does not take its answer."""
        if connection in self._open:
            self._stalled[connection] = self._clock_s()

    def moves(self, connection: Yielding) -> None:
        """It takes it again."""
        self._stalled.pop(connection, None)

    def make_room(self) -> bool:
        """Cut the connection with the least claim; returns whether there was any."""
        connection = next(iter(self._waiting), None) or self._longest_stalled()
        if connection is None:
            return False
        # It stays in the table until its transport is gone, but is not cut a second time.
        self._waiting.pop(connection, None)
        self._stalled.pop(connection, None)
        connection.give_way()
        return True

    def _longest_stalled(self) -> Yielding | None:
        connection, since_s = next(iter(self._stalled.items()), (None, 0.0))
        return connection if self._clock_s() - since_s >= STALLED_S else None
