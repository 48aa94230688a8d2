"""A token bucket per key, so that one key far over its rate does not slow the others."""

import time
from collections import OrderedDict
from collections.abc import Callable

BURST_S = 10.0
MAX_KEYS = 10_000


class RateLimiter:
    """Events per second and key, with bursts of ten seconds' worth; a rate of 0 limits nothing.

    A batch is let through while the bucket is not empty and may overdraw it: batches are larger than what drips
    in between them, and the debt delays the next one. Refusing costs no more than reading the headers.
    """

    def __init__(self, events_per_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._rate = events_per_s
        self._clock_s = clock_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def set_rate(self, events_per_s: float) -> None:
        """Hold another rate from now on; debts stay."""
        self._rate = events_per_s

    def wait_s(self, key: str) -> float:
        """How long this key has to wait; 0 when it may send."""
        return max(0.0, -self._level(key) / self._rate) if self._rate else 0.0

    def spend(self, key: str, events: int) -> None:
        """Take what a batch held."""
        if not self._rate:
            return
        self._buckets[key] = (self._level(key) - events, self._clock_s())
        self._buckets.move_to_end(key)
        if len(self._buckets) > MAX_KEYS:
            self._buckets.popitem(last=False)

    def _level(self, key: str) -> float:
        burst = self._rate * BURST_S
        level, at_s = self._buckets.get(key, (burst, self._clock_s()))
        return min(burst, level + (self._clock_s() - at_s) * self._rate)
