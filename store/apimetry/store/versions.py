"""Change a record by writing the whole record again under a higher version.

The last change wins, and a repeated change is harmless.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from apimetry.store.client import Store

Columns = Mapping[str, tuple[str, object]]
"""A record: the type and the value of every column, by column name; `id` is one of them."""

APPEND: Final = {"async_insert": 0, "insert_deduplicate": 0}
"""Settings of an insert without deduplication: every repetition is stored."""


class Versions:
    """Write records of one store: blocking, safe from several threads.

    Mutable state: the last used version, under `_lock`. The lock also makes a write one step within this process.
    """

    def __init__(self, store: Store) -> None:
        self._store: Final = store
        self._lock = threading.Lock()
        self._last = 0

    def write(self, table: str, columns: Columns) -> None:
        """Write a record. The server binds the values; the names of table, columns and types must be our own."""
        with self._lock:
            # The new version must also be above the version of another process whose clock is ahead.
            ((highest,),) = self._store.query(
                f"SELECT max(version) FROM {table} WHERE id = {{id:String}}",  # noqa: S608 - our own table's name
                {"id": columns["id"][1]},
            )
            columns = {**columns, "version": ("UInt64", self._next(highest + 1))}
            values = ", ".join(f"{{{name}:{kind}}}" for name, (kind, _) in columns.items())
            self._store.command(
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values}",
                {name: value for name, (_, value) in columns.items()},
                settings=APPEND,
            )

    def next(self) -> int:
        """Return a version above all versions that this process has used."""
        with self._lock:
            return self._next(0)

    def _next(self, least: int) -> int:
        self._last = max(time.time_ns(), self._last + 1, least)
        return self._last
