"""Log lines for an event that repeats: one line per interval, with the count of events."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

INTERVAL_S = 10.0


class RepeatedLine:
    """One kind of log line; for one event loop.

    Args:
        logger: gets the line.
        text: a format of two values: the count of events since the last line, and the cause of the last event.
        level: of `logging`.
        interval_s: the shortest time between two lines. The next line counts the events of the time between.
        clock_s: any clock that only goes forward.
    """

    def __init__(
        self,
        logger: logging.Logger,
        text: str,
        *,
        level: int = logging.WARNING,
        interval_s: float = INTERVAL_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._text = text
        self._level = level
        self._interval_s = interval_s
        self._clock_s = clock_s
        self._written_s = float("-inf")
        self._count = 0

    def say(self, cause: object) -> None:
        """Count one event, and write the line unless one was written within the interval."""
        self._count += 1
        now_s = self._clock_s()
        if now_s - self._written_s < self._interval_s:
            return
        self._logger.log(self._level, self._text, self._count, cause)
        self._written_s, self._count = now_s, 0
