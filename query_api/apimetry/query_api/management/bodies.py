"""The JSON of management: what may be sent, how it is read, and how records are shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web

from apimetry.query_api.http.body_refusals import refusal_of
from apimetry.serving.errors import BadRequest, UnsupportedMediaType
from apimetry.store.accounts.accounts import Application, Key, KeyKind, Organization, Plan, RequestLimits
from apimetry.store.accounts.records import MAX_RETENTION_DAYS, checked_name

MAX_OVERLAP_S = 365 * 86400
DEFAULT_OVERLAP_S = 86400
# What the store's UInt32 holds.
MAX_APPLICATIONS = 2**32 - 1
MAX_PAGE = 1000
DEFAULT_PAGE = 100
# 2^63 - 1 is what a signed 64-bit offset of any client can hold; a list that long does not exist.
MAX_OFFSET = 2**63 - 1

RetentionDays = Annotated[int, msgspec.Meta(ge=1, le=MAX_RETENTION_DAYS)]
RequestLimit = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
MaxBuckets = Annotated[int, msgspec.Meta(ge=1, le=MAX_APPLICATIONS)]
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
    retention_days: RetentionDays | None = None
    limits: LimitsBody = LimitsBody()


class ApplicationChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What is to change of an application; what is left out stays."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    retention_days: RetentionDays | msgspec.UnsetType = msgspec.UNSET
    limits: LimitsBody | msgspec.UnsetType = msgspec.UNSET


class PlanBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What an organization may have; None is no limit."""

    name: str
    max_buckets: MaxBuckets | None = None
    max_retention_days: RetentionDays | None = None
    max_api_calls: RequestLimit | None = None

    def as_plan(self) -> Plan:
        """Return the record; raises AccountInvalid for a name that is none."""
        return Plan(checked_name(self.name), self.max_buckets, self.max_retention_days, self.max_api_calls)


class OrganizationChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What is to change of an organization; what is left out stays, and a plan is replaced as a whole."""

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


Body = TypeVar("Body", bound=msgspec.Struct)


async def read_body(request: web.Request, shape: type[Body], *, may_be_empty: bool = False) -> Body:
    """Return the request's JSON body as `shape`. Authorize before calling it.

    Raises:
        BadRequest: not JSON, an unknown member, or a value that is not allowed; the message names it.
        UnsupportedMediaType: the body says that it is not JSON.
    """
    content = await request.read()
    if not content and may_be_empty:
        return shape()
    if request.content_type != "application/json":
        raise UnsupportedMediaType(f"Content-Type is {request.content_type!r}; allowed: application/json")
    try:
        return msgspec.json.decode(content, type=shape)
    except msgspec.ValidationError as error:
        raise refusal_of(error, content, shape) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from error


def page_of(request: web.Request, rows: Sequence[object], member: str) -> dict[str, object]:
    """Return the page of `rows` that the query string asks for, under `member`, with `pagination`.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    known = {"limit", "offset", "application"}
    for name, value in request.query.items():
        if value and name not in known:
            raise BadRequest(f"a parameter's name is {name[:80]!r}; allowed: {', '.join(sorted(known))}")
    limit = _number(request, "limit", DEFAULT_PAGE, range(1, MAX_PAGE + 1))
    offset = _number(request, "offset", 0, range(MAX_OFFSET))
    return {
        member: rows[offset : offset + limit],
        "pagination": {
            "total": len(rows),
            "limit": limit,
            "offset": offset,
            "hasMore": offset + limit < len(rows),
        },
    }


def _number(request: web.Request, name: str, default: int, allowed: range) -> int:
    text = request.query.get(name) or str(default)
    # Nineteen digits hold every allowed number, and int() is quick with them.
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) in allowed):
        raise BadRequest(f"{name} is {text[:80]!r}; allowed: a whole number, {allowed.start} to {allowed.stop - 1}")
    return int(text)


def application_json(application: Application) -> dict[str, object]:
    """Return an application as it is shown."""
    return {
        "id": application.id,
        "name": application.name,
        "retentionDays": application.retention_days,
        "limits": {
            "requestsPerMinute": application.limits.per_minute,
            "requestsPerHour": application.limits.per_hour,
            "requestsPerDay": application.limits.per_day,
        },
        "createdAt": iso_or_none(application.created_at),
    }


def organization_json(organization: Organization) -> dict[str, object]:
    """Return an organization as it is shown."""
    return {
        "id": organization.id,
        "name": organization.name,
        "plan": plan_json(organization.plan),
        "createdAt": iso_or_none(organization.created_at),
    }


def plan_json(plan: Plan) -> dict[str, object]:
    """Return a plan as seed 000 shows it; None is no limit."""
    return {
        "name": plan.name,
        "maxBuckets": plan.max_applications,
        "maxRetentionDays": plan.max_retention_days,
        "maxApiCalls": plan.max_calls_per_month,
    }


def key_json(key: Key) -> dict[str, object]:
    """Return a key as it is shown: everything but the key itself."""
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


def iso_or_none(time: datetime | None) -> str | None:
    """Return ISO 8601 with whole seconds and a Z, as the seeds write times."""
    if time is None:
        return None
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
