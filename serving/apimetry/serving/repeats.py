"""Says what happens again and again once in an interval, with how often."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

INTERVAL_S = 10.0


class RepeatedLine:
    """One kind of log line; for one event loop.

    Args:
        logger: where it is written.
        text: a format of two values: how often since the last line, and what the caller says of the last time.
        level: of `logging`.
        interval_s: no second line within it; what happens meanwhile is in the next one's count.
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
        self._said_s = float("-inf")
        self._count = 0

    def say(self, what: object) -> None:
        """Count one, and write the line unless there was one within the interval."""
        self._count += 1
        now_s = self._clock_s()
        if now_s - self._said_s < self._interval_s:
            return
        self._logger.log(self._level, self._text, self._count, what)
        self._said_s, self._count = now_s, 0
