"""Do the jobs, one after another, in one of all query services over a store.

The services take turns by the minute (`store.turns`). Before each step, the working service takes the turn of the
next minute, so that the job stays with it. If the service dies, another service takes the first free minute, two
minutes later at most, and begins the job again. A service that lost its turn stops before its next step.

A job waits for the engine without a limit. Every REPORT_EVERY_S the log says for which tables, and the last error.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable

from apimetry.store.erasure import carry_out
from apimetry.store.errors import StoreError
from apimetry.store.jobs import Job, Jobs, JobState
from apimetry.store.mutations import unfinished_mutations
from apimetry.store.turns import take_turn

logger = logging.getLogger(__name__)

PURPOSE = "jobs"
# Who makes a job wakes the runner. The rest are jobs that failed, or whose service ended.
POLL_S = 30.0
REPORT_EVERY_S = 60.0


class Interrupted(Exception):
    """The service stops, or another service has the turn."""


class Runner:
    """One service's runner; `owner` tells it apart from the others, `clock` returns seconds since the epoch.

    `_stopping` is set on the event loop and read in the worker thread. The worker alone uses `_turn`, its last
    minute, and `_reported`, the time of its last log line.
    """

    def __init__(self, jobs: Jobs, clock: Callable[[], float], *, owner: str) -> None:
        self._jobs = jobs
        self._clock = clock
        self._owner = owner
        self._stopping = threading.Event()
        self._turn = -1
        self._reported = 0.0
        self._waking = asyncio.Event()

    def wake(self) -> None:
        """Begin a new job now instead of after the next poll."""
        self._waking.set()

    async def run(self) -> None:
        """Do jobs until cancelled. Ends after the current step; the next runner does the rest."""
        try:
            while True:
                self._waking.clear()
                work = asyncio.ensure_future(asyncio.to_thread(self._work))
                try:
                    await asyncio.shield(work)
                except asyncio.CancelledError:
                    self._stopping.set()
                    await work
                    raise
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._waking.wait(), POLL_S)
        finally:
            self._stopping.set()

    def _work(self) -> None:
        """Do all unfinished jobs, in the worker thread. The next call tries a failed job again."""
        try:
            for job in self._jobs.unfinished():
                self._wait(0)
                if job.state is JobState.waiting:
                    self._jobs.begin(job)
                logger.info("job %s begins: %s of application %s", job.id, job.kind.value, job.application_id)
                self._reported = self._clock()
                self._do(job)
        except Interrupted:
            return
        except StoreError as error:
            logger.warning("jobs are delayed: %s", error)
        except Exception:
            logger.exception("jobs are delayed")

    def _do(self, job: Job) -> None:
        carry_out(self._jobs.store, job, self._wait)
        self._jobs.finish(job)
        logger.info("job %s is done", job.id)

    def _wait(self, seconds: float) -> None:
        """Wait between two steps, and keep the turn.

        Raises:
            Interrupted: the service stops, or lost its turn.
        """
        if self._stopping.wait(seconds):
            raise Interrupted
        self._report()
        minute = int(self._clock()) // 60
        if self._turn == minute + 1:
            return
        # A turn after the next minute is from before somebody set the clock back. It does not count.
        if self._turn != minute and not self._take(minute):
            raise Interrupted
        self._take(minute + 1)

    def _take(self, minute: int) -> bool:
        if not take_turn(self._jobs.store, PURPOSE, minute, self._owner):
            return False
        self._turn = minute
        return True

    def _report(self) -> None:
        if self._clock() < self._reported + REPORT_EVERY_S:
            return
        self._reported = self._clock()
        for mutation in unfinished_mutations(self._jobs.store):
            logger.warning(
                "jobs wait for the store to rewrite %s since %s: %d parts are left, the last error was %s",
                mutation.table, mutation.since, mutation.parts, mutation.error or "none",
            )  # fmt: skip
