"""Deletions over HTTP, and what became of them; for admin keys (docs/api.md, "Data out, data gone").

A deletion is answered when it is done (200), or while it still goes on (202): then its job tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from aiohttp import web

from apimetry.query_api.deletion.deletions import Deletions
from apimetry.query_api.http.listing import page_of
from apimetry.query_api.http.query_string import collect, single, time_s
from apimetry.query_api.http.store_refusals import owned, run_answered
from apimetry.serving.credentials import Access, authorize
from apimetry.serving.errors import BadRequest
from apimetry.serving.service import json_response
from apimetry.store.accounts.accounts import Application, KeyKind
from apimetry.store.accounts.directory import Directory
from apimetry.store.jobs import Job, JobState


class DeletionHandlers:
    """The handlers. Another organization's application or job is a 404."""

    def __init__(self, deletions: Deletions, directory: Directory) -> None:
        self._deletions = deletions
        self._jobs = deletions.jobs
        self._directory = directory

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of deletions and jobs."""
        return [
            web.delete("/api/applications/{id}/events", self.delete_events),
            # Any consumer id: in the path, percent-encoded, or as a parameter, which may be empty, too.
            web.delete("/api/applications/{id}/consumers", self.delete_consumer),
            web.delete("/api/applications/{id}/consumers/{consumer:.*}", self.delete_consumer),
            web.get("/api/jobs", self.list_jobs),
            web.get("/api/jobs/{id}", self.get_job),
        ]

    async def delete_events(self, request: web.Request) -> web.Response:
        """Delete an application's events in `[start, end)`."""
        application = await self._application(request)
        start, end = _range(request.query.items())
        return await job_response(self._deletions, await self._deletions.delete_range(application, start, end))

    async def delete_consumer(self, request: web.Request) -> web.Response:
        """Delete all of an application's events of one consumer; the empty one is of requests without one."""
        application = await self._application(request)
        job = await self._deletions.delete_consumer(application, _consumer_of(request))
        return await job_response(self._deletions, job)

    async def list_jobs(self, request: web.Request) -> web.Response:
        """Answer one page of the organization's jobs, the last first."""
        access = await self._authorize(request)
        wanted = access.application.id if access.application else None
        jobs = await run_answered(self._jobs.store, partial(self._jobs.jobs, access.organization.id))
        rows = await self._deletions.shown([job for job in jobs if wanted in (None, job.application_id)])
        return json_response(page_of(request.query.items(), rows, "jobs"))

    async def get_job(self, request: web.Request) -> web.Response:
        """Answer one job."""
        access = await self._authorize(request)
        name = request.match_info["id"]
        job = await run_answered(self._jobs.store, partial(self._jobs.job, name))
        (shown,) = await self._deletions.shown([owned(job, access, "job with the id", name)])
        return json_response({"job": shown})

    async def _authorize(self, request: web.Request) -> Access:
        return await authorize(request, self._directory, KeyKind.admin, purpose="delete data")

    async def _application(self, request: web.Request) -> Application:
        access = await self._authorize(request)
        name = request.match_info["id"]
        return owned(self._directory.application(name), access, "application", name)


def _consumer_of(request: web.Request) -> str:
    """Return the consumer that the path or `consumer_id` names: the one parameter that may be empty."""
    given = request.query.getall("consumer_id", [])
    collect(request.query.items(), ("consumer_id",))
    in_path = request.match_info.get("consumer")
    named = dict.fromkeys(given if in_path is None else [in_path, *given])
    if len(named) != 1:
        raise BadRequest(
            "One consumer must be named: in the path, percent-encoded, or as ?consumer_id=ID, which may be empty"
        )
    return next(iter(named))


async def job_response(deletions: Deletions, job: Job) -> web.Response:
    """Return the answer to a deletion: 200 with the job that is done, 202 and where to look for one that is not."""
    (shown,) = await deletions.shown([job])
    if job.state is JobState.done:
        return json_response({"job": shown})
    return json_response({"job": shown}, status=202, headers={"Location": f"/api/jobs/{job.id}"})


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
