"""What was ever sent stays counted, once, whatever happens to the events."""

from __future__ import annotations

from datetime import date, datetime, timezone

from apimetry.store import migrations
from apimetry.store.client import Store
from tests.support.oracles.event_rows import encode_row, now_us

COUNTERS = (
    "SELECT application, month, source, sum(requests), min(first_seen), max(last_seen) FROM counters"
    " GROUP BY application, month, source ORDER BY application, month, source"
)


def microseconds(*moment: int) -> int:
    return round(datetime(*moment, tzinfo=timezone.utc).timestamp() * 1_000_000)


def at(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=timezone.utc)


def sent(*moment: int, **values: object) -> bytes:
    return encode_row(timestamp=microseconds(*moment), retention_days=3650, **values)


def test_requests_are_counted_by_application_utc_month_and_source(store: Store):
    store.insert_rows(
        "first",
        sent(2026, 1, 31, 23, 59, 59, 999_999, source="api")
        + sent(2026, 2, 1, source="api", sample_weight=10)
        + sent(2026, 2, 3, source="worker")
        + sent(2026, 2, 3, application="blog"),
    )
    store.insert_rows("second", sent(2026, 2, 28, source="api", sample_weight=2**32 - 1))
    january = at(2026, 1, 31, 23, 59, 59, 999_999)
    assert store.query(COUNTERS) == [
        ("blog", date(2026, 2, 1), "", 1, at(2026, 2, 3), at(2026, 2, 3)),
        ("shop", date(2026, 1, 1), "api", 1, january, january),
        ("shop", date(2026, 2, 1), "api", 2**32 + 9, at(2026, 2, 1), at(2026, 2, 28)),
        ("shop", date(2026, 2, 1), "worker", 1, at(2026, 2, 3), at(2026, 2, 3)),
    ]


def test_a_retried_insert_counts_once(store: Store):
    rows = b"".join(encode_row(timestamp=now_us() - number * 40 * 86_400 * 1_000_000) for number in range(3))
    for _ in range(3):
        store.insert_rows("segment", rows)
    assert store.query("SELECT sum(requests) FROM counters") == [(3,)]


def test_deleted_and_expired_events_stay_counted(store: Store):
    store.insert_rows("kept", encode_row(sample_weight=5))
    store.insert_rows("expired", encode_row(timestamp=now_us() - 9 * 86_400 * 1_000_000, retention_days=1))
    store.command("ALTER TABLE events DELETE WHERE 1 SETTINGS mutations_sync = 2")
    store.command("OPTIMIZE TABLE events FINAL")
    store.command("OPTIMIZE TABLE counters FINAL")
    assert store.query("SELECT count() FROM events") == [(0,)]
    assert store.query("SELECT sum(requests) FROM counters") == [(6,)]


def test_the_counters_of_a_year_are_few_rows(store: Store):
    for number in range(20):
        rows = b"".join(encode_row(source=f"host-{number % 3}") for number in range(50))
        store.insert_rows(f"segment-{number}", rows)
    store.command("OPTIMIZE TABLE counters FINAL")
    ((rows,),) = store.query("SELECT count() FROM counters")
    assert rows == 3
    migrations.check(store)
