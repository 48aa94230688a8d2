"""The log of changes: every change of events has a version of its own, in its own minutes."""

from __future__ import annotations

import pytest

from apimetry.store import migrations
from apimetry.store.changes import Versions, inserting, mark_changed, versions, versions_in
from apimetry.store.client import Store
from apimetry.store.errors import StoreUnavailable
from apimetry.store.pausing import pause_inserts
from tests.support.oracles.event_rows import encode_row

DAY_S = 86_400
NOON = 1_790_000_000 // DAY_S * DAY_S
HOUR = (NOON, NOON + 3_600)


def version(store: Store, *ranges: tuple[int, int], application: str = "shop") -> Versions:
    return versions_in(store.ask(versions(application, ranges or (HOUR,))))


def insert(store: Store, token: str, second: int, **values: object) -> None:
    store.insert_rows(token, encode_row(timestamp=second * 1_000_000, retention_days=20_000, **values))


@pytest.fixture
def warm(store: Store) -> Store:
    """A store whose process has inserted before."""
    insert(store, "warm", NOON - DAY_S)
    return store


def test_an_insert_changes_the_version_of_its_minute_and_of_no_other(warm: Store):
    before, beside = version(warm), version(warm, (NOON + 60, NOON + 3_600), (NOON - 3_600, NOON))
    insert(warm, "a", NOON + 59)
    assert version(warm) != before
    assert version(warm, (NOON + 60, NOON + 3_600), (NOON - 3_600, NOON)) == beside
    assert version(warm, (NOON + 30, NOON + 31)) != Versions(before.total, None)


def test_an_insert_of_another_application_changes_nothing(warm: Store):
    before = version(warm)
    insert(warm, "a", NOON, application="other")
    assert version(warm) == before


def test_equal_inserts_have_different_versions(warm: Store):
    versions = {version(warm).total}
    for number in range(5):
        insert(warm, f"token-{number}", NOON)
        versions.add(version(warm).total)
    assert len(versions) == 6


def test_a_repeated_token_changes_nothing(warm: Store):
    insert(warm, "a", NOON)
    before = version(warm)
    insert(warm, "a", NOON)
    assert version(warm) == before


def test_an_insert_after_one_that_failed_changes_everything(warm: Store):
    before = version(warm)
    layout = migrations._layout(warm)
    pause_inserts(warm, layout)
    with pytest.raises(StoreUnavailable):
        insert(warm, "a", NOON + DAY_S)
    migrations.resume_inserts(warm, layout)
    insert(warm, "a", NOON + DAY_S)
    assert version(warm) != before


def test_the_first_insert_of_a_process_changes_everything(store: Store):
    before = version(store)
    insert(store, "a", NOON - DAY_S)
    assert version(store) != before


def test_a_mark_changes_one_application_or_all(warm: Store):
    before, of_other = version(warm), version(warm, application="other")
    mark_changed(warm, "shop")
    assert version(warm) != before
    assert version(warm, application="other") == of_other
    before = version(warm)
    mark_changed(warm)
    assert version(warm) != before
    assert version(warm, application="other") != of_other


def test_a_migration_changes_everything(warm: Store):
    before = version(warm)
    migrations.migrate(warm)
    assert version(warm) != before


def test_the_version_says_when_the_first_event_of_the_range_expires(warm: Store):
    assert version(warm).expires_s is None
    insert(warm, "a", NOON + 7)
    warm.insert_rows("b", encode_row(timestamp=(NOON + 5) * 1_000_000, retention_days=19_000))
    assert version(warm).expires_s == NOON + 5 + 19_000 * DAY_S


def test_no_insert_runs_in_an_idle_store(store: Store):
    assert store.ask(inserting()) == [(0,)]


def test_merged_rows_have_the_same_version(warm: Store):
    for number in range(3):
        insert(warm, f"token-{number}", NOON + number)
    before = version(warm)
    warm.command("OPTIMIZE TABLE changes FINAL")
    assert version(warm) == before
