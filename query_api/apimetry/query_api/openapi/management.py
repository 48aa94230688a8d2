"""The management endpoints in the OpenAPI document."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.management.account_bodies import (
    ApplicationChange,
    ApplicationInput,
    KeyInput,
    KeyRotation,
    OrganizationChange,
)
from apimetry.query_api.management.response import (
    ApplicationList,
    KeyList,
    NewKey,
    OneApplication,
    OneOrganization,
    Plan,
    RequestLimits,
)
from apimetry.query_api.openapi import jobs
from apimetry.serving.openapi import (
    answer,
    errors,
    json_content,
    operation,
    query_parameter,
    ref,
    schema,
    struct_schema,
)

_TAGS = ["Management"]
_APPLICATION = {
    "id": "shop",
    "name": "Shop",
    "retentionDays": 90,
    "limits": {"requestsPerMinute": 600, "requestsPerHour": None, "requestsPerDay": None},
    "targetMs": 300,
    "createdAt": "2026-01-20T14:00:00Z",
}
_ORGANIZATION = {
    "id": "507f1f77bcf86cd799439000",
    "name": "My Organization",
    "plan": {"name": "Pro", "maxBuckets": 25, "maxRetentionDays": 365, "maxApiCalls": 1000000},
    "createdAt": "2026-01-20T14:00:00Z",
}
_KEY = {
    "id": "507f1f77bcf86cd799439011",
    "kind": "read",
    "application": "shop",
    "name": "dashboard",
    "firstCharacters": "apimetry_r_Ab3dE",
    "createdAt": "2026-01-20T14:00:00Z",
    "expiresAt": None,
    "revokedAt": None,
    "lastUsedAt": None,
}
_NEW_KEY = {"key": _KEY, "secret": "apimetry_r_Ab3dEf6hIj9lMn2pQr5tUv8xYz1bCd4fGh7jKl"}
_PAGE = {"total": 1, "limit": 100, "offset": 0, "hasMore": False}
_READ_ERRORS = ("BadRequest", "Unauthorized", "Forbidden", "NotFound", "Unavailable")
_WRITE_ERRORS = (*_READ_ERRORS, "Conflict", "PayloadTooLarge", "UnsupportedMediaType")


def paths() -> Json:
    """Return the paths of the organization, applications and keys."""
    return {
        "/api/applications": _applications(),
        "/api/applications/{id}": _application(),
        "/api/organization": _organization(),
        "/api/keys": _keys(),
        "/api/keys/{id}": _key(),
        "/api/keys/{id}/rotate": _rotation(),
    }


def _body(name: str, example: object, *, required: bool = True) -> Json:
    return {"required": required, "content": json_content(name, example=example)}


def _operation(name: str, summary: str, responses: Json, failures: tuple[str, ...], **more: object) -> Json:
    # Any admin key may name an application with ?application=ID; these endpoints do not need it.
    return operation(name, summary, {**responses, **errors(*failures)}, tags=_TAGS, **more)


def _applications() -> Json:
    page = [ref("parameters", "Limit"), ref("parameters", "Offset")]
    listed = json_content(ApplicationList, example={"applications": [_APPLICATION], "pagination": _PAGE})
    return {
        "get": _operation(
            "listApplications",
            "Applications of the organization",
            {"200": answer("One page of them, the oldest first.", listed)},
            _READ_ERRORS,
            parameters=page,
        ),
        "post": _operation(
            "createApplication",
            "Make an application",
            {"201": answer("Made.", json_content(OneApplication, example={"application": _APPLICATION}))},
            _WRITE_ERRORS,
            description="More of them than the plan allows are a 403, a longer retention than it allows is a 400."
            " Without an id one is made up; without a retention it is the plan's longest, or 90 days. A retention of"
            " null keeps events for ever, where the plan has no limit.",
            requestBody=_body(
                "ApplicationInput", {"id": "shop", "name": "Shop", "retentionDays": 90, "targetMs": 300}
            ),
        ),
    }


def _application() -> Json:
    content = json_content(OneApplication, example={"application": _APPLICATION})
    return {
        "parameters": [ref("parameters", "ApplicationId")],
        "get": _operation("getApplication", "One application", {"200": answer("It.", content)}, _READ_ERRORS),
        "patch": _operation(
            "changeApplication",
            "Change an application",
            {"200": answer("As it is now.", content)},
            _WRITE_ERRORS,
            description="What the body leaves out stays. `limits` is replaced as a whole: a limit left out is none."
            " A `targetMs` of null takes the target away. A"
            " new retention holds for stored events too, some seconds later (`/api/jobs`).",
            requestBody=_body("ApplicationChange", {"retentionDays": 30}),
        ),
        "delete": _operation(
            "deleteApplication",
            "Delete an application",
            {**jobs.answers(), "204": answer("Deleted, and its keys revoked. Its events stay.")},
            _READ_ERRORS,
            description="With `events=true` its events are deleted with it, and the answer is that of a deletion;"
            " those that a collector accepted before, and inserts afterwards, stay. Without, they stay until their"
            " retention ends.",
            parameters=[
                query_parameter(
                    "events", "Whether its events go too.", {"type": "string", "enum": ["true", "false"]}, "true"
                )
            ],
        ),
    }


def _organization() -> Json:
    content = json_content(OneOrganization, example={"organization": _ORGANIZATION})
    return {
        "get": _operation(
            "getOrganization", "The key's organization", {"200": answer("It, with its plan.", content)}, _READ_ERRORS
        ),
        "patch": _operation(
            "changeOrganization",
            "Change the organization",
            {"200": answer("As it is now.", content)},
            _WRITE_ERRORS,
            description="What the body leaves out stays. `plan` is replaced as a whole: a limit left out is none, and"
            " what exists already and exceeds a smaller plan stays. A service that is run for others keeps plans to"
            " itself (`plan_changes` among its settings): a plan is then a 403. `maxApiCalls` is shown; collectors"
            " hold it only if they are told to (`hard_call_limit`), and then refuse events beyond it with 429.",
            requestBody=_body("OrganizationChange", {"name": "My Organization"}),
        ),
    }


def _keys() -> Json:
    listed = json_content(KeyList, example={"keys": [_KEY], "pagination": _PAGE})
    return {
        "get": _operation(
            "listKeys",
            "Keys of the organization, revoked ones included",
            {"200": answer("One page of them, the oldest first; never a secret.", listed)},
            _READ_ERRORS,
            parameters=[
                ref("parameters", "Limit"),
                ref("parameters", "Offset"),
                ref("parameters", "Application"),
            ],
        ),
        "post": _operation(
            "createKey",
            "Make a key",
            {"201": answer("Made. Its secret is shown this once.", json_content(NewKey, example=_NEW_KEY))},
            _WRITE_ERRORS,
            requestBody=_body("KeyInput", {"kind": "read", "application": "shop", "name": "dashboard"}),
        ),
    }


def _key() -> Json:
    return {
        "parameters": [ref("parameters", "KeyId")],
        "delete": _operation(
            "revokeKey",
            "Revoke a key",
            {"204": answer("Revoked; it stops working everywhere within 30 s.")},
            (*_READ_ERRORS, "Conflict"),
            description="The organization's last admin key is a 409: make or rotate another one first.",
        ),
    }


def _rotation() -> Json:
    return {
        "parameters": [ref("parameters", "KeyId")],
        "post": _operation(
            "rotateKey",
            "Replace a key",
            {"201": answer("The new key, of the same kind.", json_content(NewKey, example=_NEW_KEY))},
            _WRITE_ERRORS,
            description="The old key keeps working for `overlapS` seconds.",
            requestBody=_body("KeyRotation", {"overlapS": 3600}, required=False),
        ),
    }


def schemas() -> Json:
    """Return the schemas of requests."""
    limits, plan = schema(RequestLimits), schema(Plan)
    return {
        "ApplicationInput": struct_schema(ApplicationInput, {"limits": limits}),
        "ApplicationChange": {**struct_schema(ApplicationChange, {"limits": limits}), "minProperties": 1},
        "OrganizationChange": {**struct_schema(OrganizationChange, {"plan": plan}), "minProperties": 1},
        "KeyInput": struct_schema(KeyInput),
        "KeyRotation": struct_schema(KeyRotation),
    }
