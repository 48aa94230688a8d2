"""Back up a store's database with the engine's own BACKUP, and restore it.

`BACKUP` takes one table after the other. So inserts are paused meanwhile: events and rollups agree, and the spool
keeps what comes. The engine does not back up which insert tokens it has seen. So a restored store would count a
segment again that it had stored before: the caller leaves no such segment.
"""

from __future__ import annotations

import re
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from apimetry.store.errors import StoreError
from apimetry.store.layout import Layout
from apimetry.store.pausing import pause_inserts, resume_inserts

if TYPE_CHECKING:
    from apimetry.store.client import Store

FORMAT: Final = 1
# What ClickHouse's BACKUP takes after TO, of its engines for backups.
_DESTINATION: Final = re.compile(r"(File|Disk|S3|AzureBlobStorage)\('[^;]*'\)")
_POLL_S: Final = 0.1
# What follows the engine's own words in the error of a backup: frames of its code, and its version.
_ENDS: Final = re.compile(r", Stack trace| \(version")
_WEEKS: Final = """SELECT DISTINCT toDate(partition) FROM system.parts
WHERE active AND rows > 0 AND database = {d:String} AND table = 'events'"""
# Of cheap columns, which tell events apart; an addition does not depend on the order of rows. A statement has a limit
# of time, so it is of one week.
_EVENTS: Final = """SELECT count(), sum(sample_weight),
  sum(cityHash64(application, timestamp, status_code, ifNull(response_us, 0), sample_weight))
FROM events WHERE toMonday(timestamp) = {week:Date}"""
_COUNTS: Final = """SELECT
  (SELECT sum(requests) FROM hourly_totals WHERE dimension = 'all'),
  (SELECT count() FROM applications FINAL), (SELECT count() FROM keys FINAL)"""


class BackupError(StoreError):
    """A backup or a restore that cannot be made; the message says why."""


class Contents(msgspec.Struct, frozen=True):
    """What a store holds, to compare a restored store with its backup."""

    events: int
    requests: int
    digest: str
    rolled_up: int
    applications: int
    keys: int


def contents(store: Store) -> Contents:
    """Return the number of rows, the sums and the digest of a migrated store."""
    events = requests = digest = 0
    for (week,) in store.query(_WEEKS, {"d": store.database}):
        ((rows, weights, hashes),) = store.query(_EVENTS, {"week": week})
        events, requests, digest = events + rows, requests + weights, (digest + hashes) % 2**64
    (counts,) = store.query(_COUNTS)
    return Contents(events, requests, str(digest), *counts)


def folder(path: Path) -> str:
    """Return the destination of a backup into a new folder on this machine."""
    if re.search(r"['\\\n]", str(path)):
        raise BackupError(f"{path} has characters that cannot stand in the path of a backup")
    return f"File('{path}')"


def checked_destination(text: str) -> str:
    """Return a destination that ClickHouse's BACKUP takes, such as `Disk('backups', 'monday')`."""
    if not _DESTINATION.fullmatch(text):
        raise BackupError(f"{text!r} is no place for a backup: write File('…'), Disk('…', '…') or S3('…')")
    return text


def backup(store: Store, destination: str) -> Contents:
    """Back up the database to a destination, and return what was backed up. Inserts wait meanwhile.

    Raises:
        BackupError: the engine cannot make the backup.
    """
    if store.cluster is not None:
        raise BackupError("the tables of a cluster are backed up by ClickHouse: BACKUP DATABASE … ON CLUSTER …")
    layout = Layout(database=store.database, cluster=None)
    pause_inserts(store, layout)
    try:
        held = contents(store)
        _run(store, f"BACKUP DATABASE `{store.database}` TO {destination}", "BACKUP_CREATED")
    finally:
        resume_inserts(store, layout)
    return held


def restore(store: Store, source: str, *, database: str) -> None:
    """Restore the tables of `database` in a backup into the store's empty database; inserts are not paused after it.

    Raises:
        BackupError: the database has tables already, or the engine cannot restore the backup.
    """
    ((tables,),) = store.query("SELECT count() FROM system.tables WHERE database = {d:String}", {"d": store.database})
    if tables:
        raise BackupError(f"the database {store.database} has tables already: restore into an empty one")
    _run(store, f"RESTORE DATABASE `{database}` AS `{store.database}` FROM {source}", "RESTORED")
    resume_inserts(store, Layout(database=store.database, cluster=None))


def _run(store: Store, statement: str, done: str) -> None:
    """Run a statement of minutes in the background of the engine, and wait until it is done."""
    identifier = str(uuid.uuid4())
    store.command(f"{statement} SETTINGS id = '{identifier}' ASYNC")
    while True:
        ((status, error),) = store.query(
            "SELECT toString(status), error FROM system.backups WHERE id = {id:String}", {"id": identifier}
        )
        if status == done:
            return
        if status.endswith(("FAILED", "CANCELLED")):
            raise BackupError(f"the engine says: {_ENDS.split(error, maxsplit=1)[0]}")
        time.sleep(_POLL_S)
