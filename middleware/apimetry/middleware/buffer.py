"""The bounded buffer between the host's threads and the exporter's.

Invariants:
- at most `max_events` events and at most `max_bytes` bytes; threads that add at the same instant may exceed the
  limits by one event per thread. Bytes are counted in slots of `SLOT_BYTES`: an ordinary event takes one slot, so one
  comparison of lengths is enough; a large event takes more. A batch that is taken counts until `release`.
- a full buffer drops the newest event and counts it.
- `Exporter.submit` appends an ordinary event to `queue` itself while the queue is shorter than `fast_limit[0]`; most
  events never reach `add`. A deque's append is atomic: it takes no lock, and is safe in signal handlers and in
  finalizers that interrupt another `add`. In a forked process `fast_limit[0]` is 0: so the process notices the fork.
- an idle exporter sleeps until `add` wakes it: no event waits for a timer that started before it.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from apimetry.middleware.event import SLOT_BYTES, count_slots
from apimetry.middleware.forks import make_mark

if TYPE_CHECKING:
    from apimetry.middleware.event import RawEvent


class Buffer:
    """Hold the events that wait for delivery. `add` from any thread; everything else from the exporter's thread.

    Mutable state:
    - the deque, by atomic operations only;
    - under `_lock`: `_extra_slots` (of large events that wait), `_held_slots`, `_full_total`, and `_room` and
      `fast_limit`, which are computed from them. The lock is reentrant: a finalizer may add an event while its own
      thread holds the lock;
    - `is_idle`, which the exporter alone sets. It looks at the deque once more after that.

    Attributes:
        queue: the events, oldest first.
        fast_limit: under index 0, how many events may wait before the next one takes `add`; 0 in another process.
        is_idle: whether the exporter sleeps until there is an event. A caller that adds one then calls `wake`.
    """

    __slots__ = (
        "_extra_slots",
        "_full_total",
        "_held_events",
        "_held_slots",
        "_lock",
        "_max_slots",
        "_room",
        "_taken_total",
        "_wake",
        "_wake_at",
        "fast_limit",
        "is_idle",
        "queue",
    )

    def __init__(self, *, max_events: int, max_bytes: int, wake_at: int) -> None:
        self.queue: deque[RawEvent] = deque()
        self._max_slots = max(min(max_events, max_bytes // SLOT_BYTES), 1)
        self._wake_at = min(wake_at, self._max_slots)
        self._extra_slots = self._held_slots = self._held_events = self._taken_total = self._full_total = 0
        self.is_idle = False
        self._lock = threading.RLock()
        # A lock as a binary semaphore: releasing it wakes the exporter, never blocks and may interrupt itself.
        self._wake = threading.Lock()
        self._wake.acquire()
        self.fast_limit = make_mark()
        self._measure_room()

    def add(self, event: RawEvent) -> bool:
        """Append an event and return True, or drop it, count it and return False."""
        extra = count_slots(event) - 1
        with self._lock:
            if len(self.queue) + extra >= self._room:
                self._full_total += 1
                return False
            if extra:
                self._extra_slots += extra  # before `take` can see the event
                self._measure_room()
            self.queue.append(event)
        if self.is_idle or len(self.queue) >= self._wake_at:
            self.wake()
        return True

    def _measure_room(self) -> None:
        self._room = self._max_slots - self._held_slots - self._extra_slots
        self.fast_limit[0] = max(min(self._room, self._wake_at - 1), 0)

    def wake(self) -> None:
        """Let `wait` return at once."""
        if self._wake.locked():
            try:
                self._wake.release()
            except RuntimeError:
                return  # another thread was faster

    def wait(self, timeout_s: float) -> bool:
        """Wait until `wake`, or a full batch (True), or the timeout (False)."""
        return self._wake.acquire(timeout=timeout_s)

    def wait_for_first(self, timeout_s: float) -> None:
        """Wait until there is an event, or `wake`, or the timeout."""
        self.is_idle = True
        if not self.queue:
            self._wake.acquire(timeout=timeout_s)
        self.is_idle = False

    def take(self, max_events: int, max_bytes: int) -> list[RawEvent]:
        """Take a batch, oldest first. It counts against the bounds until `release`."""
        popleft, max_slots = self.queue.popleft, max(max_bytes // SLOT_BYTES, 1)
        slots = count = min(len(self.queue), max_events, max_slots)
        if not self._extra_slots:  # read after `count`: none of these events is large
            batch = [popleft() for _ in range(count)]
        else:
            batch, slots = [], 0
            while len(batch) < count and slots < max_slots:
                batch.append(popleft())
                slots += count_slots(batch[-1])
        with self._lock:
            self._taken_total += len(batch)
            self._held_events, self._held_slots = len(batch), slots
            self._extra_slots -= slots - len(batch)
            self._measure_room()
        return batch

    def release(self) -> None:
        """Free the room of the last batch."""
        with self._lock:
            self._held_events = self._held_slots = 0
            self._measure_room()

    def __len__(self) -> int:
        return len(self.queue) + self._held_events

    @property
    def has_batch(self) -> bool:
        """Return whether a full batch waits."""
        return len(self.queue) >= self._wake_at

    @property
    def full_total(self) -> int:
        """Return the number of events that were dropped because the buffer was full."""
        return self._full_total

    @property
    def captured_total(self) -> int:
        """Return the number of events that were added: taken, waiting or dropped."""
        return self._taken_total + len(self.queue) + self._full_total
