"""Fills the rollups from the events that were there before them; nothing is counted twice or left out.

A view counts what is inserted after it was made, so the two must part exactly at one moment, whatever is being
inserted. Therefore inserts pause while the rollups are made and filled: the events table is told to hold no part
more, which refuses each insert as an overload (TOO_MANY_PARTS), and the spool keeps it and tries again. Then:

1. Inserts refused from now on, those under way are waited for. The events stand still.
2. Tables and views are made.
3. Each day's events are rolled up by one INSERT with a token of its own: a repetition, after a kill or by another
   process that migrates at once, is dropped as any repeated segment is. Nothing else can push the token out of the
   table's window meanwhile.
4. The migration is recorded. A process that comes late finds that out within its own statements, which then select
   nothing.
5. Inserts go on. A kill before this leaves them paused, without loss, until anyone migrates again.

Limit: a segment that was stored before (1) and whose outcome its collector does not know is inserted again after (5).
The events' table knows its token, a new view's does not and counts it. Let collectors finish (SIGTERM, not SIGKILL)
before an upgrade that brings rollups.
"""

from __future__ import annotations

import logging
import time
from datetime import date
from typing import TYPE_CHECKING, Final

from apimetry.store.errors import StoreUnavailable
from apimetry.store.migrations import m0003_rollups
from apimetry.store.migrations.layout import Layout

if TYPE_CHECKING:
    from apimetry.store.client import Store

logger = logging.getLogger(__name__)

MIGRATION: Final = "0003_rollups"
_LIMIT: Final = "max_parts_in_total"
_INSERT: Final = r"^\s*INSERT\s+INTO\s+[`\w.]*\bevents(_local)?`?[\s(]"
_DAY: Final = (
    "timestamp >= toDateTime64({day:Date}, 6, 'UTC') AND timestamp < toDateTime64({day:Date} + 1, 6, 'UTC')"
    " AND NOT (SELECT count() > 0 FROM {database}.schema_migrations WHERE name = {migration:String})"
)
# One block for each statement (a day of a rollup has fewer rows), so that its token covers the whole of it.
_FILL_SETTINGS: Final = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "materialized_views_ignore_errors": 0,
    "max_insert_threads": 1,
    "min_insert_block_size_rows": 16_000_000,
    "min_insert_block_size_bytes": 4 * 1024**3,
    "distributed_foreground_insert": 1,
}


def pause_inserts(store: Store, layout: Layout, *, patience_s: float = 120) -> None:
    """Have the engine refuse inserts of events for now, and wait for those that it is doing.

    Raises StoreUnavailable when some still run after `patience_s`; inserts stay paused, the next attempt goes on.
    """
    store.command(layout.alter_stored("events", f"MODIFY SETTING {_LIMIT} = 0"))
    processes = "system.processes"
    if layout.cluster is not None:
        processes = f"clusterAllReplicas('{layout.cluster}', system.processes)"
    running = (
        f"SELECT count() FROM {processes}"  # noqa: S608 - one of the two above
        " WHERE current_database = {d:String} AND match(query, {insert:String})"
    )
    deadline = time.monotonic() + patience_s
    while store.query(running, {"d": layout.database, "insert": f"(?i){_INSERT}"})[0][0]:
        if time.monotonic() > deadline:
            raise StoreUnavailable(f"inserts still run after {patience_s:g} s: migrate again when they have ended")
        time.sleep(0.1)


def resume_inserts(store: Store, layout: Layout) -> None:
    """Have the engine take inserts of events again."""
    store.command(layout.alter_stored("events", f"RESET SETTING {_LIMIT}"))


def inserts_paused(store: Store, layout: Layout) -> bool:
    """Whether `pause_inserts` holds; a database without events is not paused."""
    return bool(
        store.query(
            "SELECT count() FROM system.tables WHERE database = {d:String} AND name = {t:String}"
            " AND match(engine_full, {limit:String})",
            {"d": layout.database, "t": layout.stored("events"), "limit": rf"\b{_LIMIT} = 0\b"},
        )[0][0]
    )


def fill_rollups(store: Store, layout: Layout) -> None:
    """Roll up every stored event, day by day; repeatable while inserts are paused."""
    days: list[tuple[date]] = store.query("SELECT DISTINCT toDate(timestamp) AS day FROM events ORDER BY day")
    statements = m0003_rollups.fill_statements(layout, _DAY.replace("{database}", layout.database))
    for (day,) in days:
        for table, statement in statements.items():
            token = f"{MIGRATION}/{table}/{day}"
            settings = {**_FILL_SETTINGS, "insert_deduplication_token": token}
            store.command(statement, {"day": day, "migration": MIGRATION}, settings=settings)
        logger.info("the events of %s are rolled up", day)
