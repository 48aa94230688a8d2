"""The shapes of bodies in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.alerting.response import AlertHistory
from apimetry.query_api.breakdown.response import Breakdown
from apimetry.query_api.events.response import EventsPage
from apimetry.query_api.http.json_values import Json
from apimetry.query_api.management.account_bodies import (
    ApplicationChange,
    ApplicationInput,
    KeyInput,
    KeyRotation,
    LimitsBody,
    OrganizationChange,
)
from apimetry.query_api.me.response import Me
from apimetry.query_api.openapi import alerts, insights_schemas, jobs, overview, usage_schemas
from apimetry.query_api.timeseries.response import Timeseries
from apimetry.serving.openapi import COUNT, answer_schemas, closed, joined, schema, struct_schema
from apimetry.store.accounts.accounts import KeyKind
from apimetry.store.accounts.records import (
    APPLICATION_ID_PATTERN,
    MAX_NAME_CHARACTERS,
    MAX_RETENTION_DAYS,
    MAX_TARGET_MS,
)

_TIME: Json = {"type": "string", "format": "date-time"}
_TIME_OR_NULL: Json = {"type": ["string", "null"], "format": "date-time"}
_ID: Json = {"type": "string", "pattern": f"^{APPLICATION_ID_PATTERN}$"}
_NO_LIMIT: Json = {"description": "Null: no limit."}
_ID_OR_NULL: Json = {"pattern": _ID["pattern"], "description": "Null: one is made up."}
_KIND: Json = {"type": "string", "enum": [kind.value for kind in KeyKind]}
_NAME: Json = {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARACTERS}
_DAYS: Json = {
    "type": ["integer", "null"],
    "minimum": 1,
    "maximum": MAX_RETENTION_DAYS,
    "description": "Null: for ever.",
}

_TARGET: Json = {"description": "The response time that requests are meant to keep, milliseconds. Null: none."}

_ANSWERS = (
    EventsPage,
    AlertHistory,
    Breakdown,
    Me,
    Timeseries,
    # One line for each answer, in the order of the alphabet. The objects in an answer come with it.
)


def all_schemas() -> Json:
    """Return every named schema.

    Raises:
        ValueError: two schemas have the same name.
    """
    return joined(
        answer_schemas(*_ANSWERS),
        usage_schemas.schemas(),
        insights_schemas.schemas(),
        overview.schemas(),
        _applications(),
        _keys(),
        _organization(),
        alerts.schemas(),
        jobs.schemas(),
        _service(),
    )


def _applications() -> Json:
    shown: Json = {
        "name": _NAME,
        "retentionDays": _DAYS,
        "limits": schema("RequestLimits"),
        "targetMs": {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_TARGET_MS, **_TARGET},
    }
    prose: dict[str, Json] = {
        "name": _NAME,
        "retentionDays": {"description": "Null: for ever."},
        "limits": schema("RequestLimits"),
        "targetMs": _TARGET,
    }
    return {
        "RequestLimits": struct_schema(LimitsBody, dict.fromkeys(LimitsBody.__struct_encode_fields__, _NO_LIMIT)),
        "Application": closed({"id": _ID, **shown, "createdAt": _TIME}),
        "OneApplication": closed({"application": schema("Application")}),
        "ApplicationInput": struct_schema(ApplicationInput, {**prose, "id": _ID_OR_NULL}),
        "ApplicationChange": {**struct_schema(ApplicationChange, prose), "minProperties": 1},
        "ApplicationList": closed(
            {
                "applications": {"type": "array", "items": schema("Application")},
                "pagination": schema("Pagination"),
            }
        ),
    }


def _organization() -> Json:
    return {
        "Organization": closed({"id": _ID, "name": _NAME, "plan": schema("Plan"), "createdAt": _TIME}),
        "OneOrganization": closed({"organization": schema("Organization")}),
        "OrganizationChange": {
            **struct_schema(OrganizationChange, {"name": _NAME, "plan": schema("Plan")}),
            "minProperties": 1,
        },
    }


def _keys() -> Json:
    key: Json = {
        "id": _ID,
        "kind": _KIND,
        "application": {"type": ["string", "null"], "description": "Its id; null: an admin key."},
        "name": {"type": "string"},
        "firstCharacters": {"type": "string"},
        "createdAt": _TIME,
        "expiresAt": _TIME_OR_NULL,
        "revokedAt": _TIME_OR_NULL,
        "lastUsedAt": {**_TIME_OR_NULL, "description": "A few minutes behind: it is written now and then."},
    }
    secret: Json = {"type": "string", "description": "The key itself. It is shown this once and stored nowhere."}
    return {
        "Key": closed(key),
        "NewKey": closed({"key": schema("Key"), "secret": secret}),
        "KeyInput": struct_schema(
            KeyInput,
            {
                "application": {"minLength": 1, "description": "Its id; needed unless the kind is admin."},
                "name": {"maxLength": MAX_NAME_CHARACTERS},
            },
        ),
        "KeyRotation": struct_schema(
            KeyRotation, {"overlapS": {"description": "How long the old key keeps working, in seconds."}}
        ),
        "KeyList": closed({"keys": {"type": "array", "items": schema("Key")}, "pagination": schema("Pagination")}),
    }


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
