"""The JSON of management: bodies of requests, and records in responses."""

from __future__ import annotations

from typing import Annotated

import msgspec

from apimetry.query_api.http.json_values import Json, iso_or_none
from apimetry.store.accounts.accounts import Application, Key, KeyKind, Organization, Plan, RequestLimits
from apimetry.store.accounts.records import (
    FOREVER_DAYS,
    MAX_RETENTION_DAYS,
    MAX_TARGET_MS,
    NO_TARGET,
    checked_name,
    days_or_none,
)

MAX_OVERLAP_S = 365 * 86400
DEFAULT_OVERLAP_S = 86400
# The largest UInt32, the store's type.
MAX_APPLICATIONS = 2**32 - 1

RetentionDays = Annotated[int, msgspec.Meta(ge=1, le=MAX_RETENTION_DAYS)]
RequestLimit = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
MaxBuckets = Annotated[int, msgspec.Meta(ge=1, le=MAX_APPLICATIONS)]
TargetMs = Annotated[int, msgspec.Meta(ge=1, le=MAX_TARGET_MS)]
OverlapSeconds = Annotated[int, msgspec.Meta(ge=0, le=MAX_OVERLAP_S)]


class LimitsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Limits on the requests that an application's own clients make; None is no limit."""

    requests_per_minute: RequestLimit | None = None
    requests_per_hour: RequestLimit | None = None
    requests_per_day: RequestLimit | None = None

    def as_limits(self) -> RequestLimits:
        """Return the record."""
        return RequestLimits(self.requests_per_minute, self.requests_per_hour, self.requests_per_day)


class ApplicationInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A new application."""

    name: str
    id: str | None = None
    retention_days: RetentionDays | msgspec.UnsetType | None = msgspec.UNSET
    limits: LimitsBody = LimitsBody()
    target_ms: TargetMs | None = None


class ApplicationChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A change of an application; absent members stay as they are."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    retention_days: RetentionDays | msgspec.UnsetType | None = msgspec.UNSET
    limits: LimitsBody | msgspec.UnsetType = msgspec.UNSET
    target_ms: TargetMs | msgspec.UnsetType | None = msgspec.UNSET


class PlanBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The limits of an organization; None is no limit."""

    name: str
    max_buckets: MaxBuckets | None = None
    max_retention_days: RetentionDays | None = None
    max_api_calls: RequestLimit | None = None

    def as_plan(self) -> Plan:
        """Return the record; raises AccountInvalid for an invalid name."""
        return Plan(checked_name(self.name), self.max_buckets, self.max_retention_days, self.max_api_calls)


class OrganizationChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A change of an organization; absent members stay as they are. A plan is replaced as a whole."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    plan: PlanBody | msgspec.UnsetType = msgspec.UNSET


class KeyInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A new key."""

    kind: KeyKind
    application: str | None = None
    name: str = ""


class KeyRotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How a key is replaced: the old one works for `overlap_s` seconds more."""

    overlap_s: OverlapSeconds = DEFAULT_OVERLAP_S


def stored_days(retention_days: int | msgspec.UnsetType | None) -> int | None:
    """Return the days for the store of a body's `retentionDays`. Null means for ever; None: the member is absent."""
    if retention_days is msgspec.UNSET:
        return None
    return FOREVER_DAYS if retention_days is None else retention_days


def stored_target(target_ms: int | msgspec.UnsetType | None) -> int | None:
    """Return the target for the store of a body's `targetMs`. Null means no target; None: the member is absent."""
    if target_ms is msgspec.UNSET:
        return None
    return NO_TARGET if target_ms is None else target_ms


def application_json(application: Application) -> Json:
    """Return the JSON of an application."""
    return {
        "id": application.id,
        "name": application.name,
        "retentionDays": days_or_none(application.retention_days),
        "limits": {
            "requestsPerMinute": application.limits.per_minute,
            "requestsPerHour": application.limits.per_hour,
            "requestsPerDay": application.limits.per_day,
        },
        "targetMs": application.target_ms,
        "createdAt": iso_or_none(application.created_at),
    }


def organization_json(organization: Organization) -> Json:
    """Return the JSON of an organization."""
    return {
        "id": organization.id,
        "name": organization.name,
        "plan": plan_json(organization.plan),
        "createdAt": iso_or_none(organization.created_at),
    }


def plan_json(plan: Plan) -> Json:
    """Return the JSON of a plan; None is no limit."""
    return {
        "name": plan.name,
        "maxBuckets": plan.max_applications,
        "maxRetentionDays": plan.max_retention_days,
        "maxApiCalls": plan.max_calls_per_month,
    }


def key_json(key: Key) -> Json:
    """Return the JSON of a key, without the key itself."""
    return {
        "id": key.id,
        "kind": key.kind.value,
        "application": key.application_id,
        "name": key.name,
        "firstCharacters": key.first_characters,
        "createdAt": iso_or_none(key.created_at),
        "expiresAt": iso_or_none(key.expires_at),
        "revokedAt": iso_or_none(key.revoked_at),
        "lastUsedAt": iso_or_none(key.last_used_at),
    }
