"""Return whether events changed: a log with a version for every minute of an application's events.

Who remembers what was read from events or rollups reads the log in this order:

1. The log (`versions`), and then whether inserts run (`inserting`).
2. The events or rollups. If no insert ran, what was read has every change that is in the log: an insert stores its
   rows table by table, and its row of the log may come before those of a rollup.
3. Later, the log again. If the version is the same, nothing has changed in between.

The log's view catches every insert of events. Three changes are written with `mark_changed`: those of a deletion or
of a change of retention, those of a migration, and those of an insert that was repeated. The first attempt may have
stored the events and the log, and the repetition the rest. The engine removes expired rows at a time of its own:
`Versions` has the time when the first row expires. Changes that somebody makes by hand are not in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from apimetry.store.layout import Layout
from apimetry.store.statement import Rows, Statement

if TYPE_CHECKING:
    from apimetry.store.client import Store

_MINUTE_S: Final = 60
_LATEST: Final = 2**32 - 1
_EVERYWHERE: Final = ""

# The rows at time 0 are changes of all of an application's events.
_VERSIONS: Final = """SELECT sum(version), minOrNull(if(time = toDateTime(0, 'UTC'), NULL, expires_s))
FROM changes
WHERE application IN ('', {application:String})
  AND (time = toDateTime(0, 'UTC')
    OR time >= toDateTime({first:UInt32}, 'UTC') AND time < toDateTime({last:UInt32}, 'UTC')
    AND arrayExists(
      (start, end) -> toUnixTimestamp(time) >= start AND toUnixTimestamp(time) < end,
      {starts:Array(UInt32)}, {ends:Array(UInt32)}
    ))"""
_INSERTING: Final = """SELECT count() FROM system.processes
WHERE query_kind = 'Insert' AND current_database = currentDatabase()"""
_MARK: Final = "INSERT INTO {table} (application, time, version) SELECT {{application:String}}, 0, rand64()"
_MARK_SETTINGS: Final = {"async_insert": 0, "insert_deduplicate": 0, "distributed_foreground_insert": 1}


@dataclass(frozen=True)
class Versions:
    """The version of an application's events in some ranges."""

    total: int
    """Another number after every change."""

    expires_s: int | None
    """When the engine may remove the first of the events, in seconds since the epoch; None where there are none."""


def versions(application: str, ranges: Sequence[tuple[int, int]]) -> Statement:
    """Return what reads the version of the events in `ranges` of `[start, end)` seconds, widened to whole minutes."""
    starts = [min(start // _MINUTE_S * _MINUTE_S, _LATEST) for start, _ in ranges]
    ends = [min(end, _LATEST) for _, end in ranges]
    parameters = {"application": application, "starts": starts, "ends": ends}
    return Statement(_VERSIONS, {**parameters, "first": min(starts), "last": max(ends)})


def versions_in(rows: Rows) -> Versions:
    """Return what the rows of `versions` say."""
    ((total, expires_s),) = rows
    return Versions(total, expires_s)


def inserting() -> Statement:
    """Return what reads the number of inserts that run now on the server; one row."""
    return Statement(_INSERTING)


def mark_changed(store: Store, application: str = _EVERYWHERE) -> None:
    """Write that all events of `application` changed, or those of all applications; call it after the change."""
    layout = Layout(database=store.database, cluster=store.cluster)
    with store.inserts.held():
        store.command(
            _MARK.format(table=f"{layout.database}.changes"), {"application": application}, settings=_MARK_SETTINGS
        )
