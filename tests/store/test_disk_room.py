"""Where the operator wants it, the oldest week goes before the disk is full; figures agree afterwards."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta, timezone

from apimetry.cli.disk_room import keep_room
from apimetry.store import backups, migrations
from apimetry.store.client import Store
from apimetry.store.disk_room import drop_oldest_week, free_bytes
from tests.support.oracles.event_rows import encode_rows, now_us

WEEK_US = 7 * 24 * 3600 * 1_000_000


def rows_by_age(store):
    return [
        rows
        for (rows,) in store.query(
            "SELECT count() AS rows FROM events GROUP BY toMonday(timestamp) AS week ORDER BY week"
        )
    ]


async def test_oldest_week_of_events_and_rollups_goes_and_the_last_days_stay(embedded_store_url, caplog):
    store = Store(embedded_store_url)
    store.open()
    try:
        migrations.migrate(store)
        today = datetime.now(timezone.utc).date()
        assert drop_oldest_week(store, today) is None
        for weeks, rows in ((8, 2), (5, 3), (0, 4)):
            store.insert_rows(f"{weeks}", encode_rows(rows, timestamp=now_us() - weeks * WEEK_US))
        assert rows_by_age(store) == [2, 3, 4]
        free, loop, all_measured = [10, 200, 99, 5], asyncio.get_running_loop(), asyncio.Event()

        def free_now(_):
            if not free:
                loop.call_soon_threadsafe(all_measured.set)
            return free.pop(0) if free else 5

        caplog.set_level(logging.WARNING)
        task = asyncio.create_task(keep_room(store, 100, free=free_now, interval_s=0))
        await all_measured.wait()
        task.cancel()
        messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        eighth = today - timedelta(weeks=8)
        assert messages[0].endswith(f"of the week from {eighth - timedelta(days=eighth.weekday())}")
        assert "10 bytes" in messages[0]
        assert "99 bytes" in messages[1]
        assert messages[2] == "5 bytes of the disk are free, and only the events of the last days are left"
        held = backups.contents(store)
        assert (held.events, held.rolled_up) == (4, 4)
        # The same token stores nothing twice, also after its rows went.
        store.insert_rows("0", encode_rows(4, timestamp=now_us()))
        assert rows_by_age(store) == [4]
    finally:
        store.close()


async def test_without_a_limit_nothing_goes(embedded_store_url):
    await keep_room(Store(embedded_store_url), 0)


def test_free_space_is_that_of_the_disk(embedded_store_url):
    store = Store(embedded_store_url)
    store.open()
    try:
        assert free_bytes(store) > 0
    finally:
        store.close()
