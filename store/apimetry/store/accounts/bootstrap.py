"""Create the first organization, application and keys of an empty store.

Several collectors and query services may start at once over one empty server. The ids of their records are derived
from the configured keys, so all services write the same ids: one organization, one application and one set of keys.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from apimetry.store.accounts.accounts import Accounts, Application, KeyKind
from apimetry.store.accounts.records import check_key, derived_id, generate_key, hash_key
from apimetry.store.errors import AccountConflict

DEFAULT_NAME: Final = "default"


@dataclass(frozen=True)
class Credentials:
    """The ids and keys that `bootstrap` created; a key cannot be read again later."""

    organization_id: str
    application_id: str
    admin_key: str = field(repr=False)
    write_key: str = field(repr=False)
    read_key: str = field(repr=False)


def bootstrap(  # noqa: PLR0913 - one option for each record
    accounts: Accounts,
    *,
    application: str | None = None,
    admin_key: str | None = None,
    write_key: str | None = None,
    read_key: str | None = None,
    keep: Callable[[Credentials], None] = lambda _: None,
) -> Credentials | None:
    """Create the first application and its keys; return None where a store has an admin key already.

    An id or key that is None is generated. `keep` is called with the keys before any key is stored: if `keep` raises,
    no key is created. The keys are checked first, also where nothing will be created: raises AccountInvalid. The next
    bootstrap completes a bootstrap that was killed.
    """
    given = {KeyKind.admin: admin_key, KeyKind.write: write_key, KeyKind.read: read_key}
    check_given(given)
    secrets = {kind: generate_key(kind) if secret is None else secret for kind, secret in given.items()}
    if has_admin_key(accounts):
        return None
    existing = accounts.keys_with_hashes()
    organizations = accounts.organizations()
    organization_id = derived_id(hash_key(secrets[KeyKind.admin]))
    organization = (
        organizations[0]
        if organizations
        else accounts.create_organization(DEFAULT_NAME, organization_id=organization_id)
    )
    application_id = _first_application(accounts, organization.id, application).id
    credentials = Credentials(
        organization.id, application_id, secrets[KeyKind.admin], secrets[KeyKind.write], secrets[KeyKind.read]
    )
    keep(credentials)
    digests = {hash_key(secret) for secret in secrets.values()}
    for key, digest in existing:
        if digest not in digests:
            accounts.revoke_key(key.id)
    existing_digests = {digest for _, digest in existing}
    for kind in (KeyKind.write, KeyKind.read, KeyKind.admin):
        if hash_key(secrets[kind]) not in existing_digests:
            _create_first_key(accounts, organization.id, kind, application_id, secrets[kind])
    return credentials


def check_given(keys: Mapping[KeyKind, str | None]) -> None:
    """Raise AccountInvalid for a key that does not have the form of its kind; None is a key that is not given."""
    for kind, secret in keys.items():
        if secret is not None:
            check_key(kind, secret)


def has_admin_key(accounts: Accounts) -> bool:
    """Return whether a bootstrap was completed: it creates the admin key last. A revoked admin key counts."""
    return accounts.has_key_of(KeyKind.admin)


def _first_application(accounts: Accounts, organization_id: str, application_id: str | None) -> Application:
    for application in accounts.applications(organization_id):
        if application_id in (None, application.id):
            return application
    try:
        return accounts.create_application(
            organization_id, application_id or DEFAULT_NAME, application_id=application_id
        )
    except AccountConflict:
        # Another process has created the application since. Or it was deleted earlier: then this call raises.
        return accounts.application(application_id or "")


def _create_first_key(
    accounts: Accounts, organization_id: str, kind: KeyKind, application_id: str, secret: str
) -> None:
    owner = None if kind is KeyKind.admin else application_id
    # A conflict means that another process has just created the same key.
    with contextlib.suppress(AccountConflict):
        accounts.create_key(organization_id, kind, application_id=owner, name=DEFAULT_NAME, secret=secret)
