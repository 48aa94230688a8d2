"""Databases with migrated, empty tables that the tests of a module use one after another.

To start the engine and to migrate takes a second or more. To empty the tables takes some hundredths. So a database
outlives the test: `EmbeddedDatabase` keeps the engine running between the stores of two tests, `ServerDatabase` keeps
a store open. A database in which a test left more than rows is not used again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import chdb

from apimetry.store import migrations
from apimetry.store.changes import mark_changed
from apimetry.store.client import Store
from apimetry.store.errors import StoreError

# Tables with rows that migrations write.
_WRITTEN = "('schema_migrations', 'whole_days', 'whole_minutes')"
# The tables with rows; a number that other statements change (schema, migrations, mutations); the number of parts.
_TABLES = """SELECT groupArrayIf(name, total_rows > 0 AND name NOT IN {written}),
toString(groupBitXor(cityHash64(name, create_table_query, if(name IN {written}, total_rows, 0))))
  || toString((SELECT count() FROM system.mutations WHERE database = '{database}')),
toUInt32(sum(active_parts))
FROM system.tables WHERE database = '{database}'"""
# To empty a partition takes as long as to fill it. A new database takes less time than this many.
_MAX_PARTS = 200


class Database(Protocol):
    """A migrated database that outlives the stores of tests."""

    url: str

    def clean(self) -> bool:
        """Remove all rows but those of the migrations; return whether the next test can use the database."""

    def close(self) -> None:
        """Stop using the database; harmless when repeated."""


class EmbeddedDatabase:
    """A database in this process. One client keeps the engine running while no store is open."""

    def __init__(self, directory: Path) -> None:
        self.url = f"chdb://{directory}"
        self._intent = directory / "insert.intent"
        self._client = chdb.connect(str(directory))
        self._tables = _tables(self._query, "apimetry")[1]

    def clean(self) -> bool:
        # The next store would undo an unfinished insert, which it may do only before the engine starts.
        if self._intent.exists() and self._intent.stat().st_size:
            return False
        filled, tables, parts = _tables(self._query, "apimetry")
        if tables != self._tables or parts > _MAX_PARTS:
            return False
        for name in filled:
            self._client.query(f"TRUNCATE TABLE apimetry.{name}")
        self._client.query("INSERT INTO apimetry.changes (application, time, version) SELECT '', 0, rand64()")
        return True

    def close(self) -> None:
        self._client.close()

    def _query(self, sql: str) -> list[Any]:
        return [json.loads(line) for line in self._client.query(sql, "JSONCompactEachRow").bytes().splitlines()]


class ServerDatabase:
    """A database of a server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._store = Store(url)
        self._store.open()
        migrations.migrate(self._store)
        self._tables = _tables(self._store.query, self._store.database)[1]

    def clean(self) -> bool:
        try:
            filled, tables, parts = _tables(self._store.query, self._store.database)
            if tables != self._tables or parts > _MAX_PARTS:
                return False
            for name in filled:
                self._store.command(f"TRUNCATE TABLE {name}")
            mark_changed(self._store)
        except StoreError:  # a test killed the server, or dropped tables
            return False
        return True

    def close(self) -> None:
        self._store.close()


class Recycled:
    """The database that the tests of a module share, made by `make` when a test needs it."""

    def __init__(self, make: Callable[[], Database]) -> None:
        self._make = make
        self._database: Database | None = None

    def take(self) -> Database:
        """Return the database; it is empty."""
        if self._database is None:
            self._database = self._make()
        return self._database

    def give_back(self) -> None:
        """Clean the database after a test, whose store is closed."""
        if self._database is not None and not self._database.clean():
            self.close()

    def close(self) -> None:
        """Close the database; `take` makes another one."""
        database, self._database = self._database, None
        if database is not None:
            database.close()


def _tables(query: Callable[[str], list[Any]], database: str) -> tuple[list[str], str, int]:
    ((filled, tables, parts),) = query(_TABLES.format(database=database, written=_WRITTEN))
    return list(filled), str(tables), int(parts)
