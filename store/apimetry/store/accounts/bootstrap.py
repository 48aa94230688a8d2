"""The first organization, application and keys of an empty store.

Collectors and query services that start at once over one server may all find it empty. Their records have the same
ids, because ids follow from the given keys, so that together they make one organization, application and set of keys.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from apimetry.store.accounts.accounts import Accounts, Application, KeyKind
from apimetry.store.accounts.records import check_key, derived_id, generate_key, hash_key
from apimetry.store.errors import AccountConflict

DEFAULT_NAME: Final = "default"


@dataclass(frozen=True)
class Credentials:
    """What `bootstrap` made, keys included: the only time they can be read."""

    organization_id: str
    application_id: str
    admin_key: str = field(repr=False)
    write_key: str = field(repr=False)
    read_key: str = field(repr=False)


def bootstrap(  # noqa: PLR0913 - the four things that are made
    accounts: Accounts,
    *,
    application: str | None = None,
    admin_key: str | None = None,
    write_key: str | None = None,
    read_key: str | None = None,
    keep: Callable[[Credentials], None] = lambda _: None,
) -> Credentials | None:
    """Make the first application with this id and these keys, on a store without accounts only; else None.

    What is not given is generated. `keep` is called with the keys before the first of them exists: keys that it
    cannot keep are not made. Given keys are checked before anything is made, also when nothing will be:
    AccountInvalid says what is wrong. A bootstrap that was killed half way is completed by the next one.
    """
    secrets = {
        kind: generate_key(kind) if secret is None else check_key(kind, secret)
        for kind, secret in (
            (KeyKind.admin, admin_key),
            (KeyKind.write, write_key),
            (KeyKind.read, read_key),
        )
    }
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
    made = _first_application(accounts, organization.id, application)
    credentials = Credentials(
        organization.id, made.id, secrets[KeyKind.admin], secrets[KeyKind.write], secrets[KeyKind.read]
    )
    keep(credentials)
    wanted = {hash_key(secret) for secret in secrets.values()}
    for key, digest in existing:
        if digest not in wanted:
            accounts.revoke_key(key.id)
    done = {digest for _, digest in existing}
    for kind in (KeyKind.write, KeyKind.read, KeyKind.admin):
        if hash_key(secrets[kind]) not in done:
            _first_key(accounts, organization.id, kind, made.id, secrets[kind])
    return credentials


def has_admin_key(accounts: Accounts) -> bool:
    """Return whether a bootstrap was completed: the admin key is made last, and a revoked one counts."""
    return any(key.kind is KeyKind.admin for key, _ in accounts.keys_with_hashes())


def _first_application(accounts: Accounts, organization_id: str, application_id: str | None) -> Application:
    for found in accounts.applications(organization_id):
        if application_id in (None, found.id):
            return found
    try:
        return accounts.create_application(
            organization_id, application_id or DEFAULT_NAME, application_id=application_id
        )
    except AccountConflict:
        # Another process made it since, or it was deleted once, which this lookup then refuses.
        return accounts.application(application_id or "")


def _first_key(accounts: Accounts, organization_id: str, kind: KeyKind, application_id: str, secret: str) -> None:
    owner = None if kind is KeyKind.admin else application_id
    # A conflict is another process that has just made the same key.
    with contextlib.suppress(AccountConflict):
        accounts.create_key(organization_id, kind, application_id=owner, name=DEFAULT_NAME, secret=secret)
