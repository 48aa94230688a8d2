"""Drop the oldest week of an embedded store's events, where the operator wants that before the disk is full.

Events and rollups have the same partitions, weeks that begin on Monday. They go together, so their figures agree.
Rows per minute are only of days that stay. The weeks of the last seven days stay: without them nothing is left to
look at. Counters of all events ever sent stay.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from apimetry.store.changes import mark_changed
from apimetry.store.rollups import WEEKLY_TABLES

if TYPE_CHECKING:
    from apimetry.store.client import Store

_KEPT: Final = timedelta(days=7)
_NO_WEEK: Final = date(1970, 1, 1)
_WEEKS: Final = """SELECT min(toDate(partition)) FROM system.parts
WHERE active AND rows > 0 AND database = {database:String} AND table IN {tables:Array(String)}"""


def free_bytes(store: Store) -> int:
    """Return the free space of the disk that holds the store."""
    ((free,),) = store.query("SELECT min(unreserved_space) FROM system.disks")
    return int(free)


def drop_oldest_week(store: Store, today: date) -> date | None:
    """Drop the oldest week of events and rollups, and return its Monday; None where only the last days are left.

    After a kill in the middle, the next call drops the rest of the same week.
    """
    tables = ["events", *WEEKLY_TABLES]
    ((monday,),) = store.query(_WEEKS, {"database": store.database, "tables": tables})
    # Without rows the minimum is the epoch.
    if monday == _NO_WEEK or monday + timedelta(days=7) > today - _KEPT:
        return None
    with store.inserts.held():
        for table in tables:
            store.command(f"ALTER TABLE {store.database}.{table} DROP PARTITION '{monday.isoformat()}'")
    mark_changed(store)
    return date(monday.year, monday.month, monday.day)
