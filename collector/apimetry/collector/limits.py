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

    What a batch holds is known after it was read. Until then it is charged what the key's last one held: otherwise
    all that wait for the end of a debt would come in together.
    """

    def __init__(self, events_per_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._rate = events_per_s
        self._clock_s = clock_s
        self._buckets: OrderedDict[str, tuple[float, float, int]] = OrderedDict()

    def set_rate(self, events_per_s: float) -> None:
        """Hold another rate from now on; debts stay."""
        self._rate = events_per_s

    def wait_s(self, key: str) -> float:
        """How long this key has to wait; 0 when it may send."""
        return max(0.0, -self._bucket(key)[0] / self._rate) if self._rate else 0.0

    def charge(self, key: str) -> int:
        """Take what the key's last batch held, and return it, for `settle`."""
        if not self._rate:
            return 0
        level, now_s, last = self._bucket(key)
        self._buckets[key] = (level - last, now_s, last)
        return last

    def settle(self, key: str, charged: int, events: int) -> None:
        """Take what a batch held instead of what was charged; 0 events when nothing of it was read."""
        if not self._rate:
            return
        level, now_s, last = self._bucket(key)
        self._buckets[key] = (level + charged - events, now_s, events or last)
        self._buckets.move_to_end(key)
        if len(self._buckets) > MAX_KEYS:
            self._buckets.popitem(last=False)

    def _bucket(self, key: str) -> tuple[float, float, int]:
        """The level now, the time, and the events of the key's last batch."""
        burst, now_s = self._rate * BURST_S, self._clock_s()
        level, at_s, last = self._buckets.get(key, (burst, now_s, 0))
        return min(burst, level + (now_s - at_s) * self._rate), now_s, last
