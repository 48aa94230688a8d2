"""Bodies of requests about the organization, its applications and keys."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from apimetry.query_api.management.response import ApplicationId, Name, Plan, RequestLimits, RetentionDays, TargetMs
from apimetry.store.accounts.records import FOREVER_DAYS, MAX_NAME_CHARACTERS, NO_TARGET, KeyKind

MAX_OVERLAP_S = 365 * 86400
DEFAULT_OVERLAP_S = 86400

_Days = Annotated[RetentionDays | msgspec.UnsetType | None, Meta(description="Null: for ever.")]
_OverlapSeconds = Annotated[
    int, Meta(ge=0, le=MAX_OVERLAP_S, description="How long the old key keeps working, in seconds.")
]


class ApplicationInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A new application."""

    name: Name
    id: Annotated[ApplicationId | None, Meta(description="Null: one is made up.")] = None
    retention_days: _Days = msgspec.UNSET
    limits: RequestLimits = RequestLimits()
    target_ms: TargetMs = None


class ApplicationChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A change of an application; absent members stay as they are."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    retention_days: _Days = msgspec.UNSET
    limits: RequestLimits | msgspec.UnsetType = msgspec.UNSET
    target_ms: TargetMs | msgspec.UnsetType = msgspec.UNSET


class OrganizationChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A change of an organization; absent members stay as they are. A plan is replaced as a whole."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    plan: Plan | msgspec.UnsetType = msgspec.UNSET


class KeyInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A new key."""

    kind: KeyKind
    application: Annotated[
        Annotated[str, Meta(extra_json_schema={"minLength": 1})] | None,
        Meta(description="Its id; needed unless the kind is admin."),
    ] = None
    name: Annotated[str, Meta(extra_json_schema={"maxLength": MAX_NAME_CHARACTERS})] = ""


class KeyRotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How a key is replaced: the old one works for `overlap_s` seconds more."""

    overlap_s: _OverlapSeconds = DEFAULT_OVERLAP_S


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
