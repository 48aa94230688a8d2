"""Define the account records and the form of a key, and check their values; pure."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from apimetry.store.errors import AccountInvalid


class KeyKind(str, Enum):
    """A key's right: everything in its organization, sending to one application, or querying one application."""

    admin = "admin"
    write = "write"
    read = "read"


KEY_PREFIXES: Final[Mapping[KeyKind, str]] = {
    KeyKind.admin: "apimetry_a_",
    KeyKind.write: "apimetry_w_",
    KeyKind.read: "apimetry_r_",
}
# Multiples of four: the original dashboard pads other lengths with `=`.
KEY_LENGTH: Final = 48
KEY_LENGTHS: Final = (48, 52)
SHOWN_CHARACTERS: Final = 16
DEFAULT_RETENTION_DAYS: Final = 90
MAX_RETENTION_DAYS: Final = 3650
# "For ever" is 54 years: the engine adds a row's days to its time, and DateTime ends in 2106.
FOREVER_DAYS: Final = 20_000

_KEY_ALPHABET: Final = string.ascii_letters + string.digits
_KEY_REST = re.compile(r"[A-Za-z0-9_-]+")
APPLICATION_ID_PATTERN: Final = r"[A-Za-z0-9_.-]{1,64}"
_APPLICATION_ID = re.compile(APPLICATION_ID_PATTERN)
MAX_NAME_CHARACTERS: Final = 200
MAX_TARGET_MS: Final = 3_600_000
NO_TARGET: Final = 0
"""What takes an application's target away."""
# Both services hold all applications and all working keys in memory. So an organization has a limit, whatever its
# plan says. A rotation may exceed the limit on keys: an old key must always be replaceable.
MAX_APPLICATIONS: Final = 2_000
MAX_WORKING_KEYS: Final = 8_000
MAX_ROTATED_KEYS: Final = 1_000
APPLICATION_BYTES: Final = 2_000
KEY_BYTES: Final = 3_000
"""What an application and a key take in a `Directory`, with the copy that it compares with its file."""
MAX_ENDED_KEYS_LISTED: Final = 10_000


@dataclass(frozen=True)
class Plan:
    """The limits of an organization; None is no limit."""

    name: str = "self-hosted"
    max_applications: int | None = None
    max_retention_days: int | None = None
    max_calls_per_month: int | None = None


@dataclass(frozen=True)
class Organization:
    """The owner of applications and keys."""

    id: str
    name: str
    plan: Plan
    created_at: datetime


@dataclass(frozen=True)
class RequestLimits:
    """How many requests the application's own clients may make; None is no limit. apimetry does not enforce them."""

    per_minute: int | None = None
    per_hour: int | None = None
    per_day: int | None = None


@dataclass(frozen=True)
class Application:
    """The owner of events. A changed `retention_days` reaches stored events by a job (`jobs`)."""

    id: str
    organization_id: str
    name: str
    retention_days: int
    limits: RequestLimits
    created_at: datetime
    target_ms: int | None = None
    """The response time that its requests are meant to keep, in milliseconds; None: there is no target."""


@dataclass(frozen=True)
class Key:
    """A key without its secret; `application_id` is None for an admin key."""

    id: str
    kind: KeyKind
    organization_id: str
    application_id: str | None
    name: str
    first_characters: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Return whether the key still works at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def hash_key(secret: str) -> str:
    """Return the SHA-256 of a key, as 64 hex digits; the store keeps a key in this form and looks it up by it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def generate_key(kind: KeyKind) -> str:
    """Return a new key of 48 characters; its random part has at least 220 bits."""
    prefix = KEY_PREFIXES[kind]
    return prefix + "".join(secrets.choice(_KEY_ALPHABET) for _ in range(KEY_LENGTH - len(prefix)))


def derived_id(sha256: str) -> str:
    """Return the id that belongs to a hash: two processes that create the same record write the same id."""
    return hash_key(sha256)[:24]


def check_key(kind: KeyKind, secret: str) -> str:
    """Return `secret` if it has the form of a key of this kind; raises AccountInvalid without the secret."""
    prefix = KEY_PREFIXES[kind]
    if not secret.startswith(prefix):
        raise AccountInvalid(f"the {kind.value} key must start with {prefix}")
    if len(secret) not in KEY_LENGTHS:
        raise AccountInvalid(f"the {kind.value} key must have 48 or 52 characters in all, not {len(secret)}")
    if not _KEY_REST.fullmatch(secret):
        raise AccountInvalid(f"the {kind.value} key may have letters, digits, - and _ only")
    return secret


def checked_application_id(application_id: str) -> str:
    """Return `application_id` if it is allowed; raises AccountInvalid."""
    if not _APPLICATION_ID.fullmatch(application_id):
        raise AccountInvalid(
            f"an application's id is 1 to 64 letters, digits, '_', '.' and '-', not {application_id[:80]!r}"
        )
    if not any(character.isalnum() for character in application_id):
        # A URL's path cannot hold '.' or '..' as an id, and nobody can read '...'.
        raise unavailable_id(application_id)
    return application_id


def unavailable_id(application_id: str) -> AccountInvalid:
    """Return the error for an id that is not available."""
    return AccountInvalid(f"the application id {application_id!r} cannot be had: choose another, or leave it out")


def checked_name(name: str, *, empty: bool = False) -> str:
    """Return `name` without surrounding spaces; `empty` allows an empty name. Raises AccountInvalid."""
    if not (name.strip() or empty) or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise AccountInvalid(f"a name is 1 to {MAX_NAME_CHARACTERS} printable characters")
    return name.strip()


def checked_retention(days: int | None, plan: Plan) -> int:
    """Return the retention in days; None takes the default, or the plan's limit where that is lower.

    FOREVER_DAYS keeps events for ever, and is allowed where the plan has no limit. Raises AccountInvalid.
    """
    longest = min(plan.max_retention_days or MAX_RETENTION_DAYS, MAX_RETENTION_DAYS)
    if days is None:
        return min(DEFAULT_RETENTION_DAYS, longest)
    if days == FOREVER_DAYS:
        if plan.max_retention_days is not None:
            raise AccountInvalid(f"the plan {plan.name!r} allows a retention of {longest} days, not for ever")
        return days
    if not 1 <= days <= MAX_RETENTION_DAYS:
        raise AccountInvalid(f"retention_days must be 1 to {MAX_RETENTION_DAYS}, not {days}")
    if days > longest:
        raise AccountInvalid(f"the plan {plan.name!r} allows a retention of {longest} days, not {days}")
    return days


def days_or_none(retention_days: int) -> int | None:
    """Return the days of a retention; None for ever."""
    return None if retention_days == FOREVER_DAYS else retention_days


def checked_target(target_ms: int) -> int | None:
    """Return the target in milliseconds, None for NO_TARGET; raises AccountInvalid."""
    if not 0 <= target_ms <= MAX_TARGET_MS:
        raise AccountInvalid(f"target_ms must be 1 to {MAX_TARGET_MS}, or absent for no target")
    return None if target_ms == NO_TARGET else target_ms


def checked_limits(limits: RequestLimits) -> RequestLimits:
    """Return `limits` if every limit is None or at least 1; raises AccountInvalid."""
    for name in ("per_minute", "per_hour", "per_day"):
        value = getattr(limits, name)
        if value is not None and not 1 <= value < 2**63:
            raise AccountInvalid(f"{name} must be at least 1, or absent for no limit")
    return limits
