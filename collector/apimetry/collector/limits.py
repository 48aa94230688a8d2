"""A token bucket per key, so that a key far over its rate does not slow other keys."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

BURST_S = 10.0
MAX_KEYS = 10_000
BUCKET_BYTES = 500


class Bucket(NamedTuple):
    """One key's token bucket: its level in events at one time, and the size of the key's last batch."""

    level: float
    at_s: float
    last_events: int


class RateLimiter:
    """Limits events per second and key, with bursts of ten seconds' worth; a rate of 0 limits nothing.

    A key may send while its bucket is not empty. A batch may overdraw the bucket: a batch is larger than the refill
    between two batches. The debt delays the key's next batch. A refusal costs no more than reading the headers.

    The size of a batch is known only after the batch was read. Until then, the bucket is charged for the size of the
    key's last batch: otherwise all batches that wait for the end of a debt would be admitted together.
    """

    def __init__(self, events_per_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._rate = events_per_s
        self._clock_s = clock_s
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def set_rate(self, events_per_s: float) -> None:
        """Apply another rate from now on; debts stay."""
        self._rate = events_per_s

    def wait_s(self, key: str) -> float:
        """Return how long the key has to wait, in seconds; 0 when it may send."""
        return max(0.0, -self._bucket(key).level / self._rate) if self._rate else 0.0

    def charge(self, key: str) -> int:
        """Charge the size of the key's last batch, and return that size for `settle`."""
        if not self._rate:
            return 0
        bucket = self._bucket(key)
        self._buckets[key] = bucket._replace(level=bucket.level - bucket.last_events)
        return bucket.last_events

    def settle(self, key: str, charged: int, events: int) -> None:
        """Replace the charged size by the batch's real size; 0 events if the batch was not read."""
        if not self._rate:
            return
        level, now_s, last_events = self._bucket(key)
        self._buckets[key] = Bucket(level + charged - events, now_s, events or last_events)
        self._buckets.move_to_end(key)
        if len(self._buckets) > MAX_KEYS:
            self._buckets.popitem(last=False)

    def _bucket(self, key: str) -> Bucket:
        """Return the key's bucket as it is now."""
        burst, now_s = self._rate * BURST_S, self._clock_s()
        bucket = self._buckets.get(key, Bucket(burst, now_s, 0))
        level = min(burst, bucket.level + (now_s - bucket.at_s) * self._rate)
        return Bucket(level, now_s, bucket.last_events)
