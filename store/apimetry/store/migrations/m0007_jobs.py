"""Create the table of jobs: deletions of stored events, and changes of their retention."""

from __future__ import annotations

from apimetry.store.layout import Layout

_COLUMNS = """
    id String,
    organization_id String,
    application_id String,
    kind LowCardinality(String),
    start_us Int64,
    end_us Int64,
    consumer_id String,
    retention_days UInt16,
    created_at DateTime64(3, 'UTC'),
    state LowCardinality(String),
    finished_at Nullable(DateTime64(3, 'UTC')),
    version UInt64
"""


def statements(layout: Layout) -> list[str]:
    """Return the statements that create the table of jobs."""
    return layout.shared_table("jobs", _COLUMNS, order_by="id", version="version")
