"""Authenticate keys, sessions and links against a snapshot of the accounts that is seconds old at most.

Both services use it. A revoked key stops working with the next refresh (5 s). An embedded store in which nothing was
written is not read again. A new key works at once: an unknown key
refreshes the snapshot, at most once a second. While the store is away the last snapshot stays in use.

With a `snapshot_path` the snapshot is also written to the disk. If the store is away at a start, the service starts
with the snapshot from the disk. That snapshot may be old, so the client of an unknown key is asked to retry instead
of being refused. The store's first response replaces the snapshot.

Memory: an application takes APPLICATION_BYTES at most, a working key KEY_BYTES, a live session SESSION_BYTES, and all
live links LINKS_BYTES, so an organization at its limits 57 MB. What was revoked or expired takes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from apimetry.store.accounts.accounts import Application, Key, KeyKind, Organization
from apimetry.store.accounts.records import hash_key
from apimetry.store.accounts.snapshot import Snapshot, read_snapshot, write_snapshot
from apimetry.store.accounts.token_records import Fixed, Token, TokenKind
from apimetry.store.clock import utc_now
from apimetry.store.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from apimetry.store.accounts.accounts import Accounts
    from apimetry.store.accounts.tokens import Tokens

logger = logging.getLogger(__name__)

LOG_INTERVAL_S: Final = 10.0
UNKNOWN_KEY_INTERVAL_S: Final = 1.0
FIRST_LOAD_S: Final = 3.0
# A key's last use is written when the stored one is older than this.
USE_RESOLUTION: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Principal:
    """The owner of a valid key, session or link; `application_id` is None for an admin key and its sessions.

    `kind` and `key_id` are those of the key. A link has the rights of a read key within what it binds, and its own id
    as `key_id`.
    """

    kind: KeyKind
    key_id: str
    organization_id: str
    application_id: str | None
    expires_at: datetime | None = None
    session_id: str | None = None
    """None: not a session."""

    fixed: Fixed | None = None
    """What a link binds; None: not a link."""


class Directory:
    """Find keys, applications and organizations without a query to the store; for one event loop.

    Without `tokens` it knows no sessions and links: a collector takes none.

    Mutable state, used by the loop only: the snapshot, the running refresh, and the uses not yet written.
    """

    def __init__(  # noqa: PLR0913 - what it reads, and its clocks
        self,
        accounts: Accounts,
        *,
        tokens: Tokens | None = None,
        refresh_interval_s: float = 5.0,
        snapshot_path: Path | None = None,
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._refresh_interval_s = refresh_interval_s
        self._now = now
        self._monotonic = monotonic
        self._path = snapshot_path
        self._snapshot: Snapshot | None = None
        # The accounts in the file, without last uses; None: unknown.
        self._written: Snapshot | None = None
        self._from_disk = False
        # The store's revision before the snapshot was loaded; None: unknown.
        self._revision: int | None = None
        self._started_refresh_at = float("-inf")
        self._logged_at = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None
        self._background: asyncio.Task[None] | None = None
        self._uses: dict[str, datetime] = {}

    async def start(self) -> None:
        """Load the first snapshot and start refreshing it; a store that is away raises nothing here.

        With a snapshot on the disk, `start` waits for the store for FIRST_LOAD_S at most.
        """
        if self._path is not None and self._snapshot is None:
            self._snapshot = await asyncio.get_running_loop().run_in_executor(None, read_snapshot, self._path)
            self._from_disk = self._snapshot is not None
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.refresh(), FIRST_LOAD_S if self._from_disk else None)
        if self._from_disk:
            logger.warning(
                "the store does not answer; the accounts are those of its last answer, from %s", self._path
            )
        self._background = asyncio.create_task(self._keep_fresh(), name="apimetry-directory")

    async def close(self) -> None:
        """Stop refreshing and write the last uses; harmless when repeated."""
        for task in (self._background, self._refreshing):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._background is not None:
            self._background = None
            with contextlib.suppress(StoreError):
                await self._write_uses()

    @property
    def loaded(self) -> bool:
        """Return whether a snapshot is loaded; without a snapshot every `find` raises StoreUnavailable."""
        return self._snapshot is not None

    async def find(self, secret: str) -> Principal | None:
        """Return the owner of the key, or None when the key is unknown, revoked or expired.

        Raises StoreUnavailable while no snapshot is loaded. Raises it also for a key that is not in a snapshot from
        the disk: the key may be newer than that snapshot.
        """
        digest = hash_key(secret)
        key = self._holder(digest) if self._snapshot else None
        if key is None and self._may_refresh():
            await self.refresh()
        key = self._holder(digest)
        if key is None:
            if self._from_disk:
                raise StoreUnavailable(
                    "this key is unknown to the last known accounts, and the store does not answer"
                )
            return None
        now = self._now()
        if not key.is_valid(now):
            return None
        self._note_use(key, now)
        return _principal(key)

    def application(self, application_id: str) -> Application | None:
        """Return one application; None where it is unknown or deleted."""
        return self._current().applications.get(application_id)

    def organization(self, organization_id: str) -> Organization | None:
        """Return one organization; None where it is unknown."""
        return self._current().organizations.get(organization_id)

    def applications_of(self, organization_id: str) -> list[Application]:
        """Return the organization's applications, oldest first."""
        applications = self._current().applications.values()
        return [application for application in applications if application.organization_id == organization_id]

    def link(self, link_id: str) -> Token | None:
        """Return a link; None where it is unknown or has ended."""
        link = self._current().links.get(link_id)
        return link if link is not None and link.is_valid(self._now()) else None

    def key(self, key_id: str) -> Key | None:
        """Return a working key by its id."""
        keys = self._current().keys.values()
        return next((key for key in keys if key.id == key_id and key.is_valid(self._now())), None)

    def first_admin_key(self) -> Key | None:
        """Return the oldest working admin key without an expiry: that of who started the service."""
        keys = self._current().keys.values()
        admins = [key for key in keys if key.kind is KeyKind.admin and key.expires_at is None]
        return min(admins, key=lambda key: (key.created_at, key.id), default=None)

    async def refresh(self) -> None:
        """Load a new snapshot, or wait for the running refresh; an error of the store keeps the old snapshot."""
        if self._refreshing is None or self._refreshing.done():
            self._started_refresh_at = self._monotonic()
            self._refreshing = asyncio.create_task(self._refresh(), name="apimetry-directory-refresh")
        # Shielded: a cancelled request must not cancel the refresh for other requests that wait for it.
        await asyncio.shield(self._refreshing)

    def _holder(self, digest: str) -> Key | Token | None:
        snapshot = self._current()
        return snapshot.keys.get(digest) or snapshot.tokens.get(digest)

    def _may_refresh(self) -> bool:
        is_refreshing = self._refreshing is not None and not self._refreshing.done()
        return is_refreshing or self._monotonic() - self._started_refresh_at >= UNKNOWN_KEY_INTERVAL_S

    def _current(self) -> Snapshot:
        if self._snapshot is None:
            raise StoreUnavailable("the accounts could not be loaded yet")
        return self._snapshot

    async def _refresh(self) -> None:
        revision = self._accounts.store.revision()
        try:
            self._snapshot = await self._accounts.store.run_reserved(_load, self._accounts, self._tokens)
        except StoreError as error:
            self._log(error)
            return
        self._from_disk = False
        self._revision = revision
        await self._write_to_disk(self._snapshot)

    async def _write_to_disk(self, snapshot: Snapshot) -> None:
        snapshot = _without_uses(snapshot)
        if self._path is None or snapshot == self._written:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(None, write_snapshot, self._path, snapshot)
        except OSError as error:
            logger.warning("the accounts cannot be kept in %s: %s", self._path, error.strerror)
        else:
            self._written = snapshot

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_interval_s)
            if self._revision is None or self._revision != self._accounts.store.revision():
                await self.refresh()
            try:
                await self._write_uses()
            except StoreError as error:
                self._log(error)

    async def _write_uses(self) -> None:
        uses, self._uses = self._uses, {}
        if not uses:
            return
        try:
            await self._accounts.store.run_reserved(self._accounts.record_use, uses)
        except StoreError:
            self._uses = {**uses, **self._uses}
            raise

    def _note_use(self, key: Key | Token, now: datetime) -> None:
        if key.last_used_at is None or now - key.last_used_at >= USE_RESOLUTION:
            self._uses[key.id] = now

    def _log(self, error: StoreError) -> None:
        now = self._monotonic()
        if now - self._logged_at >= LOG_INTERVAL_S:
            self._logged_at = now
            consequence = "the last ones hold" if self.loaded else "there are none yet"
            logger.warning("accounts cannot be refreshed, %s: %s", consequence, error)


def _principal(holder: Key | Token) -> Principal:
    """Return what a key, a session or a link speaks for."""
    owner, application = holder.organization_id, holder.application_id
    if isinstance(holder, Key):
        return Principal(holder.kind, holder.id, owner, application, holder.expires_at)
    if holder.kind is TokenKind.session:
        return Principal(holder.key_kind, holder.key_id, owner, application, holder.expires_at, holder.id)
    return Principal(KeyKind.read, holder.id, owner, application, holder.expires_at, fixed=holder.fixed or Fixed())


def _without_uses(snapshot: Snapshot) -> Snapshot:
    """Return what is in the file, without last uses: the file is written only when accounts change."""
    keys = {digest: replace(key, last_used_at=None) for digest, key in snapshot.keys.items()}
    return replace(snapshot, keys=keys, tokens={}, links={})


def _load(accounts: Accounts, tokens: Tokens | None) -> Snapshot:
    applications = {application.id: application for application in accounts.applications()}
    keys = {
        digest: key
        for key, digest in accounts.working_keys_with_hashes()
        if key.application_id is None or key.application_id in applications
    }
    live = _live(tokens, {key.id: key for key in keys.values()}, applications) if tokens else {}
    organizations = {organization.id: organization for organization in accounts.organizations()}
    links = {token.id: token for token in live.values() if token.kind is TokenKind.link}
    return Snapshot(organizations, applications, keys, live, links)


def _live(tokens: Tokens, keys: Mapping[str, Key], applications: Mapping[str, Application]) -> dict[str, Token]:
    """Return the live tokens by their SHA-256. A token ends with its key, and with its application."""
    live = {}
    for token, digest in tokens.live_with_hashes():
        key = keys.get(token.key_id)
        if key is not None and (token.application_id is None or token.application_id in applications):
            live[digest] = replace(token, expires_at=min(token.expires_at, key.expires_at or token.expires_at))
    return live
