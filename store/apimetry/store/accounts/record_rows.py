"""Convert the account records to rows of their tables and back; pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from apimetry.store.accounts.records import Application, Key, KeyKind, Organization, Plan, RequestLimits
from apimetry.store.named_rows import named, select
from apimetry.store.versions import Columns

_TIME: Final = "DateTime64(3, 'UTC')"

_ORGANIZATION: Final = (
    "id",
    "name",
    "plan",
    "max_applications",
    "max_retention_days",
    "max_calls_per_month",
    "created_at",
)
_APPLICATION: Final = (
    "id",
    "organization_id",
    "name",
    "retention_days",
    "per_minute",
    "per_hour",
    "per_day",
    "created_at",
    "target_ms",
    "deleted",
)
_KEY: Final = (
    "id",
    "kind",
    "organization_id",
    "application_id",
    "name",
    "first_characters",
    "created_at",
    "expires_at",
    "revoked_at",
    "toString(sha256)",
)
ORGANIZATIONS: Final = select("organizations", _ORGANIZATION)
APPLICATIONS: Final = select("applications", _APPLICATION)
KEYS: Final = select("keys", _KEY)


def organization_of(row: tuple[Any, ...]) -> Organization:
    """Return the organization of a row of ORGANIZATIONS."""
    values = named(_ORGANIZATION, row)
    plan = Plan(
        values["plan"], values["max_applications"], values["max_retention_days"], values["max_calls_per_month"]
    )
    return Organization(values["id"], values["name"], plan, values["created_at"])


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
    """Return the application of a row of APPLICATIONS, also of a deleted one."""
    values = named(_APPLICATION, row)
    limits = RequestLimits(**{name: values.pop(name) for name in ("per_minute", "per_hour", "per_day")})
    del values["deleted"]
    return Application(**values, limits=limits)


def is_deleted(row: tuple[Any, ...]) -> bool:
    """Return whether the application of a row of APPLICATIONS was deleted."""
    return bool(named(_APPLICATION, row)["deleted"])


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
    values = named(_KEY, row)
    del values["toString(sha256)"]
    converted = {"kind": KeyKind(values["kind"]), "application_id": values["application_id"] or None}
    return Key(**{**values, **converted, "last_used_at": last_used_at})


def hash_of(row: tuple[Any, ...]) -> str:
    """Return the SHA-256 of the key of a row of KEYS, in hexadecimal digits."""
    return str(named(_KEY, row)["toString(sha256)"])


def id_of(row: tuple[Any, ...]) -> str:
    """Return the id of the key of a row of KEYS."""
    return str(named(_KEY, row)["id"])


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
