"""Apply numbered changes of the schema, in order. A migration may be killed and repeated at any point.

- Every statement is repeatable. So a migration that was killed between two of its statements can run again.
- A migration is recorded after its last statement. Two processes that migrate at once run the same repeatable
  statements and leave the same record.
- An applied migration is never changed; a new migration follows it.
- Rollups count from their creation on: a view sees only the events that are inserted after the view was made.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from apimetry.store.changes import mark_changed
from apimetry.store.cluster import check_hosts, check_nodes, check_tables, everywhere
from apimetry.store.errors import SchemaError, StoreRejected
from apimetry.store.layout import DEDUPLICATION_WINDOW, Layout
from apimetry.store.migrations import (
    m0001_events,
    m0002_accounts,
    m0003_rollups,
    m0004_counters,
    m0005_sender_reports,
    m0006_alerts,
    m0007_jobs,
    m0008_unknown_times,
    m0009_alert_channels,
    m0011_changes,
    m0012_reports,
    m0013_user_agent_family,
    m0014_days,
    m0015_alert_filters,
    m0016_tokens,
    m0017_minutes,
    m0018_rejections,
    m0019_batches,
    m0020_merges,
)
from apimetry.store.pausing import inserts_paused, resume_inserts

if TYPE_CHECKING:
    from apimetry.store.client import Store

logger = logging.getLogger(__name__)

_ALL: Final[tuple[tuple[str, Callable[[Layout], list[str]]], ...]] = (
    ("0001_events", m0001_events.statements),
    ("0002_accounts", m0002_accounts.statements),
    ("0003_rollups", m0003_rollups.statements),
    ("0004_counters", m0004_counters.statements),
    ("0005_sender_reports", m0005_sender_reports.statements),
    ("0006_alerts", m0006_alerts.statements),
    ("0007_jobs", m0007_jobs.statements),
    ("0008_unknown_times", m0008_unknown_times.statements),
    ("0009_alert_channels", m0009_alert_channels.statements),
    ("0011_changes", m0011_changes.statements),
    ("0012_reports", m0012_reports.statements),
    ("0013_user_agent_family", m0013_user_agent_family.statements),
    ("0014_days", m0014_days.statements),
    ("0015_alert_filters", m0015_alert_filters.statements),
    ("0016_tokens", m0016_tokens.statements),
    ("0017_minutes", m0017_minutes.statements),
    ("0018_rejections", m0018_rejections.statements),
    ("0019_batches", m0019_batches.statements),
    ("0020_merges", m0020_merges.statements),
)
_RECORD: Final = "schema_migrations"
_WINDOW = re.compile(r"\bnon_replicated_deduplication_window = (\d+)")
_REPLICATED_WINDOW = re.compile(r"\breplicated_deduplication_window = (\d+)")
_UNKNOWN_TABLE: Final = 60


@dataclass(frozen=True)
class Migration:
    """One numbered change: its name, and its statements in order."""

    name: str
    statements: tuple[str, ...]


def migrations(layout: Layout) -> list[Migration]:
    """Return all migrations of this version, with their statements for one layout; pure."""
    return [Migration(name, tuple(statements(layout))) for name, statements in _ALL]


def pending(store: Store) -> list[Migration]:
    """Return the migrations that `migrate` would apply now, in order."""
    done = _applied(store)
    return [migration for migration in migrations(_layout(store)) if migration.name not in done]


def has_begun(store: Store) -> bool:
    """Return whether the database has the tables of any version of apimetry."""
    return bool(_applied(store))


def migrate(store: Store) -> list[str]:
    """Bring the schema up to date and return the names of the applied migrations.

    Raises SchemaError when the schema is newer than this code, or the cluster is not safe.
    """
    layout = _layout(store)
    if store.cluster is not None:
        check_hosts(store, store.cluster)
        check_nodes(store, store.cluster)
    for statement in _record_table(layout):
        store.command(statement)
    done = _applied(store)
    _refuse_newer(done)
    applied = []
    for migration in pending(store):
        for statement in migration.statements:
            store.command(statement)
        _record(store, migration)
        applied.append(migration.name)
    # Another service may run, and remember what it read before.
    mark_changed(store)
    if inserts_paused(store, layout):
        resume_inserts(store, layout)
    return applied


def check(store: Store) -> None:
    """Raise SchemaError, whose message says what to do, unless the schema fits this version and exactly once."""
    if store.cluster is not None:
        check_tables(store, store.cluster)
    done = _applied(store)
    _refuse_newer(done)
    missing = [migration.name for migration in migrations(_layout(store)) if migration.name not in done]
    if missing:
        raise SchemaError(f"the schema lacks {', '.join(missing)}: run `apimetry migrate`")
    _check_windows(store)
    if inserts_paused(store, _layout(store)):
        raise SchemaError("a deletion that was not finished has paused inserts: run `apimetry migrate`")


def _layout(store: Store) -> Layout:
    return Layout(database=store.database, cluster=store.cluster)


def _record(store: Store, migration: Migration) -> None:
    store.command(
        f"INSERT INTO {_RECORD} (name) SETTINGS async_insert = 0 SELECT {{name:String}}", {"name": migration.name}
    )
    logger.info("migration %s applied", migration.name)


def _record_table(layout: Layout) -> list[str]:
    columns = "name String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)"
    return layout.shared_table(_RECORD, columns, order_by="name", version="applied_at")


def _applied(store: Store) -> set[str]:
    # What one replica has recorded, another may not have yet: all of them are read, those that can be reached.
    table, settings = _RECORD, None
    if store.cluster is not None:
        table = f"clusterAllReplicas('{store.cluster}', '{store.database}', '{_RECORD}')"
        settings = {"skip_unavailable_shards": 1}
    sql = f"SELECT DISTINCT name FROM {table}"  # noqa: S608 - our own table's name
    try:
        return {str(name) for (name,) in store.query(sql, settings=settings)}
    except StoreRejected as error:
        if error.code == _UNKNOWN_TABLE:
            return set()
        raise


def _refuse_newer(done: set[str]) -> None:
    unknown = sorted(done - {name for name, _ in _ALL})
    if unknown:
        raise SchemaError(
            f"the schema is newer than this version of apimetry (it has {unknown[-1]}): upgrade apimetry, or"
            " restore the backup made before the upgrade"
        )


def _check_windows(store: Store) -> None:
    tables = store.query(
        f"SELECT name, engine, engine_full FROM {everywhere('tables', store.cluster)}"  # noqa: S608 - the engine's
        " WHERE database = {database:String} AND engine LIKE '%MergeTree' ORDER BY name",
        {"database": store.database},
    )
    for name, engine, definition in tables:
        replicated = engine.startswith("Replicated")
        window = (_REPLICATED_WINDOW if replicated else _WINDOW).search(definition)
        if window is None or int(window.group(1)) < DEDUPLICATION_WINDOW:
            setting = "replicated_deduplication_window" if replicated else "non_replicated_deduplication_window"
            raise SchemaError(
                f"table {store.database}.{name} would store a retried insert twice: run ALTER TABLE"
                f" {store.database}.{name} MODIFY SETTING {setting} = {DEDUPLICATION_WINDOW}"
            )
