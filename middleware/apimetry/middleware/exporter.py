"""The exporter: takes events from the host's threads. It starts lazily, survives forks, and flushes at exit.

- The thread starts with the first event of a process, so that a server which forks its workers (gunicorn, uWSGI)
  never forks a running exporter that has work to do in the parent.
- After a fork the child has a fresh buffer, thread and instance id: by `os.register_at_fork`. For forks that Python
  does not see (uWSGI), a mark in memory does it: a fork wipes it out, and every event reads it. The parent keeps the
  events that it buffered.
- Memory has a bound, whatever clients send: `max_buffer_bytes` for events that wait, four times `max_batch_bytes`
  while a batch is encoded and sent, and 8 MiB for caches (masks, hashes, names of routes). Texts are cut to the used
  part before they are buffered, and counted by the bytes they take. A test fills everything and measures.
- At exit, delivery has `exit_timeout_s` in all (2 s at most). `threading._register_atexit` runs before non-daemon
  threads are joined and in children of `multiprocessing`, `atexit` after them: both flush, from one budget.
"""

from __future__ import annotations

import atexit
import functools
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING

from apimetry.middleware.event import LENGTH_DIGITS, SLOT_CHARACTERS, clip_event
from apimetry.middleware.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from apimetry.middleware.buffer import Buffer
    from apimetry.middleware.errors import Faults
    from apimetry.middleware.event import RawEvent
    from apimetry.middleware.host import Host
    from apimetry.middleware.options import Options


class Exporter:
    """Take events from any thread or event loop, and never block it or raise into it.

    Mutable state: `workers`, where the first thread of a process that needs a worker puts one, atomically; and
    `_worker`, `_buffer` and `_pid`, which follow it.
    """

    def __init__(self, options: Options, faults: Faults, host: Host) -> None:
        self._options = options
        self._faults = faults
        self._host = host
        self._worker: Worker | None = None
        self._buffer: Buffer | None = None
        self._pid = 0
        # Process id → its worker. Not a lock: a lock that is held during a fork stays locked for ever.
        self.workers: dict[int, Worker] = {}
        self.exit_timeout_s = self._exit_budget_s = options.exit_timeout_s
        _at_fork_and_exit(self)

    def submit(self, event: RawEvent) -> None:
        """Take an event: it is sent, or dropped and counted. Returns at once."""
        buffer = self._buffer
        _, method, path, query, _, _, _, _, request_bytes, _, consumer, traceparent, _, details = event
        if (
            buffer is None
            or details is not None
            or len(buffer.queue) >= buffer.fast_limit[0]
            or len(method) + len(path) + len(query) + len(consumer) + len(traceparent) > SLOT_CHARACTERS
            or not path.isascii()
            or (request_bytes and request_bytes.__class__ is str and len(request_bytes) > LENGTH_DIGITS)
        ):
            self._submit_carefully(event)
            return
        buffer.queue.append(event)
        if buffer.is_idle:
            buffer.wake()

    def _submit_carefully(self, event: RawEvent) -> None:
        """Take an event that is large, fills a batch or the buffer, or is the first of its process."""
        buffer = self._buffer
        if buffer is None or self._pid != os.getpid():
            buffer = self._start()
        if not buffer.add(clip_event(event)):
            self._faults.report("full", "the buffer is full, events are dropped")

    def flush(self, timeout_s: float) -> bool:
        """Send what is buffered; True when the collector took all of it in time. From any thread, blocking."""
        worker = self._own_worker()
        return worker is None or worker.flush(timeout_s)

    def counters(self) -> dict[str, object]:
        """Return captured, sent and dropped by reason, cumulative for this process."""
        worker = self._own_worker()
        return {"captured": 0, "sent": 0, "dropped": {}} if worker is None else worker.counters()

    def forget_parent(self) -> None:
        """Forget the parent's worker in a forked child; the child's next event starts a new one."""
        if self._worker is not None:
            self._worker.abandon()
        self._worker = self._buffer = None
        self._pid = 0
        self.workers.clear()
        self._exit_budget_s = self._options.exit_timeout_s

    def flush_at_exit(self, *, is_last: bool) -> None:
        """Deliver what is left, within what remains of the time an exit may take. Never raises."""
        worker = self._own_worker()
        if worker is None or not worker.thread.is_alive():
            return
        began = time.monotonic()
        if is_last:
            delivered = worker.stop(max(self._exit_budget_s, 0.0))
            if not delivered:
                self._faults.report("exit", "%d events were not delivered before exit", len(worker.buffer))
            self._faults.silence()
        else:
            worker.hasten(max(self._exit_budget_s, 0.0))
        self._exit_budget_s -= time.monotonic() - began

    def _own_worker(self) -> Worker | None:
        """Return this process's worker: after a C fork `_worker` may still be the parent's."""
        worker = self._worker
        return worker if worker is not None and worker.pid == os.getpid() else None

    def _start(self) -> Buffer:
        """Return this process's buffer, and see that its thread runs."""
        pid = os.getpid()
        worker = self.workers.get(pid)
        if worker is None:
            # Several threads that arrive at once all use the worker of the first.
            worker = self.workers.setdefault(pid, Worker(self._options, self._faults, self._host))
            worker.at_end = functools.partial(self.workers.pop, pid, None)
        if self._worker is not None and self._worker is not worker:
            self._worker.abandon()  # a parent's, after a fork that Python did not see
        self._worker = worker
        # A lock, as a thread that is just being started can be started twice.
        if worker.is_started.acquire(blocking=False):
            try:
                worker.thread.start()
            except RuntimeError as error:
                # The interpreter is going down, or the machine is out of threads: the next event tries again.
                worker.is_started.release()
                self._faults.report("thread", "the exporter's thread did not start: %s", error)
                return worker.buffer
            weakref.finalize(self, worker.end, self._options.exit_timeout_s).atexit = False
        self._buffer = worker.buffer
        self._pid = pid
        return worker.buffer


def _at_fork_and_exit(exporter: Exporter) -> None:
    """Register an exporter for fork and exit without keeping it alive: only its workers, until their threads end."""
    reference, workers, timeout_s = weakref.ref(exporter), exporter.workers, exporter.exit_timeout_s

    def after_fork() -> None:
        if (living := reference()) is not None:
            living.forget_parent()
        else:
            workers.clear()

    def flush_at_exit(*, is_last: bool) -> None:
        if (living := reference()) is not None:
            living.flush_at_exit(is_last=is_last)
        elif (worker := workers.get(os.getpid())) is not None and worker.thread.is_alive():
            worker.stop(timeout_s)  # its host is gone, and it may still be delivering

    before_join = functools.partial(flush_at_exit, is_last=False)
    at_exit = functools.partial(flush_at_exit, is_last=True)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=after_fork)
    register: Callable[[Callable[[], None]], None] | None = getattr(threading, "_register_atexit", None)
    if register is not None:
        try:
            register(before_join)
        except RuntimeError:
            return  # the interpreter is going down: nothing is left to flush
    atexit.register(at_exit)
