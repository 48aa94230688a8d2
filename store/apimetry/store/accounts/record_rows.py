"""Convert the account records to rows of their tables and back; pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from apimetry.store.accounts.records import Application, Key, KeyKind, Organization, Plan, RequestLimits
from apimetry.store.versions import Columns

_TIME: Final = "DateTime64(3, 'UTC')"

ORGANIZATIONS: Final = (
    "SELECT id, name, plan, max_applications, max_retention_days, max_calls_per_month, created_at"
    " FROM organizations FINAL"
)
APPLICATIONS: Final = (
    "SELECT id, organization_id, name, retention_days, per_minute, per_hour, per_day, created_at, target_ms, deleted"
    " FROM applications FINAL"
)
KEYS: Final = (
    "SELECT id, kind, organization_id, application_id, name, first_characters, created_at, expires_at, revoked_at,"
    " toString(sha256) AS sha256 FROM keys FINAL"
)


def organization_of(row: tuple[Any, ...]) -> Organization:
    """Return the organization of a row of ORGANIZATIONS."""
    return Organization(row[0], row[1], Plan(*row[2:6]), row[6])


def organization_columns(organization: Organization) -> Columns:
    """Return the columns of an organization."""
    plan = organization.plan
    return {
        "id": ("String", organization.id),
        "name": ("String", organization.name),
        "plan": ("String", plan.name),
        "max_applications": ("Nullable(UInt32)", plan.max_applications),
        "max_retention_days": ("Nullable(UInt16)", plan.max_retention_days),
        "max_calls_per_month": ("Nullable(UInt64)", plan.max_calls_per_month),
        "created_at": (_TIME, organization.created_at),
    }


def application_of(row: tuple[Any, ...]) -> Application:
    """Return the application of a row of APPLICATIONS; the row's last value, `deleted`, is not part of it."""
    return Application(row[0], row[1], row[2], row[3], RequestLimits(*row[4:7]), row[7], row[8])


def application_columns(application: Application, *, deleted: bool) -> Columns:
    """Return the columns of an application."""
    return {
        "id": ("String", application.id),
        "organization_id": ("String", application.organization_id),
        "name": ("String", application.name),
        "retention_days": ("UInt16", application.retention_days),
        "per_minute": ("Nullable(UInt64)", application.limits.per_minute),
        "per_hour": ("Nullable(UInt64)", application.limits.per_hour),
        "per_day": ("Nullable(UInt64)", application.limits.per_day),
        "created_at": (_TIME, application.created_at),
        "target_ms": ("Nullable(UInt32)", application.target_ms),
        "deleted": ("UInt8", int(deleted)),
    }


def key_of(row: tuple[Any, ...], last_used_at: datetime | None) -> Key:
    """Return the key of a row of KEYS; its last use comes from the table `key_uses`."""
    return Key(
        id=row[0],
        kind=KeyKind(row[1]),
        organization_id=row[2],
        application_id=row[3] or None,
        name=row[4],
        first_characters=row[5],
        created_at=row[6],
        expires_at=row[7],
        revoked_at=row[8],
        last_used_at=last_used_at,
    )


def key_columns(key: Key, sha256: str) -> Columns:
    """Return the columns of a key; the secret's SHA-256 stands for the secret."""
    return {
        "id": ("String", key.id),
        "kind": ("String", key.kind.value),
        "organization_id": ("String", key.organization_id),
        "application_id": ("String", key.application_id or ""),
        "name": ("String", key.name),
        "sha256": ("String", sha256),
        "first_characters": ("String", key.first_characters),
        "created_at": (_TIME, key.created_at),
        "expires_at": (f"Nullable({_TIME})", key.expires_at),
        "revoked_at": (f"Nullable({_TIME})", key.revoked_at),
    }
