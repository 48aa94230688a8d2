"""Store organizations, their applications and their keys as records.

The store keeps only the SHA-256 of a key. The key itself is returned once, when it is created. `versions` writes
every change.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from apimetry.store.accounts.key_lists import count_working_keys, every_key, listed_keys, working_keys
from apimetry.store.accounts.record_rows import (
    APPLICATIONS,
    KEYS,
    ORGANIZATIONS,
    application_columns,
    application_of,
    hash_of,
    is_deleted,
    key_columns,
    key_of,
    organization_columns,
    organization_of,
)
from apimetry.store.accounts.records import (
    KEY_PREFIXES,
    MAX_APPLICATIONS,
    MAX_ROTATED_KEYS,
    MAX_WORKING_KEYS,
    NO_TARGET,
    SHOWN_CHARACTERS,
    Application,
    Key,
    KeyKind,
    Organization,
    Plan,
    RequestLimits,
    check_key,
    checked_application_id,
    checked_limits,
    checked_name,
    checked_retention,
    checked_target,
    derived_id,
    generate_key,
    hash_key,
    unavailable_id,
)
from apimetry.store.clock import utc_now
from apimetry.store.errors import AccountConflict, AccountInvalid, PlanLimitExceeded, RecordNotFound
from apimetry.store.versions import APPEND, Versions

if TYPE_CHECKING:
    from apimetry.store.client import Store


__all__ = [
    "KEY_PREFIXES",
    "Accounts",
    "Application",
    "Key",
    "KeyKind",
    "Organization",
    "Plan",
    "RequestLimits",
]


class Accounts:
    """The account records of one store: blocking, safe from several threads.

    `_lock` makes a read and the change after it one step within this process. Between processes the last change wins.
    Two rules hold between processes, too: a plan's number of applications, and an organization's last admin key. They
    are checked again after the change, and a change that broke a rule is undone. If two processes change at the same
    moment, both changes may be refused.
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

    def organizations(self) -> list[Organization]:
        """Return every organization, oldest first."""
        return [organization_of(row) for row in self._store.query(f"{ORGANIZATIONS} ORDER BY created_at, id")]

    def organization(self, organization_id: str) -> Organization:
        """Return one organization; raises RecordNotFound."""
        rows = self._store.query(f"{ORGANIZATIONS} WHERE id = {{id:String}}", {"id": organization_id})
        if not rows:
            raise RecordNotFound(f"there is no organization {organization_id!r}")
        return organization_of(rows[0])

    def create_organization(
        self, name: str, plan: Plan | None = None, *, organization_id: str | None = None
    ) -> Organization:
        """Create an organization; without `plan` it has no limits, without `organization_id` its id is generated."""
        organization = Organization(organization_id or _new_id(), checked_name(name), plan or Plan(), self._stamp())
        self._write_organization(organization)
        return organization

    def update_organization(
        self, organization_id: str, *, name: str | None = None, plan: Plan | None = None
    ) -> Organization:
        """Change the name or the plan. Applications and retentions above a smaller plan stay as they are."""
        with self._lock:
            old = self.organization(organization_id)
            new = replace(old, name=old.name if name is None else checked_name(name), plan=plan or old.plan)
            self._write_organization(new)
            return new

    def applications(self, organization_id: str | None = None) -> list[Application]:
        """Return the applications of one organization (None: of all organizations), oldest first."""
        rows = self._store.query(
            f"{APPLICATIONS} WHERE deleted = 0 AND ({{organization:String}} = '' OR organization_id ="
            " {organization:String}) ORDER BY created_at, id",
            {"organization": organization_id or ""},
        )
        return [application_of(row) for row in rows]

    def application(self, application_id: str) -> Application:
        """Return one application; raises RecordNotFound."""
        row = self._application_row(application_id)
        if row is None or is_deleted(row):
            raise RecordNotFound(f"there is no application {application_id!r}")
        return application_of(row)

    def create_application(  # noqa: PLR0913 - an application's properties, by keyword
        self,
        organization_id: str,
        name: str,
        *,
        application_id: str | None = None,
        retention_days: int | None = None,
        limits: RequestLimits | None = None,
        target_ms: int = NO_TARGET,
    ) -> Application:
        """Create an application; without `application_id` its id is generated (24 hex digits).

        Raises AccountInvalid; AccountConflict for an id that is or was in use (events of a deleted application may
        still be stored); PlanLimitExceeded above the plan's number of applications, or above MAX_APPLICATIONS.
        """
        with self._lock:
            plan = self.organization(organization_id).plan
            self._check_applications(organization_id, plan, more=1)
            if application_id is not None:
                self._check_new_id(organization_id, application_id)
            application = Application(
                application_id or _new_id(),
                organization_id,
                checked_name(name),
                checked_retention(retention_days, plan),
                checked_limits(limits or RequestLimits()),
                self._stamp(),
                checked_target(target_ms),
            )
            self._write_application(application)
            try:
                self._check_applications(organization_id, plan)
            except PlanLimitExceeded:
                self._write_application(application, deleted=True)
                raise
            return application

    def update_application(
        self,
        application_id: str,
        *,
        name: str | None = None,
        retention_days: int | None = None,
        limits: RequestLimits | None = None,
        target_ms: int | None = None,
    ) -> Application:
        """Change the arguments that are not None; NO_TARGET takes the target away.

        A new retention reaches stored events only by a job (`jobs`).
        """
        with self._lock:
            new = self.application(application_id)
            if name is not None:
                new = replace(new, name=checked_name(name))
            if retention_days is not None:
                plan = self.organization(new.organization_id).plan
                new = replace(new, retention_days=checked_retention(retention_days, plan))
            if limits is not None:
                new = replace(new, limits=checked_limits(limits))
            if target_ms is not None:
                new = replace(new, target_ms=checked_target(target_ms))
            self._write_application(new)
            return new

    def delete_application(self, application_id: str) -> None:
        """Delete the application and revoke its keys; its events stay until their retention ends."""
        with self._lock:
            application = self.application(application_id)
            for key in self.keys(application.organization_id):
                if key.application_id == application_id and key.revoked_at is None:
                    self.revoke_key(key.id)
            self._write_application(application, deleted=True)

    def keys(self, organization_id: str) -> list[Key]:
        """Return the keys of one organization, oldest first; of ended keys the newest MAX_ENDED_KEYS_LISTED."""
        return listed_keys(self._store, organization_id, self._now())

    def working_keys_with_hashes(self) -> list[tuple[Key, str]]:
        """Return the working keys of all organizations, every key with its SHA-256; for authentication only."""
        return working_keys(self._store, self._now())

    def keys_with_hashes(self) -> list[tuple[Key, str]]:
        """Return all keys that ever were, oldest first, every key with its SHA-256; for a store that is new."""
        return every_key(self._store)

    def has_key_of(self, kind: KeyKind) -> bool:
        """Return whether any organization has, or had, a key of this kind."""
        return bool(self._store.query("SELECT 1 FROM keys WHERE kind = {kind:String} LIMIT 1", {"kind": kind.value}))

    def key(self, key_id: str) -> Key:
        """Return one key; raises RecordNotFound."""
        return self._key_and_hash(key_id)[0]

    def create_key(  # noqa: PLR0913 - a key's properties, by keyword
        self,
        organization_id: str,
        kind: KeyKind,
        *,
        application_id: str | None = None,
        name: str = "",
        secret: str | None = None,
        expires_at: datetime | None = None,
        max_keys: int = MAX_WORKING_KEYS,
    ) -> tuple[Key, str]:
        """Create a key, and return it with its secret; the secret is not stored.

        Raises PlanLimitExceeded if the organization has `max_keys` working keys already.
        A write or read key needs an application of the organization. An admin key must have no application. `secret`
        is for a key that was generated elsewhere, and must have the form of its kind.
        """
        with self._lock:
            self.organization(organization_id)
            self._check_key_application(organization_id, kind, application_id)
            self._check_keys(organization_id, max_keys)
            secret = generate_key(kind) if secret is None else check_key(kind, secret)
            sha256 = hash_key(secret)
            if self._store.query("SELECT 1 FROM keys WHERE sha256 = {sha256:String} LIMIT 1", {"sha256": sha256}):
                raise AccountConflict("this key exists already")
            key = Key(
                derived_id(sha256),
                kind,
                organization_id,
                application_id,
                checked_name(name, empty=True),
                secret[:SHOWN_CHARACTERS],
                self._stamp(),
                expires_at,
            )
            self._write_key(key, sha256)
            return key, secret

    def rotate_key(self, key_id: str, overlap_s: float) -> tuple[Key, str]:
        """Create a key with the same rights; the old key still works for `overlap_s` seconds (0: it ends now)."""
        if not 0 <= overlap_s <= timedelta(days=365).total_seconds():
            raise AccountInvalid("the overlap must be 0 to 31536000 seconds")
        with self._lock:
            old, sha256 = self._key_and_hash(key_id)
            now = self._stamp()
            if not old.is_valid(now):
                raise AccountConflict("the key is revoked or expired: create a new one instead")
            new = self.create_key(
                old.organization_id,
                old.kind,
                application_id=old.application_id,
                name=old.name,
                # While the old key works, the organization has one key more.
                max_keys=MAX_WORKING_KEYS + MAX_ROTATED_KEYS,
            )
            end = now + timedelta(seconds=overlap_s)
            self._write_key(replace(old, expires_at=min(end, old.expires_at or end)), sha256)
            return new

    def revoke_key(self, key_id: str) -> Key:
        """Revoke a key permanently; harmless when repeated."""
        with self._lock:
            key, sha256 = self._key_and_hash(key_id)
            if key.revoked_at is None:
                key = replace(key, revoked_at=self._stamp())
                self._write_key(key, sha256)
            return key

    def revoke_key_but_the_last(self, key_id: str) -> Key:
        """Revoke a key; raises AccountConflict for the last admin key without an expiry."""
        with self._lock:
            key, sha256 = self._key_and_hash(key_id)
            if key.kind is not KeyKind.admin or not key.is_valid(self._now()):
                return self.revoke_key(key_id)
            self._check_other_admin_key(key)
            revoked = self.revoke_key(key_id)
            try:
                self._check_other_admin_key(key)
            except AccountConflict:
                self._write_key(key, sha256)
                raise
            return revoked

    def record_use(self, uses: Mapping[str, datetime]) -> None:
        """Store when keys were last used, by key id; call it about once a minute, not once a request."""
        if uses:
            self._store.command(
                "INSERT INTO key_uses (key_id, last_used_at) SELECT used.1, used.2"
                " FROM (SELECT arrayJoin(arrayZip({ids:Array(String)},"
                " {times:Array(DateTime64(3, 'UTC'))})) AS used)",
                {"ids": list(uses), "times": list(uses.values())},
                settings=APPEND,
            )

    def _application_row(self, application_id: str) -> tuple[Any, ...] | None:
        rows = self._store.query(f"{APPLICATIONS} WHERE id = {{id:String}}", {"id": application_id})
        return rows[0] if rows else None

    def _key_and_hash(self, key_id: str) -> tuple[Key, str]:
        rows = self._store.query(f"{KEYS} WHERE id = {{id:String}}", {"id": key_id})
        if not rows:
            raise RecordNotFound(f"there is no key with the id {key_id!r}")
        used = self._store.query(
            "SELECT maxOrNull(last_used_at) FROM key_uses WHERE key_id = {id:String}", {"id": key_id}
        )
        return key_of(rows[0], used[0][0]), hash_of(rows[0])

    def _check_applications(self, organization_id: str, plan: Plan, *, more: int = 0) -> None:
        count = len(self.applications(organization_id)) + more
        most = plan.max_applications
        if most is not None and count > most:
            raise PlanLimitExceeded(f"the plan {plan.name!r} allows {most} applications")
        if count > MAX_APPLICATIONS:
            raise PlanLimitExceeded(f"an organization may have {MAX_APPLICATIONS} applications: delete one first")

    def _check_keys(self, organization_id: str, most: int) -> None:
        if count_working_keys(self._store, organization_id, self._now()) >= most:
            raise PlanLimitExceeded(f"an organization may have {most} working keys: revoke one first")

    def _check_other_admin_key(self, key: Key) -> None:
        now = self._now()
        for other in self.keys(key.organization_id):
            is_permanent_admin = other.kind is KeyKind.admin and other.is_valid(now) and other.expires_at is None
            if is_permanent_admin and other.id != key.id:
                return
        raise AccountConflict("the last admin key cannot be revoked: make or rotate another one first")

    def _check_new_id(self, organization_id: str, application_id: str) -> None:
        row = self._application_row(checked_application_id(application_id))
        if row is None:
            return
        if application_of(row).organization_id != organization_id:
            # The message must not reveal that another organization has the id: forbidden ids get the same message.
            raise unavailable_id(application_id)
        raise AccountConflict(f"the application id {application_id!r} is or was in use")

    def _check_key_application(self, organization_id: str, kind: KeyKind, application_id: str | None) -> None:
        if kind is KeyKind.admin:
            if application_id is not None:
                raise AccountInvalid("an admin key is for its whole organization, not for one application")
            return
        if application_id is None:
            raise AccountInvalid(f"a {kind.value} key needs an application")
        if self.application(application_id).organization_id != organization_id:
            raise RecordNotFound(f"there is no application {application_id!r}")

    def _stamp(self) -> datetime:
        """Return now, cut to the milliseconds that the store keeps."""
        now = self._now()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _write_organization(self, organization: Organization) -> None:
        self._versions.write("organizations", organization_columns(organization))

    def _write_application(self, application: Application, *, deleted: bool = False) -> None:
        self._versions.write("applications", application_columns(application, deleted=deleted))

    def _write_key(self, key: Key, sha256: str) -> None:
        self._versions.write("keys", key_columns(key, sha256))


def _new_id() -> str:
    return secrets.token_hex(12)
