"""Store jobs: changes of stored events. A job is stored before it begins, so a kill only delays the job."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from apimetry.store.accounts.records import Application
from apimetry.store.clock import utc_now
from apimetry.store.errors import RecordNotFound
from apimetry.store.named_rows import named, select
from apimetry.store.versions import Columns, Versions

if TYPE_CHECKING:
    from apimetry.store.client import Store


class JobKind(str, Enum):
    """The kind of change."""

    delete_range = "delete_range"
    delete_consumer = "delete_consumer"
    delete_application = "delete_application"
    change_retention = "change_retention"


class JobState(str, Enum):
    """The progress of a job. A running job may have been interrupted; it is then started again."""

    waiting = "waiting"
    running = "running"
    done = "done"


@dataclass(frozen=True)
class Job:
    """One change of one application's events; a range is `[start_us, end_us)`, in microseconds since the epoch."""

    id: str
    organization_id: str
    application_id: str
    kind: JobKind
    created_at: datetime
    start_us: int = 0
    end_us: int = 0
    consumer_id: str = ""
    retention_days: int = 0
    state: JobState = JobState.waiting
    finished_at: datetime | None = None


_COLUMNS: Final = (
    "id",
    "organization_id",
    "application_id",
    "kind",
    "created_at",
    "start_us",
    "end_us",
    "consumer_id",
    "retention_days",
    "state",
    "finished_at",
)
_JOBS: Final = select("jobs", _COLUMNS)


class Jobs:
    """The jobs of one store: blocking, safe from several threads."""

    def __init__(self, store: Store, *, now: Callable[[], datetime] = utc_now) -> None:
        self._store: Final = store
        self._now = now
        self._versions: Final = Versions(store)

    @property
    def store(self) -> Store:
        """Return the store that holds the records."""
        return self._store

    def create(self, application: Application, kind: JobKind) -> Job:
        """Return a new job of `application` that is not stored yet: set its other fields, then `add` it."""
        return Job(secrets.token_hex(12), application.organization_id, application.id, kind, self._now())

    def add(self, job: Job) -> Job:
        """Store a new job; the service that runs jobs reads it from the store."""
        self._write(job)
        return job

    def job(self, job_id: str) -> Job:
        """Return one job; raises RecordNotFound."""
        rows = self._store.query(f"{_JOBS} WHERE id = {{id:String}}", {"id": job_id})
        if not rows:
            raise RecordNotFound(f"there is no job with the id {job_id!r}")
        return _job(rows[0])

    def jobs(self, organization_id: str) -> list[Job]:
        """Return the jobs of one organization, newest first, 1,000 at most."""
        rows = self._store.query(
            f"{_JOBS} WHERE organization_id = {{organization:String}} ORDER BY created_at DESC, id LIMIT 1000",
            {"organization": organization_id},
        )
        return [_job(row) for row in rows]

    def unfinished(self) -> list[Job]:
        """Return the jobs of all organizations that are not done, oldest first, 1,000 at most."""
        rows = self._store.query(f"{_JOBS} WHERE state != 'done' ORDER BY created_at, id LIMIT 1000")
        return [_job(row) for row in rows]

    def begin(self, job: Job) -> None:
        """Store that a job is running."""
        self._write(replace(job, state=JobState.running))

    def finish(self, job: Job) -> None:
        """Store that a job is done."""
        self._write(replace(job, state=JobState.done, finished_at=self._now()))

    def _write(self, job: Job) -> None:
        self._versions.write("jobs", _columns(job))


def _columns(job: Job) -> Columns:
    return {
        "id": ("String", job.id),
        "organization_id": ("String", job.organization_id),
        "application_id": ("String", job.application_id),
        "kind": ("String", job.kind.value),
        "start_us": ("Int64", job.start_us),
        "end_us": ("Int64", job.end_us),
        "consumer_id": ("String", job.consumer_id),
        "retention_days": ("UInt16", job.retention_days),
        "created_at": ("DateTime64(3, 'UTC')", job.created_at),
        "state": ("String", job.state.value),
        "finished_at": ("Nullable(DateTime64(3, 'UTC'))", job.finished_at),
    }


def _job(row: tuple[Any, ...]) -> Job:
    """Return the job of a row of _JOBS."""
    values = named(_COLUMNS, row)
    return Job(**{**values, "kind": JobKind(values["kind"]), "state": JobState(values["state"])})
