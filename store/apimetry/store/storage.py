"""Measure the disk usage of the store's tables, from the engine's list of parts."""

from __future__ import annotations

from dataclasses import dataclass

from apimetry.store.statement import Ask, Statement

# The engine counts the rows in the primary index: the sorting key of `events` begins with the application.
_SQL = """SELECT sum(bytes_on_disk), (SELECT count() FROM events), (
    SELECT count()
    FROM events WHERE application IN (SELECT id FROM applications WHERE organization_id = {{organization:String}})
  )
FROM {parts} WHERE active AND database = {{database:String}}"""


@dataclass(frozen=True)
class StorageLocation:
    """The database, and the cluster or None for one server."""

    database: str
    cluster: str | None


@dataclass(frozen=True)
class DiskUsage:
    """Bytes of the database's parts (one replica of every shard), all rows of events, and the organization's rows.

    The organization's rows include the rows of its deleted applications. A row counts once, whatever its weight.
    """

    size_bytes: int
    rows: int
    organization_rows: int


def disk_usage(organization_id: str, location: StorageLocation, *, ask: Ask) -> DiskUsage:
    """Return the database's disk usage, and the number of the organization's events in it."""
    parts = f"cluster('{location.cluster}', system.parts)" if location.cluster else "system.parts"
    parameters = {"database": location.database, "organization": organization_id}
    (row,) = ask(Statement(_SQL.format(parts=parts), parameters))
    return DiskUsage(*row)
