"""The calls of a month belong to organizations, deleted applications' calls included."""

from __future__ import annotations

from datetime import date, datetime, timezone

from apimetry.store.accounts.accounts import Accounts
from apimetry.store.calls import calls_of_month
from apimetry.store.client import Store
from tests.support.oracles.event_rows import encode_row

MARCH = round(datetime(2026, 3, 5, tzinfo=timezone.utc).timestamp() * 1_000_000)
APRIL = round(datetime(2026, 4, 1, tzinfo=timezone.utc).timestamp() * 1_000_000)


def test_calls_are_summed_by_organization_and_month(store: Store):
    accounts = Accounts(store)
    for name, applications in (("one", ("a", "b")), ("two", ("c",))):
        organization = accounts.create_organization(name, organization_id=name)
        for application in applications:
            accounts.create_application(organization.id, application, application_id=application)
    rows = [
        ("a", MARCH, 1),
        ("a", MARCH, 10),
        ("b", MARCH, 100),
        ("b", APRIL, 1000),
        ("c", MARCH, 5),
        ("no", MARCH, 7),
    ]
    for number, (application, timestamp, weight) in enumerate(rows):
        row = encode_row(application=application, timestamp=timestamp, sample_weight=weight, retention_days=3650)
        store.insert_rows(str(number), row)
    accounts.update_application("a", name="another version of its record")
    accounts.delete_application("b")
    assert calls_of_month(store, date(2026, 3, 1)) == {"one": 111, "two": 5}
    assert calls_of_month(store, date(2026, 4, 1)) == {"one": 1000}
    assert calls_of_month(store, date(2026, 5, 1)) == {}
