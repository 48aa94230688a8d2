"""The errors of the middleware, and the one place that swallows its faults.

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
    """Return the class name of an exception, without the exception that a framework wraps around it.

    Wrappers are groups of one exception, by anyio's task groups, and Litestar's exception for a fault in a stream.
    """
    inner: BaseException | None = error
    while inner is not None:
        error = inner
        members = getattr(error, "exceptions", None)
        if isinstance(members, tuple) and len(members) == 1:
            inner = members[0]
        else:
            inner = error.__cause__ if type(error).__name__ == "LitestarException" else None
    return type(error).__name__


def is_cancellation(error: BaseException) -> bool:
    """Return whether an exception cancels a task, of asyncio or of trio. Neither is imported."""
    return not isinstance(error, Exception) and type(error).__name__ in ("CancelledError", "Cancelled")


class Faults:
    """Log every kind of fault once and count the rest; never raise.

    Thread-safe. Mutable state: one dictionary, whose values are only read and set: a race costs a second log line at
    most.
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
