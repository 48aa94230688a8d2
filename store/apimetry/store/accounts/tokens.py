"""Store sessions and links as records, each with the SHA-256 of its token. `versions` writes every change."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from apimetry.store.accounts.records import Key, KeyKind, checked_name, hash_key
from apimetry.store.accounts.token_records import (
    MAX_LINK_CHARACTERS,
    MAX_LINKS,
    MAX_SESSIONS,
    MAX_SESSIONS_OF_KEY,
    MAX_TOKENS_AN_HOUR,
    READ_KEY_SHARE,
    Fixed,
    Token,
    TokenKind,
    checked_duration,
    checked_hours,
    generate_token,
)
from apimetry.store.clock import utc_now
from apimetry.store.errors import PlanLimitExceeded, RecordNotFound
from apimetry.store.named_rows import named, select
from apimetry.store.versions import Columns, Versions

if TYPE_CHECKING:
    from apimetry.store.client import Store

_COLUMNS: Final = (
    "id",
    "kind",
    "organization_id",
    "key_id",
    "key_kind",
    "application_id",
    "name",
    "created_at",
    "expires_at",
    "revoked_at",
    "fixed",
    "toString(sha256)",
)
_TOKENS: Final = select("tokens", _COLUMNS)
_LIVE: Final = "revoked_at IS NULL AND expires_at > {now:DateTime64(3, 'UTC')}"
_USES: Final = (
    "SELECT key_id, max(last_used_at) FROM key_uses"  # noqa: S608 - our own condition
    f" WHERE key_id IN (SELECT id FROM tokens FINAL WHERE {_LIVE}) GROUP BY key_id"
)
_TIME: Final = "DateTime64(3, 'UTC')"


class Tokens:
    """The sessions and links of one store: blocking, safe from several threads.

    `_lock` makes a read and the change after it one step within this process.
    """

    def __init__(self, store: Store, *, now: Callable[[], datetime] = utc_now) -> None:
        self._store: Final = store
        self._now = now
        self._lock = threading.RLock()
        self._versions: Final = Versions(store)

    @property
    def store(self) -> Store:
        """Return the store that holds the records."""
        return self._store

    def create_session(self, key: Key, hours: int) -> tuple[Token, str]:
        """Create a session of `key`, and return it with its secret, which is not stored.

        It has the key's rights. Where the key has MAX_SESSIONS_OF_KEY of them, the oldest one ends.
        Raises AccountInvalid, and PlanLimitExceeded above MAX_SESSIONS or MAX_TOKENS_AN_HOUR.
        """
        duration = timedelta(hours=checked_hours(key.kind, hours))
        with self._lock:
            others = self.live(key.organization_id, TokenKind.session)
            if len(others) >= MAX_SESSIONS:
                raise PlanLimitExceeded(f"an organization may have {MAX_SESSIONS} sessions: revoke one first")
            self._check_pace(key, TokenKind.session)
            of_key = [token for token in others if token.key_id == key.id]
            for token in of_key[: max(0, len(of_key) + 1 - MAX_SESSIONS_OF_KEY)]:
                self.revoke(token.id)
            return self._create(TokenKind.session, key, key.kind, key.application_id, "", duration, None)

    def create_link(
        self, key: Key, application_id: str, name: str, fixed: Fixed, expires_s: int
    ) -> tuple[Token, str]:
        """Create a link to an application of the key's organization, and return it with its secret.

        Raises AccountInvalid, and PlanLimitExceeded above MAX_LINKS or MAX_LINK_CHARACTERS. A read key has a
        READ_KEY_SHARE of both, and makes MAX_TOKENS_AN_HOUR links.
        """
        duration = timedelta(seconds=checked_duration(expires_s))
        with self._lock:
            others = self.live(key.organization_id, TokenKind.link)
            _check_links("an organization", others, fixed, share=1)
            if key.kind is KeyKind.read:
                self._check_pace(key, TokenKind.link)
                of_key = [token for token in others if token.key_id == key.id]
                _check_links("a read key", of_key, fixed, share=READ_KEY_SHARE)
            name = checked_name(name, empty=True)
            return self._create(TokenKind.link, key, KeyKind.read, application_id, name, duration, fixed)

    def live(self, organization_id: str, kind: TokenKind) -> list[Token]:
        """Return an organization's tokens of one kind that have not ended, oldest first."""
        return [
            token
            for token, _ in self.live_with_hashes(organization_id)
            if token.kind is kind and token.organization_id == organization_id
        ]

    def live_with_hashes(self, organization_id: str | None = None) -> list[tuple[Token, str]]:
        """Return the tokens that have not ended, of one organization or of all, each with its SHA-256."""
        parameters = {"now": self._now(), "organization": organization_id or ""}
        uses = dict(self._store.query(_USES, {"now": parameters["now"]}))
        of_organization = "({organization:String} = '' OR organization_id = {organization:String})"
        rows = self._store.query(f"{_TOKENS} WHERE {_LIVE} AND {of_organization} ORDER BY created_at, id", parameters)
        return [_token(row, uses) for row in rows]

    def token(self, token_id: str) -> Token:
        """Return one token; raises RecordNotFound."""
        return self._token_and_hash(token_id)[0]

    def revoke(self, token_id: str) -> None:
        """Revoke a token permanently; harmless when repeated. Raises RecordNotFound."""
        with self._lock:
            token, sha256 = self._token_and_hash(token_id)
            if token.revoked_at is None:
                self._write(replace(token, revoked_at=self._stamp()), sha256)

    def _check_pace(self, key: Key, kind: TokenKind) -> None:
        ((count,),) = self._store.query(
            "SELECT count() FROM tokens FINAL WHERE key_id = {key:String} AND kind = {kind:String}"
            " AND created_at > {since:DateTime64(3, 'UTC')}",
            {"key": key.id, "kind": kind.value, "since": self._now() - timedelta(hours=1)},
        )
        if count >= MAX_TOKENS_AN_HOUR:
            raise PlanLimitExceeded(f"a key may make {MAX_TOKENS_AN_HOUR} {kind.value}s an hour")

    def _create(  # noqa: PLR0913, PLR0917 - a token's properties
        self,
        kind: TokenKind,
        key: Key,
        key_kind: KeyKind,
        application_id: str | None,
        name: str,
        duration: timedelta,
        fixed: Fixed | None,
    ) -> tuple[Token, str]:
        now, secret = self._stamp(), generate_token()
        token = Token(
            secrets.token_hex(12),
            kind,
            key.organization_id,
            key.id,
            key_kind,
            application_id,
            name,
            now,
            min(now + duration, key.expires_at or now + duration),
            fixed=fixed,
        )
        self._write(token, hash_key(secret))
        return token, secret

    def _token_and_hash(self, token_id: str) -> tuple[Token, str]:
        rows = self._store.query(f"{_TOKENS} WHERE id = {{id:String}}", {"id": token_id})
        if not rows:
            raise RecordNotFound(f"there is no session or link with the id {token_id[:80]!r}")
        return _token(rows[0], {})

    def _stamp(self) -> datetime:
        """Return now, cut to the milliseconds that the store keeps."""
        now = self._now()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _write(self, token: Token, sha256: str) -> None:
        self._versions.write("tokens", _columns(token, sha256))


def _check_links(whose: str, others: Sequence[Token], fixed: Fixed, *, share: int) -> None:
    """Raise PlanLimitExceeded where another link is more than one part of `share` parts of what is allowed."""
    most, characters = MAX_LINKS // share, MAX_LINK_CHARACTERS // share
    if len(others) >= most:
        raise PlanLimitExceeded(f"{whose} may have {most} links: revoke one first")
    held = fixed.characters + sum(token.fixed.characters for token in others if token.fixed)
    if held > characters:
        raise PlanLimitExceeded(f"the filters of the links of {whose} may have {characters} characters together")


def _columns(token: Token, sha256: str) -> Columns:
    fixed = "" if token.fixed is None else msgspec.json.encode(token.fixed).decode()
    return {
        "id": ("String", token.id),
        "kind": ("String", token.kind.value),
        "sha256": ("String", sha256),
        "organization_id": ("String", token.organization_id),
        "key_id": ("String", token.key_id),
        "key_kind": ("String", token.key_kind.value),
        "application_id": ("String", token.application_id or ""),
        "name": ("String", token.name),
        "fixed": ("String", fixed),
        "created_at": (_TIME, token.created_at),
        "expires_at": (_TIME, token.expires_at),
        "revoked_at": (f"Nullable({_TIME})", token.revoked_at),
    }


def _token(row: Sequence[Any], uses: Mapping[str, datetime]) -> tuple[Token, str]:
    """Return the token of a row of _TOKENS, and its SHA-256."""
    values = named(_COLUMNS, row)
    sha256 = values.pop("toString(sha256)")
    converted = {
        "kind": TokenKind(values["kind"]),
        "key_kind": KeyKind(values["key_kind"]),
        "application_id": values["application_id"] or None,
        "fixed": msgspec.json.decode(values["fixed"], type=Fixed) if values["fixed"] else None,
        "last_used_at": uses.get(values["id"]),
    }
    return Token(**{**values, **converted}), sha256
