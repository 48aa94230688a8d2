"""The bounded buffer between the host's threads and the exporter's.

Invariants:
- at most `max_events` events, and at most `max_bytes` estimated bytes but for one event more per thread that adds
  at the same instant; what is taken but not yet delivered counts too, until `release`.
- a full buffer drops the newest event and counts it.
- `add` takes no lock unless the buffer is full: a deque's append is atomic. So it is safe in signal handlers and in
  finalizers that interrupt another `add`.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from apimetry.middleware.event import FIXED_BYTES, estimate_data_bytes

if TYPE_CHECKING:
    from apimetry.middleware.event import RawEvent


class Buffer:
    """Events waiting for delivery. `add` from any thread; everything else from the exporter's thread.

    Mutable state: the deque (atomic operations only); `_added_bytes`, which racing adds may leave short by an event
    and which is put right whenever the deque runs empty; `_full_total`, under `_lock`, which is reentrant because
    a finalizer may add an event while its own thread counts one.
    """

    __slots__ = (
        "_added_bytes",
        "_full_total",
        "_held_events",
        "_lock",
        "_max_bytes",
        "_max_events",
        "_queue",
        "_released_bytes",
        "_room",
        "_taken_total",
        "_wake",
        "_wake_at",
    )

    def __init__(self, *, max_events: int, max_bytes: int, wake_at: int) -> None:
        self._queue: deque[tuple[RawEvent, int]] = deque()
        self._max_events = self._room = max_events
        self._max_bytes = max_bytes
        self._wake_at = min(wake_at, max_events)
        self._added_bytes = self._released_bytes = 0
        self._held_events = self._taken_total = self._full_total = 0
        self._lock = threading.RLock()
        # A lock as a binary semaphore: releasing it wakes the exporter, never blocks and may interrupt itself.
        self._wake = threading.Lock()
        self._wake.acquire()

    def add(self, event: RawEvent) -> bool:
        """Append an event and return True, or drop it, count it and return False. Never blocks."""
        queue = self._queue
        waiting = len(queue)
        url, data = event[2], event[15]
        size = FIXED_BYTES + len(url[0]) + len(url[1]) + len(event[10])
        if data:
            size += estimate_data_bytes(data)
        if waiting >= self._room or self._added_bytes - self._released_bytes + size > self._max_bytes:
            with self._lock:
                self._full_total += 1
            return False
        queue.append((event, size))
        self._added_bytes += size
        if waiting >= self._wake_at - 1:
            self.wake()
        return True

    def wake(self) -> None:
        """Let `wait` return at once."""
        if self._wake.locked():
            try:
                self._wake.release()
            except RuntimeError:
                return  # another thread was faster

    def wait(self, timeout_s: float) -> None:
        """Wait until `wake`, or a full batch, or the timeout."""
        self._wake.acquire(timeout=timeout_s)

    def take(self, max_events: int, max_bytes: int) -> tuple[list[RawEvent], int]:
        """Take a batch, oldest first, and its bytes. It counts against the bounds until `release`."""
        queue, taken_bytes = self._queue, 0
        batch: list[RawEvent] = []
        while queue and len(batch) < max_events and (not batch or taken_bytes < max_bytes):
            event, size = queue.popleft()
            batch.append(event)
            taken_bytes += size
        self._taken_total += len(batch)
        self._held_events = len(batch)
        self._room = self._max_events - self._held_events
        return batch, taken_bytes

    def release(self, taken_bytes: int) -> None:
        """Give back the room of the batch taken last."""
        self._held_events = 0
        self._room = self._max_events
        self._released_bytes += taken_bytes
        if not self._queue:
            self._released_bytes = self._added_bytes

    def __len__(self) -> int:
        return len(self._queue) + self._held_events

    @property
    def full_total(self) -> int:
        """Events dropped because the buffer was full."""
        return self._full_total

    @property
    def captured_total(self) -> int:
        """Events offered: taken, waiting or dropped."""
        return self._taken_total + len(self._queue) + self._full_total
