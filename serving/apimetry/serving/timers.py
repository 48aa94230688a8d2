"""How long a connection waits for its client, and the timer that ends the wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a connection waits for its client, in seconds."""

    head_s: float
    """From the first byte of a head to its end; for the first head, from the begin of the connection."""
    keepalive_s: float
    """From a response to the first byte of the next head."""
    stall_s: float
    """How long the client may take no byte of its response."""


class Timer:
    """Calls a function once, `after_s` seconds after `begin`, unless `end` comes first; for one event loop."""

    def __init__(self, after_s: float, function: Callable[[], None]) -> None:
        self._after_s = after_s
        self._function = function
        self._handle: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Start the time, unless it runs already."""
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(self._after_s, self._function)

    def end(self) -> None:
        """Stop the time; harmless when it does not run."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
