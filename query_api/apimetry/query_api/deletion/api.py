"""Deletions and their jobs over HTTP, for admin keys (docs/api.md, "Data out, data gone").

The response to a deletion comes when the deletion is done (200), or while it still goes on (202). Its job then
says when it is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from aiohttp import web

from apimetry.query_api.deletion.deletions import Deletions
from apimetry.query_api.deletion.response import OneJob
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
    """Handles deletions and jobs. Another organization's application or job is a 404."""

    def __init__(self, deletions: Deletions, directory: Directory) -> None:
        self._deletions = deletions
        self._jobs = deletions.jobs
        self._directory = directory

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of deletions and jobs."""
        return [
            web.delete("/api/applications/{id}/events", self.delete_events),
            # A consumer id is in the path, percent-encoded, or in a parameter, which may be empty.
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
        """Delete all of an application's events of one consumer; the empty id is for requests without a consumer."""
        application = await self._application(request)
        job = await self._deletions.delete_consumer(application, _consumer_of(request))
        return await job_response(self._deletions, job)

    async def list_jobs(self, request: web.Request) -> web.Response:
        """Return one page of the organization's jobs, the last first."""
        access = await self._authorize(request)
        application_id = access.application.id if access.application else None
        jobs = await run_answered(self._jobs.store, partial(self._jobs.jobs, access.organization.id))
        rows = await self._deletions.as_json([job for job in jobs if application_id in (None, job.application_id)])
        return json_response(page_of(request.query.items(), rows, "jobs"))

    async def get_job(self, request: web.Request) -> web.Response:
        """Return one job."""
        access = await self._authorize(request)
        name = request.match_info["id"]
        job = await run_answered(self._jobs.store, partial(self._jobs.job, name))
        (job_json,) = await self._deletions.as_json([owned(job, access, "job with the id", name)])
        return json_response(OneJob(job=job_json))

    async def _authorize(self, request: web.Request) -> Access:
        return await authorize(request, self._directory, KeyKind.admin, purpose="delete data")

    async def _application(self, request: web.Request) -> Application:
        access = await self._authorize(request)
        name = request.match_info["id"]
        return owned(self._directory.application(name), access, "application", name)


def _consumer_of(request: web.Request) -> str:
    """Return the consumer of the path or of `consumer_id`, the only parameter that may be empty."""
    in_query = request.query.getall("consumer_id", [])
    collect(request.query.items(), ("consumer_id",))
    in_path = request.match_info.get("consumer")
    consumers = dict.fromkeys(in_query if in_path is None else [in_path, *in_query])
    if len(consumers) != 1:
        raise BadRequest(
            "One consumer must be named: in the path, percent-encoded, or as ?consumer_id=ID, which may be empty"
        )
    return next(iter(consumers))


async def job_response(deletions: Deletions, job: Job) -> web.Response:
    """Return the response to a deletion: 200 with a job that is done, 202 with the address of an unfinished job."""
    (job_json,) = await deletions.as_json([job])
    if job.state is JobState.done:
        return json_response(OneJob(job=job_json))
    return json_response(OneJob(job=job_json), status=202, headers={"Location": f"/api/jobs/{job.id}"})


def _range(parameters: Iterable[tuple[str, str]]) -> tuple[int, int]:
    values = collect(parameters, ("start", "end"))
    texts = {name: single(values, name) for name in ("start", "end")}
    missing = [name for name, text in texts.items() if text is None]
    if missing:
        raise BadRequest(
            f"Missing: {' and '.join(missing)}; whole seconds since the epoch, events in [start, end) go"
        )
    start, end = (time_s(name, text or "") for name, text in texts.items())
    if start >= end:
        raise BadRequest(f"start must be before end: start is {start}, end is {end}")
    return start, end
