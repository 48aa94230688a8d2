"""What is to be done to stored events, and how far it is: deletions, and changes of retention."""

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
    """The table of jobs."""
    return layout.shared_table("jobs", _COLUMNS, order_by="id", version="version")
