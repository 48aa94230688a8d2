"""The shapes of bodies in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.bodies import DEFAULT_OVERLAP_S, MAX_OVERLAP_S
from apimetry.query_api.openapi.parts import Json, schema
from apimetry.store.accounts import KeyKind
from apimetry.store.records import MAX_RETENTION_DAYS

_TIME: Json = {"type": "string", "format": "date-time"}
_TIME_OR_NULL: Json = {"type": ["string", "null"], "format": "date-time"}
_ID: Json = {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_LIMIT: Json = {"type": ["integer", "null"], "minimum": 1, "description": "Null: no limit."}
_KIND: Json = {"type": "string", "enum": [kind.value for kind in KeyKind]}
_NAME: Json = {"type": "string", "minLength": 1, "maxLength": 200}
_DAYS: Json = {"type": "integer", "minimum": 1, "maximum": MAX_RETENTION_DAYS}


def all_schemas() -> Json:
    """Return every named schema."""
    return {
        "Error": _closed(
            {"error": {"type": "string"}, "message": {"type": "string"}, "details": {"type": "array"}},
            optional=("details",),
        ),
        **_timeseries(),
        **_applications(),
        **_keys(),
        **_service(),
        "Pagination": _closed({"total": _COUNT, "limit": _COUNT, "offset": _COUNT, "hasMore": {"type": "boolean"}}),
    }


def _closed(properties: Json, *, optional: tuple[str, ...] = ()) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
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
        "Timeseries": _closed(
            {
                "groups": {
                    "type": "object",
                    "description": "Series by group; without `group`, one under the application's id.",
                    "additionalProperties": {"type": "array", "items": schema("Point")},
                },
                "start": {"type": "integer"},
                "end": {"type": "integer"},
                "granularity": {"type": "integer", "description": "Milliseconds."},
                "omitted_groups": {**_COUNT, "description": "Groups beyond `limit`, where one was given."},
            },
            optional=("omitted_groups",),
        ),
    }


def _applications() -> Json:
    writable: Json = {"name": _NAME, "retentionDays": _DAYS, "limits": schema("RequestLimits")}
    limits: Json = {"requestsPerMinute": _LIMIT, "requestsPerHour": _LIMIT, "requestsPerDay": _LIMIT}
    return {
        "RequestLimits": _closed(limits, optional=tuple(limits)),
        "Application": _closed({"id": _ID, **writable, "createdAt": _TIME}),
        "OneApplication": _closed({"application": schema("Application")}),
        "ApplicationInput": _closed({"id": _ID, **writable}, optional=("id", "retentionDays", "limits")),
        "ApplicationChange": {**_closed(writable, optional=tuple(writable)), "minProperties": 1},
        "ApplicationList": _closed(
            {
                "applications": {"type": "array", "items": schema("Application")},
                "pagination": schema("Pagination"),
            }
        ),
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
        "Key": _closed(key),
        "NewKey": _closed({"key": schema("Key"), "secret": secret}),
        "KeyInput": _closed(
            {
                "kind": _KIND,
                "application": {"type": "string", "description": "Its id; needed unless the kind is admin."},
                "name": {"type": "string", "maxLength": 200},
            },
            optional=("application", "name"),
        ),
        "KeyRotation": _closed(
            {
                "overlapS": {
                    "type": "integer",
                    "minimum": 0,
                    "maximum": MAX_OVERLAP_S,
                    "default": DEFAULT_OVERLAP_S,
                    "description": "How long the old key keeps working, in seconds.",
                }
            },
            optional=("overlapS",),
        ),
        "KeyList": _closed({"keys": {"type": "array", "items": schema("Key")}, "pagination": schema("Pagination")}),
    }


def _service() -> Json:
    return {
        "Health": _closed({"status": {"type": "string", "const": "ok"}, "version": {"type": "string"}}),
        "Readiness": _closed(
            {"ready": {"type": "boolean"}, "reasons": {"type": "array", "items": {"type": "string"}}}
        ),
    }
