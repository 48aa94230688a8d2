"""Deletions and their jobs in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.deletion.response import JobList, OneJob
from apimetry.query_api.http.json_values import Json
from apimetry.query_api.http.query_string import MAX_TIME_S
from apimetry.serving.openapi import answer, errors, json_content, operation, query_parameter, ref

_TAGS = ["Deletion"]
_JOB = {
    "id": "507f1f77bcf86cd799439014",
    "kind": "delete_range",
    "application": "shop",
    "start": 1413295200,
    "end": 1413385200,
    "consumer": None,
    "retentionDays": None,
    "state": "done",
    "createdAt": "2026-01-20T14:00:00Z",
    "finishedAt": "2026-01-20T14:00:02Z",
    "rewriting": [],
}
_READ_ERRORS = ("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable")
_WHAT_GOES = """The events go for good, from the disk some minutes after the job is done, and every figure that they
were counted in is made again from those that are left; only the calls of this month, and the sources ever seen, stay
as they were. Events that a collector has accepted and not yet inserted arrive afterwards and are stored: wait some
seconds, or delete again. While figures are made again, inserts pause for moments; nothing is lost by it."""


def answers() -> Json:
    """Return the two ways in which a deletion is answered."""
    rewriting = {"table": "events", "since": "2026-01-20T14:00:00Z", "partsLeft": 12, "error": None}
    running = {**_JOB, "state": "running", "finishedAt": None, "rewriting": [rewriting]}
    return {
        "200": answer("Done.", json_content(OneJob, example={"job": _JOB})),
        "202": answer("It goes on; ask its job.", json_content(OneJob, example={"job": running})),
    }


def paths() -> Json:
    """Return the paths of deletions and jobs."""
    listed = {"jobs": [_JOB], "pagination": {"total": 1, "limit": 100, "offset": 0, "hasMore": False}}
    paging = [ref("parameters", "Limit"), ref("parameters", "Offset"), ref("parameters", "Application")]
    return {
        "/api/applications/{id}/events": {
            "parameters": [ref("parameters", "ApplicationId")],
            "delete": _operation(
                "deleteEvents",
                "Delete events of a time range",
                answers(),
                description=_WHAT_GOES,
                parameters=[_time("start", 1413295200), _time("end", 1413385200)],
            ),
        },
        "/api/applications/{id}/consumers": {
            "parameters": [ref("parameters", "ApplicationId")],
            "delete": _operation(
                "deleteAnyConsumer",
                "Delete every event of a consumer, whatever its id",
                answers(),
                description=_WHAT_GOES,
                parameters=[
                    query_parameter(
                        "consumer_id",
                        "The consumer's id; the empty one is of requests without a consumer.",
                        {"type": "string"},
                        "acme",
                        required=True,
                    )
                ],
            ),
        },
        "/api/applications/{id}/consumers/{consumer}": {
            "parameters": [ref("parameters", "ApplicationId"), ref("parameters", "Consumer")],
            "delete": _operation(
                "deleteConsumer", "Delete every event of a consumer", answers(), description=_WHAT_GOES
            ),
        },
        "/api/jobs": {
            "get": _operation(
                "listJobs",
                "Deletions and changes of retention",
                {"200": answer("One page of the last thousand.", json_content(JobList, example=listed))},
                parameters=paging,
            )
        },
        "/api/jobs/{id}": {
            "parameters": [ref("parameters", "JobId")],
            "get": _operation(
                "getJob",
                "One deletion or change of retention",
                {"200": answer("It.", json_content(OneJob, example={"job": _JOB}))},
            ),
        },
    }


def _operation(name: str, summary: str, responses: Json, **more: object) -> Json:
    return operation(name, summary, {**responses, **errors(*_READ_ERRORS)}, tags=_TAGS, **more)


def _time(name: str, example: int) -> Json:
    meaning = {"start": "First second, since the epoch.", "end": "The second after the last one."}
    shape: Json = {"type": "integer", "minimum": 0, "maximum": MAX_TIME_S}
    return query_parameter(name, meaning[name], shape, example, required=True)
