"""The first organization, application and keys of an empty store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from apimetry.store.accounts import Accounts, Application, KeyKind
from apimetry.store.records import check_key, generate_key, hash_key

DEFAULT_NAME: Final = "default"


@dataclass(frozen=True)
class Credentials:
    """What `bootstrap` made, keys included: the only time they can be read."""

    organization_id: str
    application_id: str
    admin_key: str = field(repr=False)
    write_key: str = field(repr=False)
    read_key: str = field(repr=False)


def bootstrap(
    accounts: Accounts,
    *,
    application: str | None = None,
    admin_key: str | None = None,
    write_key: str | None = None,
    read_key: str | None = None,
) -> Credentials | None:
    """Make the first application with this id and these keys, on a store without accounts only; else None.

    What is not given is generated. Given keys are checked before anything is made, also when nothing will be:
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
    # The admin key is made last: it is what says that a bootstrap was completed.
    existing = accounts.keys_with_hashes()
    if any(key.kind is KeyKind.admin for key, _ in existing):
        return None
    organizations = accounts.organizations()
    organization = organizations[0] if organizations else accounts.create_organization(DEFAULT_NAME)
    made = _first_application(accounts, organization.id, application)
    wanted = {hash_key(secret) for secret in secrets.values()}
    for key, digest in existing:
        if digest not in wanted:
            accounts.revoke_key(key.id)
    done = {digest for _, digest in existing}
    for kind in (KeyKind.write, KeyKind.read, KeyKind.admin):
        if hash_key(secrets[kind]) not in done:
            accounts.create_key(
                organization.id,
                kind,
                application_id=None if kind is KeyKind.admin else made.id,
                name=DEFAULT_NAME,
                secret=secrets[kind],
            )
    return Credentials(
        organization.id, made.id, secrets[KeyKind.admin], secrets[KeyKind.write], secrets[KeyKind.read]
    )


def _first_application(accounts: Accounts, organization_id: str, application_id: str | None) -> Application:
    for found in accounts.applications(organization_id):
        if application_id in (None, found.id):
            return found
    return accounts.create_application(organization_id, application_id or DEFAULT_NAME, application_id=application_id)
