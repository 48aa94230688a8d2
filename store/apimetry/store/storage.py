"""How much disk the store's tables take, from the engine's list of parts."""

from __future__ import annotations

from dataclasses import dataclass

from apimetry.store.statement import Ask, Statement

# Rows are counted from the primary index: the order of `events` begins with the application.
_SQL = """SELECT sum(bytes_on_disk), (SELECT count() FROM events), (
    SELECT count()
    FROM events WHERE application IN (SELECT id FROM applications WHERE organization_id = {{organization:String}})
  )
FROM {parts} WHERE active AND database = {{database:String}}"""


@dataclass(frozen=True)
class StorageLocation:
    """Where the store keeps its parts."""

    database: str
    cluster: str | None


@dataclass(frozen=True)
class DiskUsage:
    """Bytes of the database's parts (one replica of each shard), and rows of events.

    All rows, and the organization's, also of its deleted applications; whatever their weight.
    """

    size_bytes: int
    rows: int
    organization_rows: int


def disk_usage(organization_id: str, location: StorageLocation, *, ask: Ask) -> DiskUsage:
    """Return what the database takes on disk, and how many of its events are the organization's."""
    parts = f"cluster('{location.cluster}', system.parts)" if location.cluster else "system.parts"
    parameters = {"database": location.database, "organization": organization_id}
    (row,) = ask(Statement(_SQL.format(parts=parts), parameters))
    return DiskUsage(*row)
