"""The bounded buffer between the host's threads and the exporter's.

Invariants:
- at most `max_events` events and at most `max_bytes` estimated bytes, but for one event more per thread that adds at
  the same instant. Bytes are counted in slots of `SLOT_BYTES`: an ordinary event takes one, so that for it the one
  comparison of lengths is all; a large one takes more. What is taken but not yet delivered counts until `release`.
- a full buffer drops the newest event and counts it.
- `add` takes no lock unless the buffer is full or the event large: a deque's append is atomic. So it is safe in
  signal handlers and in finalizers that interrupt another `add`.
- an idle exporter sleeps until `add` wakes it: no event waits for a timer that started before it.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from apimetry.middleware.event import SLOT_BYTES, SLOT_CHARACTERS, count_slots

if TYPE_CHECKING:
    from apimetry.middleware.event import RawEvent


class Buffer:
    """Events waiting for delivery. `add` from any thread; everything else from the exporter's thread.

    Mutable state: the deque (atomic operations only); `_extra_slots` (of large events that wait), `_held_slots` and
    what follows from them, `_room` and `_calm`, and `_full_total`, all under `_lock`, which is reentrant because a
    finalizer may add an event while its own thread holds it; `_is_idle`, set by the exporter alone, which looks at
    the deque once more after setting it.
    """

    __slots__ = (
        "_calm",
        "_extra_slots",
        "_full_total",
        "_held_events",
        "_held_slots",
        "_is_idle",
        "_lock",
        "_max_slots",
        "_queue",
        "_room",
        "_taken_total",
        "_wake",
        "_wake_at",
    )

    def __init__(self, *, max_events: int, max_bytes: int, wake_at: int) -> None:
        self._queue: deque[RawEvent] = deque()
        self._max_slots = max(min(max_events, max_bytes // SLOT_BYTES), 1)
        self._wake_at = min(wake_at, self._max_slots)
        self._extra_slots = self._held_slots = self._held_events = self._taken_total = self._full_total = 0
        self._is_idle = False
        self._lock = threading.RLock()
        # A lock as a binary semaphore: releasing it wakes the exporter, never blocks and may interrupt itself.
        self._wake = threading.Lock()
        self._wake.acquire()
        self._measure_room()

    def add(self, event: RawEvent) -> bool:
        """Append an event and return True, or drop it, count it and return False. Never blocks."""
        queue = self._queue
        if (
            len(queue) >= self._calm
            or event[15] is not None
            or len(event[2]) + len(event[3]) + len(event[10]) > SLOT_CHARACTERS
        ):
            return self._add_measured(event)
        queue.append(event)
        if self._is_idle:
            self.wake()
        return True

    def _add_measured(self, event: RawEvent) -> bool:
        """Add an event that is large, or that fills a batch or the buffer."""
        extra = count_slots(event) - 1
        with self._lock:
            if len(self._queue) + extra >= self._room:
                self._full_total += 1
                return False
            self._queue.append(event)
            if extra:
                self._extra_slots += extra
                self._measure_room()
        if self._is_idle or len(self._queue) >= self._wake_at:
            self.wake()
        return True

    def _measure_room(self) -> None:
        self._room = self._max_slots - self._held_slots - self._extra_slots
        self._calm = min(self._room, self._wake_at - 1)

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
        self._is_idle = True
        if not self._queue:
            self._wake.acquire(timeout=timeout_s)
        self._is_idle = False

    def take(self, max_events: int, max_bytes: int) -> list[RawEvent]:
        """Take a batch, oldest first. It counts against the bounds until `release`."""
        queue, max_slots, slots = self._queue, max_bytes // SLOT_BYTES, 0
        batch: list[RawEvent] = []
        while queue and len(batch) < max_events and (not batch or slots < max_slots):
            event = queue.popleft()
            batch.append(event)
            slots += count_slots(event)
        with self._lock:
            self._taken_total += len(batch)
            self._held_events, self._held_slots = len(batch), slots
            self._extra_slots -= slots - len(batch)
            self._measure_room()
        return batch

    def release(self) -> None:
        """Give back the room of the batch taken last."""
        with self._lock:
            self._held_events = self._held_slots = 0
            self._measure_room()

    def __len__(self) -> int:
        return len(self._queue) + self._held_events

    @property
    def has_batch(self) -> bool:
        """Whether a full batch waits."""
        return len(self._queue) >= self._wake_at

    @property
    def full_total(self) -> int:
        """Events dropped because the buffer was full."""
        return self._full_total

    @property
    def captured_total(self) -> int:
        """Events offered: taken, waiting or dropped."""
        return self._taken_total + len(self._queue) + self._full_total
