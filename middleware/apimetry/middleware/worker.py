"""The exporter's thread: takes batches from one buffer and delivers them, in one process.

The pipeline: take a batch; encode every event once; post until delivered, refused for good, or given up at exit.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import threading
import time
import uuid
from typing import TYPE_CHECKING, Final

from apimetry.middleware.buffer import Buffer
from apimetry.middleware.delivery import Connection, Outcome
from apimetry.middleware.event import DropReason
from apimetry.middleware.rows import make_row, measure_epoch_ns
from apimetry.middleware.wire import LIBRARY_VERSION, join_rows, make_row_encoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from apimetry.middleware.errors import Faults
    from apimetry.middleware.event import RawEvent
    from apimetry.middleware.host import Host
    from apimetry.middleware.options import Options
    from apimetry.middleware.overflow import Overflow

FIRST_BACKOFF_S: Final = 0.25
MAX_BACKOFF_S: Final = 30.0
_EXIT_BACKOFF_S: Final = 0.1
_IDLE_S: Final = 3600.0
_ADOPT_EVERY_S: Final = 60.0
_SETTLE_SHARE: Final = 0.1
"""After a pause, the first event waits this share of the flush interval for further events: 50 ms by default."""
_EVENTS_AT_A_TIME: Final = 200
"""Events that are encoded, in some 0.3 ms, before the thread gives the interpreter's lock to a waiting host thread.

A host thread that only computes keeps the lock for 5 ms. So the thread keeps the lock while a full batch waits."""
_LOOK_S: Final = 0.05
"""How often a waiting batch checks whether the host's server is stopping. An idle thread does not check."""
_dice: Final = random.SystemRandom()
"""Not the module's own generator: its draws belong to the host, which may have seeded it."""


class Worker:
    """Hold the buffer, thread, connection and counters of one process.

    Mutable state:
    - the buffer guards itself;
    - `is_started`, a lock: the thread that starts the worker's thread takes it;
    - `_sent`, `_dropped` and `_is_refused` belong to the worker's thread;
    - `_deadline` (set once, at exit) and `_waiters` (a dictionary, used through atomic operations) carry the requests
      of other threads;
    - `_reported_lost` is the number of lost events that the last flush reported.
    """

    def __init__(self, options: Options, faults: Faults, host: Host) -> None:
        self.pid = os.getpid()
        self.instance = uuid.uuid4().hex
        self.buffer = Buffer(
            max_events=options.max_buffer_events,
            max_bytes=options.max_buffer_bytes,
            wake_at=options.max_batch_events,
        )
        self._options = options
        self._faults = faults
        self._host = host
        self._encode_row = make_row_encoder()
        self._connection = Connection(options)
        self._overflow = _make_overflow(options, self.instance)
        self._retry_at = self._paused_until = self._next_adoption = -math.inf
        self._attempts = 0
        self._started_us = time.time_ns() // 1000
        self._library = f"apimetry-python/{LIBRARY_VERSION}"
        self._sent = 0
        self._dropped = {reason: 0 for reason in DropReason if reason is not DropReason.buffer_full}
        self._waiters: dict[threading.Event, None] = {}
        self._deadline: float | None = None
        self._stopping = self._has_stored = self._is_refused = False
        self._reported_lost = 0
        self._last_drain = -math.inf
        # Wakes a backoff; the buffer's own wake ends a wait for a full batch, which must not end a backoff.
        self._urgent = threading.Lock()
        self._urgent.acquire()
        self.is_started = threading.Lock()
        self.at_end: Callable[[], object] = bool
        self.thread = threading.Thread(target=self._run, name="apimetry-exporter", daemon=True)

    def counters(self) -> dict[str, object]:
        """Return captured, sent and dropped by reason, cumulative for this process."""
        dropped = {DropReason.buffer_full.value: self.buffer.full_total}
        dropped.update((reason.value, count) for reason, count in self._dropped.items())
        return {
            "captured": self.buffer.captured_total,
            "sent": self._sent,
            "dropped": {reason: count for reason, count in dropped.items() if count},
        }

    def flush(self, timeout_s: float) -> bool:
        """Have everything that is buffered sent now; True when the collector took all of it within the timeout.

        False also if an event was lost since the last flush, or if the collector refused the last batch.
        """
        reported_lost, done = self._reported_lost, threading.Event()
        self._waiters[done] = None
        self._hurry()
        is_sent = done.wait(timeout_s)
        self._waiters.pop(done, None)
        self._reported_lost = lost = sum(self._dropped.values())
        return is_sent and lost == reported_lost and not (self._has_stored or self._is_refused)

    def stop(self, timeout_s: float) -> bool:
        """Deliver the buffered events within the timeout, then end the thread; True when all were delivered."""
        self.end(timeout_s)
        self.thread.join(timeout_s)
        return not len(self.buffer)

    def end(self, timeout_s: float) -> None:
        """Do the same as `stop`, without waiting for the end."""
        self._deadline = time.monotonic() + timeout_s
        self._stopping = True
        self._hurry()

    def hasten(self, timeout_s: float) -> bool:
        """Flush at exit: from now on, no wait of the thread exceeds the timeout."""
        self._deadline = time.monotonic() + timeout_s
        return self.flush(timeout_s)

    def abandon(self) -> None:
        """Release the resources of the parent, in a forked child."""
        if self._overflow is not None:
            self._overflow.abandon()

    def _hurry(self) -> None:
        with contextlib.suppress(RuntimeError):  # already released: the thread has not noticed yet
            self._urgent.release()
        self.buffer.wake()

    def _run(self) -> None:
        self._open_overflow()
        while True:
            try:
                self._gather()
                self._drain()
            except Exception:  # noqa: BLE001 - a worker loop: one fault must not end delivery
                self._faults.report("exporter", "the exporter failed and goes on")
            if not len(self.buffer):
                for waiter in list(self._waiters):
                    waiter.set()
            if self._stopping:
                self._connection.close()
                if self._overflow is not None:
                    self._overflow.close()
                self.at_end()
                return

    def _gather(self) -> None:
        """Wait until there are events to send and no reason to wait for more.

        In traffic, a batch goes out each flush interval; after a pause the first event does not wait that long;
        a full batch, a flush, an exit and a server that stops send at once.
        """
        interval_s = self._options.flush_interval_s
        stored_wait_s = max(self._retry_at - time.monotonic(), 0.0) if self._has_stored else _IDLE_S
        self.buffer.wait_for_first(min(stored_wait_s, _IDLE_S))
        if not len(self.buffer):
            return
        end = max(time.monotonic() + interval_s * _SETTLE_SHARE, self._last_drain + interval_s)
        while not (self._host.look() or self._waiters or self._stopping or self.buffer.has_batch):
            remaining_s = end - time.monotonic()
            if remaining_s <= 0 or self.buffer.wait(min(remaining_s, _LOOK_S)):
                return

    def _drain(self) -> None:
        # At an exit, events in memory go to the disk before the thread waits for the collector.
        if self._deadline is None:
            self._deliver_stored()
        while not self._is_over(time.monotonic()):
            batch = self.buffer.take(self._options.max_batch_events, self._options.max_batch_bytes)
            if not batch:
                break
            try:
                self._deliver(self._encode(batch))
            finally:
                self.buffer.release()
        if self._deadline is not None:
            self._deliver_stored()
        self._last_drain = time.monotonic()

    def _encode(self, batch: list[RawEvent]) -> list[bytes]:
        """Encode events one by one, and free an event once its row exists: an invalid event costs no other."""
        rows, options, encode, epoch_ns = [], self._options, self._encode_row, measure_epoch_ns()
        batch.reverse()
        while batch:
            if len(batch) % _EVENTS_AT_A_TIME == 0 and not self.buffer.has_batch:
                time.sleep(0)
            try:
                rows.append(encode(make_row(batch.pop(), options, epoch_ns)))
            except Exception:  # noqa: BLE001 - a host's callable may return any value; the other events are sent
                self._dropped[DropReason.invalid] += 1
                self._faults.report("invalid", "an event could not be encoded and was dropped")
        return rows

    def _deliver(self, rows: list[bytes]) -> None:
        if not rows:
            return
        batch_id, events = uuid.uuid4().bytes, len(rows)
        body = join_rows(batch_id, self._sender(), rows)
        rows.clear()
        attempt = 0
        # The disk comes first while the collector is away, and at an exit, which may end the first attempt.
        if (self._has_stored or self._deadline is not None) and self._store(batch_id, body, events):
            return
        while True:
            outcome = self._connection.post(body, batch_id, self._timeout_s(), is_first=attempt == 0)
            if self._settle(outcome, events):
                return
            if self._store(batch_id, body, events):
                self._postpone(outcome)
                return
            if not self._back_off(attempt, outcome):
                self._dropped[DropReason.shutdown] += events
                return
            attempt += 1

    def _settle(self, outcome: Outcome, events: int) -> bool:
        """Count a batch that was accepted, or refused for good; False if it must be posted again."""
        address = self._connection.address
        if outcome.is_success:
            rejected = min(max(outcome.rejected, 0), events)
            self._is_refused = False
            self._sent += events - rejected
            self._dropped[DropReason.rejected] += rejected
            if rejected:
                problem = f"{rejected} of {events} events: status {outcome.status}, {outcome.reason}"
                self._faults.report("rejected", "the collector at %s refuses %s", address, problem)
            self._faults.forget("unreachable")
            return True
        if not outcome.is_retryable:
            self._is_refused = True
            self._dropped[DropReason.rejected] += events
            problem = f"status {outcome.status}, {outcome.reason}"
            self._faults.report("refused", "the collector at %s refuses events: %s", address, problem)
            return True
        problem = f"status {outcome.status}, {outcome.reason}" if outcome.status else outcome.reason
        self._faults.report("unreachable", "the collector at %s does not take events: %s", address, problem)
        return False

    def _open_overflow(self) -> None:
        if self._overflow is None:
            return
        try:
            self._overflow.open()
            self._has_stored = self._overflow.oldest() is not None
        except OSError as error:
            self._faults.report("buffer_dir", "buffer_dir cannot be used: %s", error)
            self._overflow = None

    def _store(self, batch_id: bytes, body: bytes, events: int) -> bool:
        """Write a batch to disk; False if it must stay in memory."""
        if self._overflow is None or not self._overflow.store(batch_id, body, events):
            return False
        self._has_stored = True
        return True

    def _deliver_stored(self) -> None:
        """Post the batches on disk, oldest first, until the collector takes no more."""
        overflow, now = self._overflow, time.monotonic()
        if overflow is None:
            return
        if now >= self._next_adoption:
            self._next_adoption = now + _ADOPT_EVERY_S
            overflow.adopt()
        is_hurried = bool(self._waiters) or self._stopping
        if now < self._paused_until or (now < self._retry_at and not is_hurried):
            return
        while (batch := overflow.oldest()) is not None and not self._is_over(time.monotonic()):
            # The events of another process are in the counters of that process.
            events = batch.events if batch.is_own else 0
            if overflow.is_expired(batch):
                self._dropped[DropReason.expired] += events
                self._faults.report("expired", "a batch in buffer_dir was too old and was dropped")
            else:
                outcome = self._connection.post(batch.path.read_bytes(), batch.batch_id, self._timeout_s())
                if not self._settle(outcome, events):
                    self._postpone(outcome)
                    break
                self._attempts = 0
            overflow.discard(batch)
        self._has_stored = overflow.oldest() is not None

    def _postpone(self, outcome: Outcome) -> None:
        ceiling_s = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(self._attempts, 16))
        delay_s = max(_dice.uniform(0, ceiling_s), outcome.retry_after_s or 0.0)
        self._retry_at = time.monotonic() + delay_s
        self._paused_until = time.monotonic() + (outcome.retry_after_s or 0.0)
        self._attempts += 1

    def _back_off(self, attempt: int, outcome: Outcome) -> bool:
        """Wait before the next attempt: full jitter, or the collector's Retry-After; False if the time is over."""
        ceiling_s = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(attempt, 16))
        retry_after_s = outcome.retry_after_s
        delay_s = max(_dice.uniform(0, ceiling_s), retry_after_s or 0.0)
        end = time.monotonic() + delay_s
        while (now := time.monotonic()) < end:
            if self._is_over(end if retry_after_s is not None else now):
                return False
            if self._deadline is not None and now < self._deadline and retry_after_s is None:
                end = min(end, now + _EXIT_BACKOFF_S)
            if self._urgent.acquire(timeout=end - now) and retry_after_s is None:
                break  # a flush: try now
        return not self._is_over(time.monotonic())

    def _is_over(self, moment: float) -> bool:
        return self._stopping and self._deadline is not None and moment >= self._deadline

    def _timeout_s(self) -> float:
        if self._deadline is None or (remaining_s := self._deadline - time.monotonic()) <= 0:
            return self._options.timeout_s
        return max(min(self._options.timeout_s, remaining_s), 0.05)

    def _sender(self) -> dict[str, object]:
        return {
            "source": self._options.source,
            "version": self._options.version,
            "library": self._library,
            "instance": self.instance,
            "started_us": self._started_us,
            **self.counters(),
        }


def _make_overflow(options: Options, instance: str) -> Overflow | None:
    if not options.buffer_dir:
        return None
    from apimetry.middleware.overflow import Overflow  # noqa: PLC0415 - the recorder has imported it

    return Overflow(
        options.buffer_dir,
        instance,
        max_bytes=options.buffer_dir_max_bytes,
        max_age_s=options.buffer_dir_max_age_s,
    )
