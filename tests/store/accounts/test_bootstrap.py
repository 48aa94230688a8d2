"""The first records of an empty store: they are made once, whole, and with checked keys."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import pytest

from apimetry.store.accounts.accounts import KEY_PREFIXES, Accounts, KeyKind
from apimetry.store.accounts.bootstrap import bootstrap
from apimetry.store.accounts.records import check_key, generate_key, hash_key
from apimetry.store.client import Store
from apimetry.store.errors import AccountInvalid

START = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=timezone.utc)


@pytest.fixture
def accounts(store: Store) -> Accounts:
    return Accounts(store, now=lambda: START)


def test_bootstrap_fills_an_empty_store_once(accounts: Accounts):
    keys = {f"{kind.value}_key": generate_key(kind) for kind in KeyKind}
    credentials = bootstrap(accounts, application="shop", **keys)
    assert credentials is not None
    assert (credentials.application_id, credentials.write_key) == ("shop", keys["write_key"])
    assert {digest for _, digest in accounts.keys_with_hashes()} == {hash_key(secret) for secret in keys.values()}
    assert not any(secret in repr(credentials) for secret in keys.values())
    assert bootstrap(accounts, application="shop", **keys) is None
    assert bootstrap(accounts, application="other") is None
    assert [application.id for application in accounts.applications()] == ["shop"]


def test_bootstrap_generates_what_is_not_given(accounts: Accounts):
    credentials = bootstrap(accounts)
    assert credentials is not None
    assert re.fullmatch("[0-9a-f]{24}", credentials.application_id)
    for kind, secret in zip(
        KeyKind, (credentials.admin_key, credentials.write_key, credentials.read_key), strict=True
    ):
        assert check_key(kind, secret) == secret


def test_bootstrap_checks_its_keys_before_it_makes_anything(accounts: Accounts):
    with pytest.raises(AccountInvalid, match="read key"):
        bootstrap(accounts, read_key="apimetry_r_short")
    assert accounts.organizations() == []


@pytest.mark.parametrize("steps", range(5))
def test_a_bootstrap_killed_half_way_is_completed(accounts: Accounts, steps: int):
    write_key = generate_key(KeyKind.write)
    if steps > 0:
        organization = accounts.create_organization("default").id
    if steps > 1:
        accounts.create_application(organization, "shop", application_id="shop")
    if steps > 2:
        accounts.create_key(organization, KeyKind.write, application_id="shop", secret=write_key)
    if steps > 3:
        accounts.create_key(organization, KeyKind.read, application_id="shop")
    credentials = bootstrap(accounts, application="shop", write_key=write_key)
    assert credentials is not None
    valid = {digest for key, digest in accounts.keys_with_hashes() if key.is_valid(START)}
    assert valid == {hash_key(credentials.admin_key), hash_key(credentials.write_key), hash_key(credentials.read_key)}
    assert [application.id for application in accounts.applications()] == ["shop"]
    assert len(accounts.organizations()) == 1


def test_bootstraps_of_several_processes_at_once_make_one_set_of_records(store: Store):
    keys = {f"{kind.value}_key": KEY_PREFIXES[kind] + "k" * 37 for kind in KeyKind}
    together = threading.Barrier(3)

    def start() -> None:
        together.wait()
        bootstrap(Accounts(store), application="shop", **keys)

    with ThreadPoolExecutor(3) as processes:
        for done in [processes.submit(start) for _ in range(3)]:
            done.result()
    accounts = Accounts(store)
    assert len(accounts.organizations()) == 1
    assert [(application.id, application.organization_id) for application in accounts.applications()] == [
        ("shop", accounts.organizations()[0].id)
    ]
    assert sorted(key.kind.value for key in accounts.keys(accounts.organizations()[0].id)) == [
        "admin",
        "read",
        "write",
    ]
