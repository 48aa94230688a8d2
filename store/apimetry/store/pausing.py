"""Pause inserts of events, so that events do not change while rollups are rebuilt.

The pause sets the limit of the events table's parts to 0. The engine then refuses every insert as an overload
(TOO_MANY_PARTS), and the spool keeps the segment and retries. A process that is killed during a pause leaves inserts
paused, and no event is lost. The next process resumes inserts when it migrates, and continues the unfinished job.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from apimetry.store.cluster import everywhere
from apimetry.store.errors import StoreUnavailable
from apimetry.store.layout import Layout

if TYPE_CHECKING:
    from apimetry.store.client import Store

_LIMIT: Final = "max_parts_in_total"
_INSERT: Final = r"^\s*INSERT\s+INTO\s+[`\w.]*\bevents(_local)?`?[\s(]"


def pause_inserts(store: Store, layout: Layout, *, patience_s: float = 120) -> None:
    """Make the engine refuse inserts of events, and wait until the running inserts end.

    Raises StoreUnavailable when inserts still run after `patience_s`. Inserts then stay paused for the next attempt.
    """
    store.command(layout.alter_stored("events", f"MODIFY SETTING {_LIMIT} = 0"))
    running = (
        f"SELECT count() FROM {everywhere('processes', layout.cluster)}"  # noqa: S608 - our own table's name
        " WHERE current_database = {d:String} AND match(query, {insert:String})"
    )
    deadline = time.monotonic() + patience_s
    while store.query(running, {"d": layout.database, "insert": f"(?i){_INSERT}"})[0][0]:
        if time.monotonic() > deadline:
            raise StoreUnavailable(f"inserts still run after {patience_s:g} s: migrate again when they have ended")
        time.sleep(0.1)


def resume_inserts(store: Store, layout: Layout) -> None:
    """Make the engine accept inserts of events again."""
    store.command(layout.alter_stored("events", f"RESET SETTING {_LIMIT}"))


def inserts_paused(store: Store, layout: Layout) -> bool:
    """Return whether inserts are paused; False for a database without the events table."""
    return bool(
        store.query(
            "SELECT count() FROM system.tables WHERE database = {d:String} AND name = {t:String}"
            " AND match(engine_full, {limit:String})",
            {"d": layout.database, "t": layout.stored("events"), "limit": rf"\b{_LIMIT} = 0\b"},
        )[0][0]
    )
