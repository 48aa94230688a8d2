"""The accounts as both services authenticate against them: a snapshot, seconds old at most.

A revoked key stops working with the next refresh (5 s); a new key works at once, because asking for an unknown key
refreshes the snapshot, at most once a second. While the store is away the last snapshot holds.

With a `snapshot_path` the snapshot is also kept on the disk, and a start that finds the store away begins with that
one. It may be old, so that a key which it does not know is told to come back instead of being refused; with the
store's first answer it is replaced.
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
    """Whom a valid key speaks for; `application_id` is None for an admin key."""

    kind: KeyKind
    key_id: str
    organization_id: str
    application_id: str | None


class Directory:
    """Finds keys, applications and organizations without asking the store; for one event loop.

    Mutable state, all of it the loop's: the snapshot, the refresh under way, and the uses not yet written.
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
        # What is in the file, in as far as it matters there; None: unknown.
        self._kept: Snapshot | None = None
        self._from_disk = False
        self._started_refresh_at = float("-inf")
        self._logged_at = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None
        self._background: asyncio.Task[None] | None = None
        self._uses: dict[str, datetime] = {}

    async def start(self) -> None:
        """Load the first snapshot and keep it fresh; a store that is away delays the load, it does not raise.

        With a snapshot on the disk a store that hangs is not waited for longer than FIRST_LOAD_S.
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
        """Whether there is a snapshot; without one every `find` raises StoreUnavailable."""
        return self._snapshot is not None

    async def find(self, secret: str) -> Principal | None:
        """Whom the key speaks for, or None when it is unknown, revoked or expired.

        Raises StoreUnavailable as long as no snapshot could be loaded, and for a key that a snapshot from the disk
        does not know: it may be newer.
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
        return Principal(key.kind, key.id, key.organization_id, key.application_id)

    def application(self, application_id: str) -> Application | None:
        """One application, deleted ones excepted."""
        return self._current().applications.get(application_id)

    def organization(self, organization_id: str) -> Organization | None:
        """One organization."""
        return self._current().organizations.get(organization_id)

    def applications_of(self, organization_id: str) -> list[Application]:
        """The organization's applications, oldest first."""
        return [found for found in self._current().applications.values() if found.organization_id == organization_id]

    async def refresh(self) -> None:
        """Load a new snapshot, or wait for the one under way; keeps the old one when the store cannot answer."""
        if self._refreshing is None or self._refreshing.done():
            self._started_refresh_at = self._monotonic()
            self._refreshing = asyncio.create_task(self._refresh(), name="apimetry-directory-refresh")
        # Shielded: a request that is cancelled does not take the refresh from the others that wait for it.
        await asyncio.shield(self._refreshing)

    def _may_refresh(self) -> bool:
        under_way = self._refreshing is not None and not self._refreshing.done()
        return under_way or self._monotonic() - self._started_refresh_at >= UNKNOWN_KEY_INTERVAL_S

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
        await self._keep_on_disk(self._snapshot)

    async def _keep_on_disk(self, snapshot: Snapshot) -> None:
        kept = _without_uses(snapshot)
        if self._path is None or kept == self._kept:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(None, write_snapshot, self._path, kept)
        except OSError as error:
            logger.warning("the accounts cannot be kept in %s: %s", self._path, error.strerror)
        else:
            self._kept = kept

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
            kept = "the last ones hold" if self.loaded else "there are none yet"
            logger.warning("accounts cannot be refreshed, %s: %s", kept, error)


def _without_uses(snapshot: Snapshot) -> Snapshot:
    """The snapshot without what changes with every use of a key: the file is written when accounts change."""
    keys = {digest: replace(key, last_used_at=None) for digest, key in snapshot.keys.items()}
    return replace(snapshot, keys=keys)


def _load(accounts: Accounts) -> Snapshot:
    applications = {found.id: found for found in accounts.applications()}
    return Snapshot(
        {found.id: found for found in accounts.organizations()},
        applications,
        {
            digest: key
            for key, digest in accounts.keys_with_hashes()
            if key.application_id is None or key.application_id in applications
        },
    )
