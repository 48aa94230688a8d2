"""The middleware's errors and its one place where faults are swallowed.

MiddlewareError
└── OptionError (also ValueError): an option that cannot be read; raised at construction, never in a request
"""

from __future__ import annotations

import logging

logger = logging.getLogger("apimetry.middleware")


class MiddlewareError(Exception):
    """Base of every error the middleware raises on its own behalf."""


class OptionError(MiddlewareError, ValueError):
    """An option has a value that cannot be used; the message names it and what is allowed."""


def error_name(error: BaseException) -> str:
    """Name an exception by its class; a group of one (anyio's task groups make them) by the class inside."""
    inner = getattr(error, "exceptions", None)
    while isinstance(inner, tuple) and len(inner) == 1:
        error = inner[0]
        inner = getattr(error, "exceptions", None)
    return type(error).__name__


def is_cancellation(error: BaseException) -> bool:
    """Tell a cancelled task's exception, asyncio's or trio's, from a failure; without importing either."""
    return not isinstance(error, Exception) and type(error).__name__ in ("CancelledError", "Cancelled")


class Faults:
    """Logs each kind of fault once and counts the rest; never raises.

    Thread-safe: its mutable state is one dictionary that is only read and set, so a race costs a second log
    line at most.
    """

    __slots__ = ("_counts", "_silent")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._silent = False

    def report(self, kind: str, message: str, *values: object) -> None:
        """Log `message` if this is the first fault of its kind."""
        count = self._counts.get(kind, 0)
        self._counts[kind] = count + 1
        if count == 0 and not self._silent:
            logger.warning("apimetry: %s (logged once)", message % values)

    def forget(self, kind: str) -> int:
        """Let the next fault of this kind be logged again; returns how many there were."""
        return self._counts.pop(kind, 0)

    def silence(self) -> None:
        """Log nothing any more: the interpreter is going down, and a log stream may be gone or locked."""
        self._silent = True
