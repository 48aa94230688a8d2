"""Deletions over HTTP, and what became of them; for admin keys (api.md, section 3.5).

A deletion is answered when it is done (200), or after a while as it still goes on (202): then its job tells.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from aiohttp import web

from apimetry.query_api.deletion.runner import Runner
from apimetry.query_api.http.json_values import iso_or_none
from apimetry.query_api.http.listing import page_of
from apimetry.query_api.http.query_string import collect, single, time_s
from apimetry.query_api.http.store_refusals import refusals_answered
from apimetry.serving.credentials import Access, authorize
from apimetry.serving.errors import BadRequest, NotFound
from apimetry.serving.service import json_response
from apimetry.store.accounts.accounts import Application, KeyKind
from apimetry.store.accounts.directory import Directory
from apimetry.store.errors import AccountNotFound
from apimetry.store.jobs import Job, JobKind, Jobs, JobState
from apimetry.store.mutations import Unfinished, unfinished_mutations

T = TypeVar("T")

_POLL_S = 0.1


class Deletions:
    """The handlers. Another organization's application or job is a 404."""

    def __init__(self, jobs: Jobs, directory: Directory, runner: Runner, *, max_wait_s: float) -> None:
        self._jobs = jobs
        self._directory = directory
        self._runner = runner
        self._max_wait_s = max_wait_s

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of deletions and jobs."""
        return [
            web.delete("/api/applications/{id}/events", self.delete_events),
            web.delete("/api/applications/{id}/consumers/{consumer}", self.delete_consumer),
            web.get("/api/jobs", self.list_jobs),
            web.get("/api/jobs/{id}", self.get_job),
        ]

    async def delete_events(self, request: web.Request) -> web.Response:
        """Delete an application's events in `[start, end)`."""
        application = await self._application(request)
        start, end = _range(request.query.items())
        job = self._jobs.create(application, JobKind.delete_range)
        return await self.answer(replace(job, start_us=start * 1_000_000, end_us=end * 1_000_000))

    async def delete_consumer(self, request: web.Request) -> web.Response:
        """Delete all of an application's events of one consumer."""
        application = await self._application(request)
        collect(request.query.items(), ())
        job = self._jobs.create(application, JobKind.delete_consumer)
        return await self.answer(replace(job, consumer_id=request.match_info["consumer"]))

    async def delete_application(self, application: Application) -> web.Response:
        """Delete all events of an application that is deleted itself."""
        return await self.answer(self._jobs.create(application, JobKind.delete_application))

    async def change_retention(self, application: Application) -> None:
        """Have stored events follow the application's retention."""
        job = self._jobs.create(application, JobKind.change_retention)
        await self._run(lambda: self._jobs.add(replace(job, retention_days=application.retention_days)))
        self._runner.wake()

    async def answer(self, job: Job) -> web.Response:
        """Have `job` done, and answer when it is, or when it was waited for long enough."""
        await self._run(functools.partial(self._jobs.add, job))
        self._runner.wake()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._max_wait_s
        while job.state is not JobState.done and loop.time() < deadline:
            await asyncio.sleep(_POLL_S)
            job = await self._run(functools.partial(self._jobs.job, job.id))
        (shown,) = await self._run(lambda: self._shown([job]))
        if job.state is JobState.done:
            return json_response({"job": shown})
        return json_response({"job": shown}, status=202, headers={"Location": f"/api/jobs/{job.id}"})

    async def list_jobs(self, request: web.Request) -> web.Response:
        """Answer one page of the organization's jobs, the last first."""
        access = await self._authorize(request)
        wanted = access.application.id if access.application else None
        found = await self._run(lambda: self._jobs.jobs(access.organization.id))
        ours = [job for job in found if wanted in (None, job.application_id)]
        return json_response(page_of(request.query.items(), await self._run(lambda: self._shown(ours)), "jobs"))

    async def get_job(self, request: web.Request) -> web.Response:
        """Answer one job."""
        access = await self._authorize(request)

        def find() -> dict[str, object]:
            job = self._jobs.job(request.match_info["id"])
            if job.organization_id != access.organization.id:
                raise AccountNotFound(f"there is no job with the id {job.id!r}")
            return self._shown([job])[0]

        return json_response({"job": await self._run(find)})

    def _shown(self, jobs: Sequence[Job]) -> list[dict[str, object]]:
        """Return jobs as they are shown; blocks while the store says what the running ones wait for."""
        is_any_running = any(job.state is JobState.running for job in jobs)
        rewriting = unfinished_mutations(self._jobs.store) if is_any_running else []
        return [job_json(job, rewriting if job.state is JobState.running else ()) for job in jobs]

    async def _authorize(self, request: web.Request) -> Access:
        return await authorize(request, self._directory, KeyKind.admin, purpose="delete data")

    async def _application(self, request: web.Request) -> Application:
        access = await self._authorize(request)
        name = request.match_info["id"]
        found = self._directory.application(name)
        if found is None or found.organization_id != access.organization.id:
            raise NotFound(f"There is no application {name[:80]!r}")
        return found

    async def _run(self, call: Callable[[], T]) -> T:
        with refusals_answered():
            return await self._jobs.store.run_reserved(call)


def _range(parameters: Iterable[tuple[str, str]]) -> tuple[int, int]:
    given = collect(parameters, ("start", "end"))
    texts = {name: single(given, name) for name in ("start", "end")}
    missing = [name for name, text in texts.items() if text is None]
    if missing:
        raise BadRequest(
            f"Missing: {' and '.join(missing)}; whole seconds since the epoch, events in [start, end) go"
        )
    start, end = (time_s(name, text or "") for name, text in texts.items())
    if start >= end:
        raise BadRequest(f"start must be before end: start is {start}, end is {end}")
    return start, end


def job_json(job: Job, rewriting: Iterable[Unfinished] = ()) -> dict[str, object]:
    """Return a job as it is shown, with what the store is still rewriting for running ones."""
    is_range = job.kind is JobKind.delete_range
    return {
        "id": job.id,
        "kind": job.kind.value,
        "application": job.application_id,
        "start": job.start_us // 1_000_000 if is_range else None,
        "end": job.end_us // 1_000_000 if is_range else None,
        "consumer": job.consumer_id if job.kind is JobKind.delete_consumer else None,
        "retentionDays": job.retention_days if job.kind is JobKind.change_retention else None,
        "state": job.state.value,
        "createdAt": iso_or_none(job.created_at),
        "finishedAt": iso_or_none(job.finished_at),
        "rewriting": [
            {"table": each.table, "since": iso_or_none(each.since), "partsLeft": each.parts, "error": each.error}
            for each in rewriting
        ],
    }
