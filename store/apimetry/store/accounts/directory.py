"""Authenticate keys against a snapshot of the accounts that is seconds old at most; both services use it.

A revoked key stops working with the next refresh (5 s). A new key works at once: an unknown key refreshes the
snapshot, at most once a second. While the store is away the last snapshot stays in use.

With a `snapshot_path` the snapshot is also written to the disk. If the store is away at a start, the service starts
with the snapshot from the disk. That snapshot may be old, so the client of an unknown key is asked to retry instead
of being refused. The store's first response replaces the snapshot.

Memory: an application takes APPLICATION_BYTES at most and a working key KEY_BYTES, so an organization at its limits
31 MB. Revoked and expired keys take nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from apimetry.store.accounts.accounts import Application, Key, KeyKind, Organization
from apimetry.store.accounts.records import hash_key
from apimetry.store.accounts.snapshot import Snapshot, read_snapshot, write_snapshot
from apimetry.store.clock import utc_now
from apimetry.store.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from apimetry.store.accounts.accounts import Accounts

logger = logging.getLogger(__name__)

LOG_INTERVAL_S: Final = 10.0
UNKNOWN_KEY_INTERVAL_S: Final = 1.0
FIRST_LOAD_S: Final = 3.0
# A key's last use is written when the stored one is older than this.
USE_RESOLUTION: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Principal:
    """The owner of a valid key; `application_id` is None for an admin key."""

    kind: KeyKind
    key_id: str
    organization_id: str
    application_id: str | None
    expires_at: datetime | None = None


class Directory:
    """Find keys, applications and organizations without a query to the store; for one event loop.

    Mutable state, used by the loop only: the snapshot, the running refresh, and the uses not yet written.
    """

    def __init__(
        self,
        accounts: Accounts,
        *,
        refresh_interval_s: float = 5.0,
        snapshot_path: Path | None = None,
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._accounts = accounts
        self._refresh_interval_s = refresh_interval_s
        self._now = now
        self._monotonic = monotonic
        self._path = snapshot_path
        self._snapshot: Snapshot | None = None
        # The accounts in the file, without last uses; None: unknown.
        self._written: Snapshot | None = None
        self._from_disk = False
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
        key = self._current().keys.get(digest) if self._snapshot else None
        if key is None and self._may_refresh():
            await self.refresh()
        key = self._current().keys.get(digest)
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
        return Principal(key.kind, key.id, key.organization_id, key.application_id, key.expires_at)

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

    async def refresh(self) -> None:
        """Load a new snapshot, or wait for the running refresh; an error of the store keeps the old snapshot."""
        if self._refreshing is None or self._refreshing.done():
            self._started_refresh_at = self._monotonic()
            self._refreshing = asyncio.create_task(self._refresh(), name="apimetry-directory-refresh")
        # Shielded: a cancelled request must not cancel the refresh for other requests that wait for it.
        await asyncio.shield(self._refreshing)

    def _may_refresh(self) -> bool:
        is_refreshing = self._refreshing is not None and not self._refreshing.done()
        return is_refreshing or self._monotonic() - self._started_refresh_at >= UNKNOWN_KEY_INTERVAL_S

    def _current(self) -> Snapshot:
        if self._snapshot is None:
            raise StoreUnavailable("the accounts could not be loaded yet")
        return self._snapshot

    async def _refresh(self) -> None:
        try:
            self._snapshot = await self._accounts.store.run_reserved(_load, self._accounts)
        except StoreError as error:
            self._log(error)
            return
        self._from_disk = False
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

    def _note_use(self, key: Key, now: datetime) -> None:
        if key.last_used_at is None or now - key.last_used_at >= USE_RESOLUTION:
            self._uses[key.id] = now

    def _log(self, error: StoreError) -> None:
        now = self._monotonic()
        if now - self._logged_at >= LOG_INTERVAL_S:
            self._logged_at = now
            consequence = "the last ones hold" if self.loaded else "there are none yet"
            logger.warning("accounts cannot be refreshed, %s: %s", consequence, error)


def _without_uses(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot without last uses: the file is written only when accounts change."""
    keys = {digest: replace(key, last_used_at=None) for digest, key in snapshot.keys.items()}
    return replace(snapshot, keys=keys)


def _load(accounts: Accounts) -> Snapshot:
    applications = {application.id: application for application in accounts.applications()}
    return Snapshot(
        {organization.id: organization for organization in accounts.organizations()},
        applications,
        {
            digest: key
            for key, digest in accounts.working_keys_with_hashes()
            if key.application_id is None or key.application_id in applications
        },
    )
