"""Accounts: records survive, keys are never stored, plans and forms are enforced."""

from __future__ import annotations

import re
import threading
from datetime import datetime, timedelta, timezone

import pytest

from apimetry.store import migrations
from apimetry.store.accounts.accounts import KEY_PREFIXES, Accounts, KeyKind, Plan, RequestLimits
from apimetry.store.accounts.bootstrap import bootstrap
from apimetry.store.accounts.records import (
    MAX_APPLICATIONS,
    MAX_ENDED_KEYS_LISTED,
    MAX_ROTATED_KEYS,
    MAX_WORKING_KEYS,
    check_key,
    generate_key,
    hash_key,
)
from apimetry.store.client import Store
from apimetry.store.errors import AccountConflict, AccountInvalid, PlanLimitExceeded, RecordNotFound
from tests.support.services.keys import READ_KEY

START = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=timezone.utc)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(store: Store, clock: Clock) -> Accounts:
    return Accounts(store, now=clock)


@pytest.mark.parametrize("kind", list(KeyKind))
def test_generated_keys_have_their_form(kind: KeyKind):
    keys = {generate_key(kind) for _ in range(200)}
    assert len(keys) == 200
    for key in keys:
        assert re.fullmatch(KEY_PREFIXES[kind] + "[A-Za-z0-9]{37}", key)
        assert len(key) == 48
        assert check_key(kind, key) == key


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("", "start with apimetry_w_"),
        (READ_KEY, "start with apimetry_w_"),
        ("apimetry_w_" + "x" * 36, "48 or 52 characters in all, not 47"),
        ("apimetry_w_" + "x" * 36 + "!", "letters"),
        ("apimetry_w_" + "x" * 36 + "\n", "letters"),
    ],
)
def test_keys_made_elsewhere_are_checked_and_not_repeated(secret: str, message: str):
    with pytest.raises(AccountInvalid, match=message) as caught:
        check_key(KeyKind.write, secret)
    assert not secret or secret not in str(caught.value)


@pytest.mark.parametrize("length", [48, 52])
def test_keys_made_elsewhere_may_have_either_length(length: int):
    secret = ("apimetry_w_-_" + "x" * 52)[:length]
    assert check_key(KeyKind.write, secret) == secret


def test_organizations_round_trip_and_change(accounts: Accounts):
    plan = Plan("Pro", max_applications=5, max_retention_days=365, max_calls_per_month=1_000_000)
    organization = accounts.create_organization("Ünïted", plan)
    assert re.fullmatch("[0-9a-f]{24}", organization.id)
    assert organization.created_at == START
    assert accounts.organizations() == [organization]
    changed = accounts.update_organization(organization.id, plan=Plan())
    assert accounts.organization(organization.id) == changed
    assert changed.plan == Plan()
    assert changed.name == "Ünïted"


def test_applications_round_trip_and_change(accounts: Accounts):
    organization = accounts.create_organization("o").id
    created = accounts.create_application(
        organization, "Shop", application_id="shop.v-1_x", retention_days=30, limits=RequestLimits(1, None, 2**40)
    )
    generated = accounts.create_application(organization, "Other")
    assert re.fullmatch("[0-9a-f]{24}", generated.id)
    assert generated.retention_days == 90
    assert accounts.application("shop.v-1_x") == created
    assert {application.id for application in accounts.applications(organization)} == {created.id, generated.id}
    assert accounts.applications("another") == []
    changed = accounts.update_application(created.id, name="New", limits=RequestLimits(per_hour=7))
    assert accounts.application(created.id) == changed
    assert (changed.name, changed.retention_days, changed.limits) == ("New", 30, RequestLimits(per_hour=7))


def test_many_changes_in_one_instant_keep_their_order(accounts: Accounts, store: Store):
    application = accounts.create_application(accounts.create_organization("o").id, "0")
    for number in range(1, 20):
        accounts.update_application(application.id, name=str(number))
    assert accounts.application(application.id).name == "19"
    # A record from a process whose clock runs ahead is followed, not lost against.
    store.command(f"INSERT INTO applications SELECT * REPLACE ({2**63} AS version) FROM applications FINAL")
    accounts.update_application(application.id, name="last")
    assert accounts.application(application.id).name == "last"


def test_a_deleted_application_is_gone_with_its_keys_and_its_id(accounts: Accounts):
    organization = accounts.create_organization("o").id
    accounts.create_application(organization, "a", application_id="a")
    key, _ = accounts.create_key(organization, KeyKind.write, application_id="a")
    admin, _ = accounts.create_key(organization, KeyKind.admin)
    accounts.delete_application("a")
    assert accounts.applications() == []
    assert accounts.key(key.id).revoked_at == START
    assert accounts.key(admin.id).revoked_at is None
    for call in (accounts.application, accounts.delete_application, accounts.update_application):
        with pytest.raises(RecordNotFound):
            call("a")
    with pytest.raises(AccountConflict):
        accounts.create_application(organization, "a", application_id="a")


@pytest.mark.parametrize("bad", ["", "x" * 65, "a b", "é", "a/b", "a\n", "'; --"])
def test_application_ids_are_checked(accounts: Accounts, bad: str):
    organization = accounts.create_organization("o").id
    with pytest.raises(AccountInvalid, match="application's id"):
        accounts.create_application(organization, "a", application_id=bad)


def test_values_that_are_not_allowed_are_refused(accounts: Accounts):
    organization = accounts.create_organization("o").id
    for name in ("", " ", "x" * 201, "a\nb", "a\0"):
        with pytest.raises(AccountInvalid, match="name"):
            accounts.create_application(organization, name)
    for days in (0, -1, 3651):
        with pytest.raises(AccountInvalid, match="retention_days"):
            accounts.create_application(organization, "a", retention_days=days)
    for limits in (RequestLimits(per_minute=0), RequestLimits(per_day=-1), RequestLimits(per_hour=2**63)):
        with pytest.raises(AccountInvalid, match="per_"):
            accounts.create_application(organization, "a", limits=limits)
    with pytest.raises(RecordNotFound):
        accounts.create_application("nobody", "a")


def test_the_plan_limits_applications_and_retention(accounts: Accounts):
    plan = Plan("Small", max_applications=2, max_retention_days=30)
    organization = accounts.create_organization("o", plan).id
    first = accounts.create_application(organization, "1")
    assert first.retention_days == 30
    with pytest.raises(AccountInvalid, match="30 days, not 31"):
        accounts.create_application(organization, "2", retention_days=31)
    with pytest.raises(AccountInvalid, match="30 days, not 90"):
        accounts.update_application(first.id, retention_days=90)
    accounts.create_application(organization, "2")
    with pytest.raises(PlanLimitExceeded, match="'Small' allows 2"):
        accounts.create_application(organization, "3")
    accounts.delete_application(first.id)
    accounts.create_application(organization, "3")


def test_the_last_place_of_a_plan_is_given_once(accounts: Accounts):
    organization = accounts.create_organization("o", Plan(max_applications=1)).id
    refused: list[PlanLimitExceeded] = []

    def create() -> None:
        try:
            accounts.create_application(organization, "a")
        except PlanLimitExceeded as error:
            refused.append(error)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3
    assert len(accounts.applications()) == 1


def test_only_the_hash_of_a_key_is_stored(accounts: Accounts, store: Store):
    organization = accounts.create_organization("o").id
    key, secret = accounts.create_key(organization, KeyKind.admin, name="ops")
    assert accounts.keys_with_hashes() == [(key, hash_key(secret))]
    assert key.first_characters == secret[:16]
    for (table,) in store.query("SELECT name FROM system.tables WHERE database = {d:String}", {"d": store.database}):
        assert secret[17:] not in str(store.query(f"SELECT * FROM {table}"))


def test_keys_belong_to_what_their_kind_says(accounts: Accounts):
    organization, other = accounts.create_organization("o").id, accounts.create_organization("p").id
    accounts.create_application(organization, "a", application_id="a")
    with pytest.raises(AccountInvalid, match="whole organization"):
        accounts.create_key(organization, KeyKind.admin, application_id="a")
    with pytest.raises(AccountInvalid, match="read key needs an application"):
        accounts.create_key(organization, KeyKind.read)
    with pytest.raises(RecordNotFound):
        accounts.create_key(other, KeyKind.read, application_id="a")
    with pytest.raises(RecordNotFound):
        accounts.create_key(organization, KeyKind.write, application_id="nosuch")
    secret = generate_key(KeyKind.admin)
    accounts.create_key(organization, KeyKind.admin, secret=secret)
    with pytest.raises(AccountConflict):
        accounts.create_key(other, KeyKind.admin, secret=secret)


def test_a_rotated_key_overlaps_with_the_new_one(accounts: Accounts, clock: Clock):
    organization = accounts.create_organization("o").id
    accounts.create_application(organization, "a", application_id="a")
    old, old_secret = accounts.create_key(organization, KeyKind.write, application_id="a", name="web")
    new, new_secret = accounts.rotate_key(old.id, 60)
    assert new_secret != old_secret
    assert (new.kind, new.application_id, new.name, new.expires_at) == (KeyKind.write, "a", "web", None)
    old = accounts.key(old.id)
    assert old.is_valid(START + timedelta(seconds=59.9))
    assert not old.is_valid(START + timedelta(seconds=60))
    clock.now += timedelta(seconds=61)
    with pytest.raises(AccountConflict, match="revoked or expired"):
        accounts.rotate_key(old.id, 60)
    for overlap in (-1, 31_536_001, float("nan")):
        with pytest.raises(AccountInvalid, match="overlap"):
            accounts.rotate_key(new.id, overlap)


def test_a_revoked_key_stays_revoked(accounts: Accounts, clock: Clock):
    key, _ = accounts.create_key(accounts.create_organization("o").id, KeyKind.admin)
    assert accounts.revoke_key(key.id).revoked_at == START
    clock.now += timedelta(hours=1)
    assert accounts.revoke_key(key.id).revoked_at == START
    accounts.record_use({key.id: clock.now})
    stored = accounts.key(key.id)
    assert (stored.revoked_at, stored.last_used_at) == (START, clock.now)
    assert accounts.keys(stored.organization_id) == [stored]
    with pytest.raises(RecordNotFound):
        accounts.revoke_key("nosuch")


def test_accounts_survive_reopening(embedded_store_url: str):
    snapshots = []
    for _ in range(2):
        store = Store(embedded_store_url)
        store.open()
        migrations.migrate(store)
        accounts = Accounts(store)
        bootstrap(accounts, application="shop")
        snapshots.append((accounts.organizations(), accounts.applications(), accounts.keys_with_hashes()))
        store.close()
    assert snapshots[0] == snapshots[1]


class Meanwhile:
    """A clock during whose next reading another process does something."""

    def __init__(self) -> None:
        self.action = lambda: None

    def __call__(self) -> datetime:
        action, self.action = self.action, lambda: None
        action()
        return START


def test_two_processes_never_make_more_applications_than_the_plan_allows(store: Store):
    clock = Meanwhile()
    first_process, second_process = Accounts(store, now=clock), Accounts(store)
    organization = first_process.create_organization("O", Plan("one", max_applications=1))
    clock.action = lambda: second_process.create_application(organization.id, "Theirs")
    with pytest.raises(PlanLimitExceeded, match="allows 1 applications"):
        first_process.create_application(organization.id, "Ours")
    assert [application.name for application in first_process.applications(organization.id)] == ["Theirs"]


def test_two_processes_never_revoke_the_last_two_admin_keys(store: Store):
    clock = Meanwhile()
    first_process, second_process = Accounts(store, now=clock), Accounts(store)
    organization = first_process.create_organization("O")
    first, second = (first_process.create_key(organization.id, KeyKind.admin)[0] for _ in range(2))

    def check_passed() -> None:
        # Read once more by the check, and then by the change itself.
        clock.action = lambda: setattr(clock, "action", lambda: second_process.revoke_key_but_the_last(second.id))

    clock.action = check_passed
    with pytest.raises(AccountConflict, match="last admin key"):
        first_process.revoke_key_but_the_last(first.id)
    assert [key.id for key in first_process.keys(organization.id) if key.revoked_at is None] == [first.id]


def insert_many(store: Store, statement: str, count: int, organization: str) -> None:
    """As if `count` records had been made one by one."""
    store.command(
        f"INSERT INTO {statement} FROM numbers({{count:UInt64}})", {"count": count, "organization": organization}
    )


MANY_KEYS = (
    "keys (id, kind, organization_id, application_id, name, sha256, first_characters, created_at, expires_at,"
    " revoked_at, version) SELECT toString(number), 'admin', {organization:String}, '', '',"
    " hex(SHA256(toString(number))), '', toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + number, NULL, NULL, 1"
)
MANY_APPLICATIONS = (
    "applications (id, organization_id, name, retention_days, created_at, deleted, version)"
    " SELECT toString(number), {organization:String}, 'a', 90, toDateTime64('2026-01-01 00:00:00', 3, 'UTC'), 0, 1"
)


def test_an_organization_has_as_many_applications_as_fit_in_memory(accounts: Accounts, store: Store):
    organization = accounts.create_organization("o").id
    insert_many(store, MANY_APPLICATIONS, MAX_APPLICATIONS, organization)
    with pytest.raises(PlanLimitExceeded, match="may have 2000 applications: delete one first"):
        accounts.create_application(organization, "one more")
    accounts.delete_application("7")
    accounts.create_application(organization, "one more")
    accounts.create_application(accounts.create_organization("p").id, "of another")


def test_an_organization_has_as_many_working_keys_as_fit_in_memory(accounts: Accounts, store: Store):
    organization = accounts.create_organization("o").id
    insert_many(store, MANY_KEYS, MAX_WORKING_KEYS, organization)
    with pytest.raises(PlanLimitExceeded, match="may have 8000 working keys: revoke one first"):
        accounts.create_key(organization, KeyKind.admin)
    accounts.create_key(accounts.create_organization("p").id, KeyKind.admin)
    accounts.revoke_key("7")
    accounts.create_key(organization, KeyKind.admin)


def test_a_key_at_the_limit_can_be_rotated_but_not_without_end(accounts: Accounts, store: Store, clock: Clock):
    organization = accounts.create_organization("o").id
    insert_many(store, MANY_KEYS, MAX_WORKING_KEYS + MAX_ROTATED_KEYS - 1, organization)
    accounts.rotate_key("7", 60)
    with pytest.raises(PlanLimitExceeded, match="9000 working keys"):
        accounts.rotate_key("8", 60)
    clock.now += timedelta(seconds=60)
    accounts.rotate_key("8", 60)


def test_keys_that_ended_are_not_read_for_authentication_and_the_newest_are_listed(
    accounts: Accounts, store: Store, clock: Clock
):
    organization = accounts.create_organization("o").id
    statement = MANY_KEYS.replace("NULL, NULL, 1", "NULL, now64(3), 1")
    insert_many(store, statement, MAX_ENDED_KEYS_LISTED + 7, organization)
    old, secret = accounts.create_key(organization, KeyKind.admin)
    new, new_secret = accounts.rotate_key(old.id, 60)
    assert {digest for _, digest in accounts.working_keys_with_hashes()} == {hash_key(secret), hash_key(new_secret)}
    clock.now += timedelta(seconds=60)
    assert accounts.working_keys_with_hashes() == [(new, hash_key(new_secret))]
    listed = accounts.keys(organization)
    assert new in listed
    assert len(listed) == MAX_ENDED_KEYS_LISTED + 1
    assert "0" not in {key.id for key in listed}
    assert [key.created_at for key in listed] == sorted(key.created_at for key in listed)
