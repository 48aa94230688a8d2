"""Mutations that the engine has not finished: rewrites of stored parts, which it goes on with by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from apimetry.store.client import Store

_SQL: Final = """SELECT table, min(create_time), argMax(latest_fail_reason, latest_fail_time), sum(parts_to_do)
FROM {mutations}
WHERE database = {{database:String}} AND NOT is_done
GROUP BY table
ORDER BY table"""
# The name of the engine's error, without the text around it, which may have values in it.
_ERROR = re.compile(r"\(([A-Z][A-Z_]{3,})\)")


@dataclass(frozen=True)
class Unfinished:
    """The unfinished mutations of one table: since when, how many parts are left, and why one failed last, if any."""

    table: str
    since: datetime
    parts: int
    error: str | None


def unfinished_mutations(store: Store) -> list[Unfinished]:
    """Return what the engine is still rewriting, by table; blocks."""
    mutations = f"clusterAllReplicas('{store.cluster}', system.mutations)" if store.cluster else "system.mutations"
    rows = store.query(_SQL.format(mutations=mutations), {"database": store.database})
    return [Unfinished(table, since, parts, _error_in(reason)) for table, since, reason, parts in rows]


def _error_in(reason: str) -> str | None:
    if not reason:
        return None
    found = _ERROR.findall(reason)
    return found[-1] if found else "UNKNOWN"
