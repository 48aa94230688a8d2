"""Sessions and links: only their hash is stored, they end with their key, and their number has a limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from apimetry.store import migrations
from apimetry.store.accounts.accounts import Accounts, Key, KeyKind
from apimetry.store.accounts.directory import Directory, Principal
from apimetry.store.accounts.records import hash_key
from apimetry.store.accounts.token_records import (
    MAX_LINK_CHARACTERS,
    MAX_LINKS,
    MAX_SESSIONS,
    MAX_SESSIONS_OF_KEY,
    MAX_TOKENS_AN_HOUR,
    READ_KEY_SHARE,
    TOKEN_PREFIX,
    Fixed,
    TokenKind,
    checked_hours,
)
from apimetry.store.accounts.tokens import Tokens
from apimetry.store.client import Store
from apimetry.store.errors import AccountInvalid, PlanLimitExceeded, RecordNotFound


@pytest.fixture
def embedded_store(embedded_store_url: str) -> Iterator[Store]:
    """An empty store, where the kind of store makes no difference."""
    opened = Store(embedded_store_url)
    opened.open()
    try:
        migrations.migrate(opened)
        yield opened
    finally:
        opened.close()


FIXED = Fixed(
    ("consumer_id:acme",), ("status_code:404",), 1000, ("url",), ("overview",), "7d", ("https://a.example",)
)


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(timezone.utc).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now


def keys_of(accounts: Accounts) -> tuple[Key, Key]:
    organization = accounts.create_organization("Ours")
    accounts.create_application(organization.id, "Shop", application_id="shop")
    admin, _ = accounts.create_key(organization.id, KeyKind.admin)
    read, _ = accounts.create_key(organization.id, KeyKind.read, application_id="shop")
    return admin, read


async def test_a_token_speaks_for_its_key_and_ends_with_it_or_when_it_is_revoked(store: Store):
    accounts, tokens, clock = Accounts(store), Tokens(store), Clock()
    admin, read = keys_of(accounts)
    of_admin, admin_secret = tokens.create_session(admin, 12)
    of_read, read_secret = tokens.create_session(read, 720)
    link, link_secret = tokens.create_link(admin, "shop", "For Acme", FIXED, 7200)
    directory = Directory(accounts, tokens=tokens, refresh_interval_s=3600, now=clock, monotonic=lambda: 0.0)
    await directory.start()
    owner = admin.organization_id
    assert await directory.find(admin_secret) == Principal(
        KeyKind.admin, admin.id, owner, None, of_admin.expires_at, of_admin.id
    )
    assert await directory.find(read_secret) == Principal(
        KeyKind.read, read.id, owner, "shop", of_read.expires_at, of_read.id
    )
    assert await directory.find(link_secret) == Principal(
        KeyKind.read, link.id, owner, "shop", link.expires_at, fixed=FIXED
    )
    assert directory.link(link.id) == link
    assert directory.link(of_read.id) is None
    clock.now += timedelta(seconds=9000)
    assert await directory.find(link_secret) is None
    assert directory.link(link.id) is None
    tokens.revoke(of_read.id)
    tokens.revoke(of_read.id)
    await directory.refresh()
    assert await directory.find(read_secret) is None
    assert await directory.find(admin_secret) is not None
    accounts.revoke_key(admin.id)
    await directory.refresh()
    assert await directory.find(admin_secret) is None
    assert directory.link(link.id) is None
    await directory.close()


async def test_a_token_lives_no_longer_than_a_key_that_is_rotated(embedded_store: Store):
    accounts, tokens, clock = Accounts(embedded_store), Tokens(embedded_store), Clock()
    admin, read = keys_of(accounts)
    _, before = tokens.create_session(read, 720)
    accounts.rotate_key(read.id, 3600)
    _, after = tokens.create_session(accounts.key(read.id), 720)
    directory = Directory(accounts, tokens=tokens, refresh_interval_s=3600, now=clock, monotonic=lambda: 0.0)
    await directory.start()
    assert await directory.find(before)
    assert await directory.find(after)
    clock.now += timedelta(seconds=5000)
    assert await directory.find(before) is None
    assert await directory.find(after) is None
    assert directory.first_admin_key() == accounts.key(admin.id)
    await directory.close()


def test_the_store_has_the_hash_of_a_token_and_what_a_link_binds(embedded_store: Store):
    admin, read = keys_of(Accounts(embedded_store))
    tokens = Tokens(embedded_store)
    session, secret = tokens.create_session(read, 1)
    assert len(secret) == 48
    assert secret.startswith(TOKEN_PREFIX)
    assert tokens.token(session.id) == session
    link, _ = tokens.create_link(admin, "shop", " Acme ", FIXED, 3600)
    assert tokens.token(link.id) == link
    assert (link.name, link.fixed) == ("Acme", FIXED)
    ((row, digest),) = [pair for pair in tokens.live_with_hashes() if pair[0].kind is TokenKind.session]
    assert digest == hash_key(secret)
    assert secret not in repr((row, embedded_store.query("SELECT * FROM tokens")))
    assert tokens.live("another", TokenKind.link) == []
    with pytest.raises(RecordNotFound):
        tokens.revoke("nobody")


@pytest.mark.parametrize(
    ("kind", "hours"), [(KeyKind.admin, 0), (KeyKind.admin, 13), (KeyKind.read, 0), (KeyKind.read, 721)]
)
def test_a_session_has_a_longest_time(kind: KeyKind, hours: int):
    with pytest.raises(AccountInvalid, match="lasts 1 to"):
        checked_hours(kind, hours)


def test_an_organization_has_as_many_tokens_as_fit_in_memory(embedded_store: Store):
    accounts, tokens = Accounts(embedded_store), Tokens(embedded_store)
    admin, read = keys_of(accounts)
    first, _ = tokens.create_session(read, 1)
    link, _ = tokens.create_link(admin, "shop", "", FIXED, 3600)
    copy(embedded_store, first.id, MAX_SESSIONS_OF_KEY - 1)
    second, _ = tokens.create_session(read, 1)
    assert tokens.token(first.id).revoked_at is not None
    assert tokens.token(second.id).revoked_at is None
    long = replace(FIXED, include=("x" * MAX_LINK_CHARACTERS,))
    with pytest.raises(PlanLimitExceeded, match="characters together"):
        tokens.create_link(admin, "shop", "", long, 3600)
    own, _ = tokens.create_link(read, "shop", "", FIXED, 3600)
    with pytest.raises(PlanLimitExceeded, match="links of a read key may have 100000 characters"):
        tokens.create_link(read, "shop", "", replace(FIXED, include=("x" * 100_000,)), 3600)
    copy(embedded_store, own.id, MAX_LINKS // READ_KEY_SHARE - 1)
    with pytest.raises(PlanLimitExceeded, match="a read key may have 100 links"):
        tokens.create_link(read, "shop", "", FIXED, 3600)
    copy(embedded_store, link.id, MAX_LINKS - 1)
    with pytest.raises(PlanLimitExceeded, match="1000 links"):
        tokens.create_link(admin, "shop", "", FIXED, 3600)
    copy(embedded_store, second.id, MAX_SESSIONS)
    with pytest.raises(PlanLimitExceeded, match="5000 sessions"):
        tokens.create_session(admin, 1)


def test_a_key_makes_so_many_sessions_or_links_an_hour_even_if_they_end_at_once(embedded_store: Store):
    clock = Clock()
    tokens = Tokens(embedded_store, now=clock)
    _, read = keys_of(Accounts(embedded_store))
    first, _ = tokens.create_session(read, 1)
    tokens.revoke(first.id)
    copy(embedded_store, first.id, MAX_TOKENS_AN_HOUR - 1)
    with pytest.raises(PlanLimitExceeded, match="200 sessions an hour"):
        tokens.create_session(read, 1)
    link, _ = tokens.create_link(read, "shop", "", FIXED, 3600)
    tokens.revoke(link.id)
    copy(embedded_store, link.id, MAX_TOKENS_AN_HOUR - 1)
    with pytest.raises(PlanLimitExceeded, match="200 links an hour"):
        tokens.create_link(read, "shop", "", FIXED, 3600)
    clock.now += timedelta(seconds=3700)
    assert tokens.create_session(read, 1)
    assert tokens.create_link(read, "shop", "", FIXED, 3600)


def copy(store: Store, token_id: str, count: int) -> None:
    """Store copies of a token under other ids, all later than it."""
    store.command(
        "INSERT INTO tokens"
        " SELECT t.* REPLACE (concat(t.id, toString(n.number)) AS id, t.created_at + 1 AS created_at)"
        f" FROM tokens AS t CROSS JOIN (SELECT number FROM numbers({count})) AS n WHERE t.id = {{id:String}}",
        {"id": token_id},
    )
