"""The shapes of answers about the organization, its applications and keys. The OpenAPI document takes them from here.

`Plan` and `RequestLimits` are shapes of requests, too.
"""

from __future__ import annotations

from typing import Annotated, TypedDict

import msgspec
from msgspec import Meta

from apimetry.query_api.http.json_values import iso_datetime, iso_or_none
from apimetry.query_api.http.listing import Pagination
from apimetry.serving.answer_types import Time, one_of
from apimetry.store.accounts import records
from apimetry.store.accounts.records import (
    APPLICATION_ID_PATTERN,
    MAX_NAME_CHARACTERS,
    MAX_RETENTION_DAYS,
    MAX_TARGET_MS,
    checked_name,
    days_or_none,
)

# The largest UInt32, the store's type for a plan's applications.
_LARGEST_PLAN = 2**32 - 1

# The store checks a name and an id, so that its message says what is allowed: the document alone has their limits.
Name = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MAX_NAME_CHARACTERS})]
ApplicationId = Annotated[str, Meta(extra_json_schema={"pattern": f"^{APPLICATION_ID_PATTERN}$"})]
RetentionDays = Annotated[int, Meta(ge=1, le=MAX_RETENTION_DAYS)]
TargetMs = Annotated[
    Annotated[int, Meta(ge=1, le=MAX_TARGET_MS)] | None,
    Meta(description="The response time that requests are meant to keep, milliseconds. Null: none."),
]
Amount = Annotated[int, Meta(ge=1, le=2**63 - 1)]
_Limit = Annotated[Amount | None, Meta(description="Null: no limit.")]


class RequestLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Limits on the requests that an application's own clients make."""

    requests_per_minute: _Limit = None
    requests_per_hour: _Limit = None
    requests_per_day: _Limit = None

    def as_limits(self) -> records.RequestLimits:
        """Return the record."""
        return records.RequestLimits(self.requests_per_minute, self.requests_per_hour, self.requests_per_day)


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The limits of an organization."""

    name: Name
    max_buckets: Annotated[
        Annotated[int, Meta(ge=1, le=_LARGEST_PLAN)] | None, Meta(description="Null: no limit.")
    ] = None
    max_retention_days: Annotated[RetentionDays | None, Meta(description="Null: no limit.")] = None
    max_api_calls: Annotated[Amount | None, Meta(description="By the month. Null: no limit.")] = None

    def as_plan(self) -> records.Plan:
        """Return the record; raises AccountInvalid for an invalid name."""
        return records.Plan(checked_name(self.name), self.max_buckets, self.max_retention_days, self.max_api_calls)


class Application(TypedDict):
    """An application."""

    id: ApplicationId
    name: Name
    retentionDays: Annotated[RetentionDays | None, Meta(description="Null: for ever.")]
    limits: RequestLimits
    targetMs: TargetMs
    createdAt: Time


class OneApplication(TypedDict):
    """One application."""

    application: Application


class ApplicationList(TypedDict):
    """One page of the organization's applications."""

    applications: list[Application]
    pagination: Pagination


class Organization(TypedDict):
    """An organization."""

    id: ApplicationId
    name: Name
    plan: Plan
    createdAt: Time


class OneOrganization(TypedDict):
    """The key's organization."""

    organization: Organization


class Key(TypedDict):
    """A key, without the key itself."""

    id: ApplicationId
    kind: Annotated[str, one_of(kind.value for kind in records.KeyKind)]
    application: Annotated[str | None, Meta(description="Its id; null: an admin key.")]
    name: str
    firstCharacters: str
    createdAt: Time
    expiresAt: Time | None
    revokedAt: Time | None
    lastUsedAt: Annotated[Time | None, Meta(description="A few minutes behind: it is written now and then.")]


class NewKey(TypedDict):
    """A key that was just made."""

    key: Key
    secret: Annotated[str, Meta(description="The key itself. It is shown this once and stored nowhere.")]


class KeyList(TypedDict):
    """One page of the organization's keys."""

    keys: list[Key]
    pagination: Pagination


def application_json(application: records.Application) -> Application:
    """Return the JSON of an application."""
    limits = application.limits
    return {
        "id": application.id,
        "name": application.name,
        "retentionDays": days_or_none(application.retention_days),
        "limits": RequestLimits(limits.per_minute, limits.per_hour, limits.per_day),
        "targetMs": application.target_ms,
        "createdAt": iso_datetime(application.created_at),
    }


def organization_json(organization: records.Organization) -> Organization:
    """Return the JSON of an organization."""
    return {
        "id": organization.id,
        "name": organization.name,
        "plan": plan_json(organization.plan),
        "createdAt": iso_datetime(organization.created_at),
    }


def plan_json(plan: records.Plan) -> Plan:
    """Return the JSON of a plan; None is no limit."""
    return Plan(plan.name, plan.max_applications, plan.max_retention_days, plan.max_calls_per_month)


def key_json(key: records.Key) -> Key:
    """Return the JSON of a key, without the key itself."""
    return {
        "id": key.id,
        "kind": key.kind.value,
        "application": key.application_id,
        "name": key.name,
        "firstCharacters": key.first_characters,
        "createdAt": iso_datetime(key.created_at),
        "expiresAt": iso_or_none(key.expires_at),
        "revokedAt": iso_or_none(key.revoked_at),
        "lastUsedAt": iso_or_none(key.last_used_at),
    }
