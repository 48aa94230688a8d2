"""Define the records of sessions and links, and check their values; pure.

A session has the rights of the key that made it. A link lets its viewers see one application, within what it binds.
Both end with their key. The store keeps a token as its SHA-256 alone, like a key.
"""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from apimetry.store.accounts.records import KEY_LENGTH, KeyKind
from apimetry.store.errors import AccountInvalid

TOKEN_PREFIX: Final = "apimetry_t_"  # noqa: S105 - how every token begins
MAX_SESSION_HOURS: Final = {KeyKind.read: 720, KeyKind.admin: 12}
"""The longest session of a key, by the key's kind."""

DEFAULT_SESSION_HOURS: Final = 12
MIN_LINK_S: Final = 3_600
MAX_LINK_S: Final = 90 * 86_400
DEFAULT_LINK_S: Final = 7 * 86_400

# A service holds all live tokens in memory.
MAX_SESSIONS_OF_KEY: Final = 100
"""Live sessions of one key. Another one ends the oldest."""

MAX_TOKENS_AN_HOUR: Final = 200
"""New sessions of one key in an hour, and new links of one read key: each leaves a row for weeks."""

MAX_SESSIONS: Final = 5_000
"""Live sessions of one organization."""

SESSION_BYTES: Final = 2_000
"""What a session takes in a `Directory`."""

MAX_LINKS: Final = 1_000
"""Live links of one organization."""

MAX_LINK_CHARACTERS: Final = 1_000_000
"""Characters in what an organization's live links bind, together."""

READ_KEY_SHARE: Final = 10
"""Of MAX_LINKS and MAX_LINK_CHARACTERS, one read key may use one part of so many."""

LINKS_BYTES: Final = 16_000_000
"""What an organization's live links take in a `Directory` at most."""

_ALPHABET: Final = string.ascii_letters + string.digits


class TokenKind(str, Enum):
    """What a token is for."""

    session = "session"
    link = "link"


@dataclass(frozen=True)
class Fixed:
    """What a link binds. `include` and `exclude` are `field:value` texts, as in a query string."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    not_before: int | None = None
    """Seconds since the epoch: the link shows nothing that is older. None: whatever is stored."""

    hides: tuple[str, ...] = ()
    """The fields of events that the link does not show."""

    pages: tuple[str, ...] = ()
    """The pages of the dashboard that the link shows."""

    range: str = ""
    """The range of time with which the page opens."""

    embed_origins: tuple[str, ...] = ()
    """The origins whose pages may frame the link's page."""

    @property
    def characters(self) -> int:
        """Return the characters that a service holds for the link."""
        return sum(map(len, (*self.include, *self.exclude, *self.hides, *self.pages, *self.embed_origins)))


@dataclass(frozen=True)
class Token:
    """A session or a link, without its secret; `application_id` is None for the session of an admin key."""

    id: str
    kind: TokenKind
    organization_id: str
    key_id: str
    """The key that made it, and with which it ends."""

    key_kind: KeyKind
    application_id: str | None
    name: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    fixed: Fixed | None = None
    """What a link binds; None for a session."""

    def is_valid(self, now: datetime) -> bool:
        """Return whether the token still works at `now`, as far as it alone can tell."""
        return self.revoked_at is None and now < self.expires_at


def generate_token() -> str:
    """Return a new token of 48 characters; its random part has 220 bits."""
    return TOKEN_PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(KEY_LENGTH - len(TOKEN_PREFIX)))


def checked_hours(kind: KeyKind, hours: int) -> int:
    """Return the hours of a session of a key of this kind; raises AccountInvalid."""
    most = MAX_SESSION_HOURS[kind]
    if not 1 <= hours <= most:
        raise AccountInvalid(f"a session of the {kind.value} key lasts 1 to {most} hours, not {hours}")
    return hours


def checked_duration(seconds: int) -> int:
    """Return the seconds until a link ends; raises AccountInvalid."""
    if not MIN_LINK_S <= seconds <= MAX_LINK_S:
        raise AccountInvalid(f"expiresS must be {MIN_LINK_S} to {MAX_LINK_S} seconds, not {seconds}")
    return seconds
