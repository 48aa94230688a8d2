"""Run mutations (the engine's rewrites of stored parts) and wait for them.

The engine continues a mutation by itself, also after a restart. A mutation that an operator killed disappears from
the engine's list without a trace. So our mutations carry a mark in their condition: a mutation is done when the list
shows it as done, and it was killed when the list does not show it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from apimetry.store.cluster import everywhere
from apimetry.store.errors import StoreUnavailable
from apimetry.store.layout import Layout

if TYPE_CHECKING:
    from apimetry.store.client import Store

Wait = Callable[[float], None]
"""Waits a number of seconds; raises to interrupt the work, which can start again at any time."""

_FIRST_WAIT_S: Final = 0.02
_LONGEST_WAIT_S: Final = 1.0
# A replica sees a mutation a moment after the statement.
_PATIENCE_S: Final = 5.0

_UNFINISHED: Final = """SELECT table, min(create_time), argMax(latest_fail_reason, latest_fail_time), sum(parts_to_do)
FROM {mutations}
WHERE database = {{database:String}} AND NOT is_done
GROUP BY table
ORDER BY table"""
_MARKED: Final = """SELECT countIf(NOT is_done), count(), (
    SELECT count() FROM {tables} WHERE database = {{database:String}} AND name IN {{tables:Array(String)}}
  )
FROM {mutations}
WHERE database = {{database:String}} AND table IN {{tables:Array(String)}}
  AND position(command, {{mark:String}}) > 0"""
# The name of the engine's error, without the text around the name: that text may quote values.
_ERROR = re.compile(r"\(([A-Z][A-Z_]{3,})\)")


@dataclass(frozen=True)
class Unfinished:
    """One table's unfinished mutations: the oldest one's start, the parts to rewrite, and the last error's name."""

    table: str
    since: datetime
    parts: int
    error: str | None


def mutate(store: Store, changes: Mapping[str, str], parameters: Mapping[str, object], wait: Wait) -> None:
    """Mutate tables and block until the mutations are done; `changes` has an ALTER clause per table.

    A clause ends with its condition. Raises the errors of `wait`, and StoreUnavailable where a mutation was killed.
    """
    layout = Layout(database=store.database, cluster=store.cluster)
    mark = secrets.token_hex(8)
    for table, change in changes.items():
        store.command(
            layout.alter_stored(table, f"{change} AND {{mark:String}} != ''"),
            {**parameters, "mark": mark},
            settings={"mutations_sync": 0},
        )
    _await_marked(store, [layout.stored(table) for table in changes], mark, wait)


def _await_marked(store: Store, tables: list[str], mark: str, wait: Wait) -> None:
    sql = _MARKED.format(mutations=everywhere("mutations", store.cluster), tables=everywhere("tables", store.cluster))
    wait_s, missing_s = _FIRST_WAIT_S, 0.0
    while True:
        ((unfinished, listed, expected),) = store.query(
            sql, {"database": store.database, "tables": tables, "mark": mark}
        )
        if listed >= expected and not unfinished:
            return
        if listed < expected:
            if missing_s >= _PATIENCE_S:
                raise StoreUnavailable(f"a mutation of {' or '.join(tables)} was killed before it was done")
            missing_s += wait_s
        wait(wait_s)
        wait_s = min(wait_s * 2, _LONGEST_WAIT_S)


def unfinished_mutations(store: Store) -> list[Unfinished]:
    """Return the unfinished mutations by table; blocks."""
    rows = store.query(
        _UNFINISHED.format(mutations=everywhere("mutations", store.cluster)), {"database": store.database}
    )
    return [Unfinished(table, since, parts, _error_in(reason)) for table, since, reason, parts in rows]


def _error_in(reason: str) -> str | None:
    if not reason:
        return None
    names = _ERROR.findall(reason)
    return names[-1] if names else "UNKNOWN"
