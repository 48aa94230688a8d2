"""Pauses inserts of events, so that rollups can be made again while nothing changes beneath them.

The events table is told to hold no part more, which refuses each insert as an overload (TOO_MANY_PARTS): the spool
keeps it and tries again. A process that is killed meanwhile leaves inserts paused, without loss, until the next one
begins: it migrates, and goes on with what was not finished.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from apimetry.store.errors import StoreUnavailable
from apimetry.store.layout import Layout

if TYPE_CHECKING:
    from apimetry.store.client import Store

_LIMIT: Final = "max_parts_in_total"
_INSERT: Final = r"^\s*INSERT\s+INTO\s+[`\w.]*\bevents(_local)?`?[\s(]"


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
