"""The shapes of bodies in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.management.account_bodies import (
    ApplicationChange,
    ApplicationInput,
    KeyInput,
    KeyRotation,
    LimitsBody,
    OrganizationChange,
)
from apimetry.query_api.openapi import alerts, insights_schemas, jobs, overview, usage_schemas
from apimetry.serving.openapi import COUNT, closed, schema, struct_schema
from apimetry.store.accounts.accounts import KeyKind
from apimetry.store.accounts.records import APPLICATION_ID_PATTERN, MAX_NAME_CHARACTERS, MAX_RETENTION_DAYS

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


def all_schemas() -> Json:
    """Return every named schema."""
    return {
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
        **_timeseries(),
        **usage_schemas.schemas(),
        **insights_schemas.schemas(),
        **overview.schemas(),
        **_applications(),
        **_keys(),
        **_organization(),
        **alerts.schemas(),
        **jobs.schemas(),
        **_service(),
        "Pagination": closed({"total": COUNT, "limit": COUNT, "offset": COUNT, "hasMore": {"type": "boolean"}}),
    }


def _timeseries() -> Json:
    point = {
        "type": "array",
        "description": "Unix seconds, value.",
        "prefixItems": [{"type": "integer"}, {"type": ["number", "null"]}],
        "minItems": 2,
        "maxItems": 2,
    }
    return {
        "Point": point,
        "Timeseries": closed(
            {
                "groups": {
                    "type": "object",
                    "description": "Series by group; without `group`, one under the application's id.",
                    "additionalProperties": {"type": "array", "items": schema("Point")},
                },
                "start": {"type": "integer"},
                "end": {"type": "integer"},
                "granularity": {"type": "integer", "description": "Milliseconds."},
                "omitted_groups": {**COUNT, "description": "Groups beyond `limit`, where one was given."},
                "completeness": schema("Completeness"),
                "previous": schema("PreviousPeriod"),
            },
            optional=("omitted_groups", "completeness", "previous"),
        ),
        "PreviousPeriod": _previous_period(),
        "Completeness": _completeness(),
    }


def _previous_period() -> Json:
    return {
        **closed(
            {
                "groups": {
                    "type": "object",
                    "description": "Series by group; each asked group has one.",
                    "additionalProperties": {"type": "array", "items": schema("Point")},
                },
                "start": {"type": "integer", "description": "The asked start minus the asked span."},
                "end": {"type": "integer", "description": "The asked start."},
            }
        ),
        "description": "With `compare=previous`: the period before. Its buckets are those of the asked period, "
        "moved by the span, and its points carry the times of their counterparts: two series can be laid over "
        "each other. With `limit` it has the same groups.",
    }


def _completeness() -> Json:
    return {
        **closed(
            {
                "captured": {**COUNT, "description": "Stored and lost together."},
                "stored": {**COUNT, "description": "Those that the store holds."},
                "pending": {**COUNT, "description": "In living senders' buffers when they last reported."},
                "lost": {"type": "object", "description": "By reason.", "additionalProperties": COUNT},
                "share": {
                    "type": ["number", "null"],
                    "minimum": 0,
                    "maximum": 1,
                    "description": "Stored divided by captured, six decimals, rounded down; null: none.",
                },
                "senders": {**COUNT, "description": "Processes that reported in the range."},
            }
        ),
        "description": "Of the events whose fate was decided in the range, widened to whole minutes, the share "
        "that is stored: by the counts that senders with the middleware report, whatever the filters and the "
        "weights. Reasons are the senders' own (`buffer_full`, `invalid`, `shutdown`), `rejected` by the "
        "collector, `unaccounted` (acknowledged and not stored: in a spool or a quarantine) and `sender_gone` "
        "(in the buffer of a process when it was last heard, over five minutes ago). Senders of JSON report "
        "nothing and are outside, as is what a killed process captured after its last report.",
    }


def _applications() -> Json:
    shown: Json = {"name": _NAME, "retentionDays": _DAYS, "limits": schema("RequestLimits")}
    prose: dict[str, Json] = {
        "name": _NAME,
        "retentionDays": {"description": "Null: for ever."},
        "limits": schema("RequestLimits"),
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
        "lastUsedAt": _TIME_OR_NULL,
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
    }
