"""What a day of events takes: disk, processor time, and the time of a backup and of its restore, which are compared.

python benchmarks/sizing.py --events 1000000 10000000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from _scale_store import APPLICATION, DAY_S, ROWS, event_rows

from apimetry.store import backups, migrations
from apimetry.store.client import Store
from apimetry.store.events import ROW_COLUMNS

# As the collector's segments come at some hundred events a second: one insert a second would be 86,400 of them.
ROWS_PER_INSERT = 50_000
_SIZES = """SELECT sum(bytes_on_disk) FROM system.parts
WHERE active AND database = {database:String} AND table = 'events' = {events:Bool}"""
# Of every column of every row; a sum does not depend on their order.
_EVERY_COLUMN = (
    f"SELECT toString(sum(cityHash64({', '.join(ROW_COLUMNS)}))) FROM events"
    " WHERE application = {application:String} AND timestamp >= toDateTime64({first:UInt32}, 6, 'UTC')"
    " AND timestamp < toDateTime64({first:UInt32} + 3600, 6, 'UTC')"
)


def fill(store: Store, events: int) -> None:
    """Make a day of events that ended this hour."""
    start_s = int(time.time()) // 3600 * 3600 - DAY_S
    insert = f"INSERT INTO events ({', '.join(ROW_COLUMNS)}) {ROWS}"
    for first in range(0, events, ROWS_PER_INSERT):
        rows = range(first, min(first + ROWS_PER_INSERT, events))
        store.command(insert, event_rows(start_s, DAY_S, events, rows), settings={"async_insert": 0})


def digests(store: Store) -> list[str]:
    """Return a digest of all columns of all events for each hour, since a statement has a limit of time."""
    ((first,),) = store.query("SELECT toUnixTimestamp(toStartOfHour(toDateTime(min(timestamp), 'UTC'))) FROM events")
    hours = range(first, first + DAY_S + 3600, 3600)
    return [store.query(_EVERY_COLUMN, {"application": APPLICATION, "first": hour})[0][0] for hour in hours]


def measure(folder: Path, events: int) -> None:
    """Print one row of the table."""
    saved = folder / "backup"
    saved.mkdir()
    store = Store(f"chdb://{folder}/store", backups=saved)
    store.open()
    try:
        migrations.migrate(store)
        cpu = time.process_time()
        fill(store, events)
        cpu = time.process_time() - cpu
        ((stored,),) = store.query(_SIZES, {"database": store.database, "events": True})
        ((others,),) = store.query(_SIZES, {"database": store.database, "events": False})
        before, began = digests(store), time.perf_counter()
        held = backups.backup(store, backups.folder(saved / "store"))
        backup_s = time.perf_counter() - began
    finally:
        store.close()
    restored = Store(f"chdb://{folder}/restored", backups=saved)
    restored.open()
    try:
        began = time.perf_counter()
        backups.restore(restored, backups.folder(saved / "store"), database=restored.database)
        restore_s = time.perf_counter() - began
        same = backups.contents(restored) == held and digests(restored) == before
    finally:
        restored.close()
    print(
        f"{events:,} events: {stored / events:.1f} bytes an event, {others / events:.1f} in all other tables,"
        f" {cpu / events * 1e6:.1f} s of processor time a million,"
        f" backup {backup_s:.1f} s, restore {restore_s:.1f} s, every row the same: {same}",
        flush=True,
    )
    if not same:
        raise SystemExit("the restored events differ")


def main() -> None:
    """Print a row for each number of events a day."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000])
    for events in parser.parse_args().events:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), events)


if __name__ == "__main__":
    main()
