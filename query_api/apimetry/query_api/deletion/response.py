"""The shapes of answers about jobs. The OpenAPI document takes them from here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, TypedDict

from msgspec import Meta

from apimetry.query_api.http.json_values import iso_datetime, iso_or_none
from apimetry.query_api.http.listing import Pagination
from apimetry.serving.answer_types import Count, Time
from apimetry.store import jobs
from apimetry.store.accounts.records import days_or_none
from apimetry.store.jobs import JobKind, JobState
from apimetry.store.mutations import Unfinished


class Rewriting(TypedDict):
    """A table that the store still rewrites."""

    table: str
    since: Time
    partsLeft: Count
    error: Annotated[
        str | None,
        Meta(description="Why the store could not go on when it last tried; it tries again by itself."),
    ]


class Job(TypedDict):
    """A deletion of events, or a change of their retention."""

    id: str
    kind: JobKind
    application: str
    start: int | None
    end: int | None
    consumer: str | None
    retentionDays: int | None
    state: JobState
    createdAt: Time
    finishedAt: Time | None
    rewriting: Annotated[
        list[Rewriting],
        Meta(description="What the store is still rewriting while the job runs; none before and after."),
    ]


class OneJob(TypedDict):
    """One job."""

    job: Job


class JobList(TypedDict):
    """One page of the organization's last thousand jobs."""

    jobs: list[Job]
    pagination: Pagination


def job_json(job: jobs.Job, rewriting: Iterable[Unfinished] = ()) -> Job:
    """Return the JSON of a job; `rewriting` are the unfinished mutations of the store."""
    is_range = job.kind is JobKind.delete_range
    return {
        "id": job.id,
        "kind": job.kind,
        "application": job.application_id,
        "start": job.start_us // 1_000_000 if is_range else None,
        "end": job.end_us // 1_000_000 if is_range else None,
        "consumer": job.consumer_id if job.kind is JobKind.delete_consumer else None,
        "retentionDays": days_or_none(job.retention_days) if job.kind is JobKind.change_retention else None,
        "state": job.state,
        "createdAt": iso_datetime(job.created_at),
        "finishedAt": iso_or_none(job.finished_at),
        "rewriting": [
            {
                "table": mutation.table,
                "since": iso_datetime(mutation.since),
                "partsLeft": mutation.parts,
                "error": mutation.error,
            }
            for mutation in rewriting
        ],
    }
