"""Add jobs that delete stored events or change their retention, and wait for these jobs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial

from aiohttp import web

from apimetry.query_api.deletion import response
from apimetry.query_api.deletion.runner import Runner
from apimetry.query_api.http.store_refusals import run_answered
from apimetry.serving.background import in_background
from apimetry.store.accounts.accounts import Application
from apimetry.store.jobs import Job, JobKind, Jobs, JobState
from apimetry.store.mutations import unfinished_mutations

_POLL_S = 0.1


class Deletions:
    """Adds jobs. Its runner does them in the background.

    A deletion waits for its job, for `max_wait_s` at most. `clock` returns seconds since the epoch.
    """

    def __init__(self, jobs: Jobs, clock: Callable[[], float], *, max_wait_s: float) -> None:
        self.jobs = jobs
        self._runner = Runner(jobs, clock, owner=secrets.token_hex(8))
        self._max_wait_s = max_wait_s

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """Do the jobs while the application runs; for its `cleanup_ctx`."""
        async with in_background("apimetry-jobs", self._runner.run()):
            yield

    async def delete_range(self, application: Application, start_s: int, end_s: int) -> Job:
        """Delete an application's events in `[start_s, end_s)`; return the job, done or not."""
        job = self.jobs.create(application, JobKind.delete_range)
        return await self._wait_for(replace(job, start_us=start_s * 1_000_000, end_us=end_s * 1_000_000))

    async def delete_consumer(self, application: Application, consumer_id: str) -> Job:
        """Delete all of an application's events of one consumer; return the job, done or not."""
        job = self.jobs.create(application, JobKind.delete_consumer)
        return await self._wait_for(replace(job, consumer_id=consumer_id))

    async def delete_application(self, application: Application) -> Job:
        """Delete all events of a deleted application; return the job, done or not."""
        return await self._wait_for(self.jobs.create(application, JobKind.delete_application))

    async def change_retention(self, application: Application) -> None:
        """Apply the application's retention to stored events; return without waiting for the job."""
        job = self.jobs.create(application, JobKind.change_retention)
        await self._add(replace(job, retention_days=application.retention_days))

    async def as_json(self, jobs: Sequence[Job]) -> list[response.Job]:
        """Return the JSON of jobs; running jobs have the tables that the store still rewrites."""
        return await run_answered(self.jobs.store, partial(self._as_json, jobs))

    async def _wait_for(self, job: Job) -> Job:
        await self._add(job)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._max_wait_s
        while job.state is not JobState.done and loop.time() < deadline:
            await asyncio.sleep(_POLL_S)
            job = await run_answered(self.jobs.store, partial(self.jobs.job, job.id))
        return job

    async def _add(self, job: Job) -> None:
        await run_answered(self.jobs.store, partial(self.jobs.add, job))
        self._runner.wake()

    def _as_json(self, jobs: Sequence[Job]) -> list[response.Job]:
        is_any_running = any(job.state is JobState.running for job in jobs)
        rewriting = unfinished_mutations(self.jobs.store) if is_any_running else []
        return [response.job_json(job, rewriting if job.state is JobState.running else ()) for job in jobs]
