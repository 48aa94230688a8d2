"""The schemas of bodies in the OpenAPI document: those of answers come from the classes that features build."""

from __future__ import annotations

from apimetry.query_api.alerting.response import AlertHistory, AlertPreview, AlertTest
from apimetry.query_api.breakdown.response import Breakdown
from apimetry.query_api.events.response import EventsPage
from apimetry.query_api.http.json_values import Json
from apimetry.query_api.insights.response import Insights
from apimetry.query_api.management.response import (
    ApplicationList,
    KeyList,
    NewKey,
    OneApplication,
    OneOrganization,
)
from apimetry.query_api.me.response import Me
from apimetry.query_api.openapi import alerts, jobs, management
from apimetry.query_api.overview.response import Bucket, BucketList, Overview
from apimetry.query_api.summary.response import Summary
from apimetry.query_api.timeseries.response import Timeseries
from apimetry.query_api.usage.response import Usage
from apimetry.serving.openapi import COUNT, answer_schemas, closed, joined

_ANSWERS = (
    AlertHistory,
    AlertPreview,
    AlertTest,
    ApplicationList,
    Breakdown,
    Bucket,
    BucketList,
    EventsPage,
    Insights,
    KeyList,
    Me,
    NewKey,
    OneApplication,
    OneOrganization,
    Overview,
    Summary,
    Timeseries,
    Usage,
    # One line for each answer, in the order of the alphabet. The objects in an answer come with it.
)


def all_schemas() -> Json:
    """Return every named schema.

    Raises:
        ValueError: two schemas have the same name.
    """
    return joined(
        answer_schemas(*_ANSWERS),
        management.schemas(),
        alerts.schemas(),
        jobs.schemas(),
        _service(),
    )


def _service() -> Json:
    return {
        "Health": closed(
            {
                "status": {"type": "string", "enum": ["ok"]},
                "service": {"type": "string", "enum": ["collector", "query"]},
                "version": {"type": "string"},
            }
        ),
        "Readiness": closed(
            {"ready": {"type": "boolean"}, "reasons": {"type": "array", "items": {"type": "string"}}}
        ),
        "Error": closed(
            {
                "success": {"type": "boolean", "description": "Always false, and under `/v1/developer/` alone."},
                "error": {"type": "string"},
                "message": {"type": "string"},
                "details": {
                    "type": "array",
                    "description": "What was wrong with each event of a batch that has no valid one.",
                    "items": closed({"index": COUNT, "field": {"type": "string"}, "message": {"type": "string"}}),
                },
            },
            optional=("success", "details"),
        ),
    }
