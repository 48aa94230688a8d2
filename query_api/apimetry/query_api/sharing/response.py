"""The shapes of bodies and answers about sessions. The OpenAPI document takes them from here."""

from __future__ import annotations

from typing import Annotated, TypedDict

import msgspec
from msgspec import Meta

from apimetry.query_api.http.json_values import iso_datetime, iso_or_none
from apimetry.query_api.http.listing import Pagination
from apimetry.query_api.sharing.codes import CODE_LENGTH
from apimetry.serving.answer_types import Time, one_of
from apimetry.store.accounts.records import KeyKind
from apimetry.store.accounts.token_records import DEFAULT_SESSION_HOURS, MAX_SESSION_HOURS, Token

_Kind = Annotated[str, one_of(kind.value for kind in MAX_SESSION_HOURS)]
_Hours = Annotated[
    int,
    Meta(
        ge=1,
        le=max(MAX_SESSION_HOURS.values()),
        description=f"How long the session lasts; {MAX_SESSION_HOURS[KeyKind.admin]} at most for an admin key.",
    ),
]
_Code = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=4 * CODE_LENGTH,
        description="Small letters count as capitals; spaces and dashes are ignored.",
    ),
]


class SessionInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new session."""

    hours: _Hours = DEFAULT_SESSION_HOURS


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code that `apimetry serve` printed."""

    code: _Code


class NewSession(TypedDict):
    """A session that was just made."""

    token: Annotated[str, Meta(description="Sent like a key. It is shown this once and stored nowhere.")]
    id: str
    kind: _Kind
    expiresAt: Time


class Session(TypedDict):
    """A session, without its token."""

    id: str
    kind: _Kind
    keyId: Annotated[str, Meta(description="The key that made it, and with which it ends.")]
    application: Annotated[str | None, Meta(description="Its id; null: of an admin key.")]
    createdAt: Time
    expiresAt: Time
    lastUsedAt: Annotated[Time | None, Meta(description="A few minutes behind: it is written now and then.")]


class SessionList(TypedDict):
    """One page of the organization's sessions."""

    sessions: list[Session]
    pagination: Pagination


def new_session(token: Token, secret: str) -> NewSession:
    """Return the JSON of a session that was just made, with its secret."""
    return {
        "token": secret,
        "id": token.id,
        "kind": token.key_kind.value,
        "expiresAt": iso_datetime(token.expires_at),
    }


def session_json(token: Token) -> Session:
    """Return the JSON of a session."""
    return {
        "id": token.id,
        "kind": token.key_kind.value,
        "keyId": token.key_id,
        "application": token.application_id,
        "createdAt": iso_datetime(token.created_at),
        "expiresAt": iso_datetime(token.expires_at),
        "lastUsedAt": iso_or_none(token.last_used_at),
    }
