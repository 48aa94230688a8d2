"""Add what processes report about themselves, and an application's target.

`sender_reports` gets the source and the version of every sender. `collector_reports` is new: the last report of every
collector, which counts since the collector's start. A collector that is gone leaves it after 30 days.
"""

from __future__ import annotations

from apimetry.store.layout import Layout

# All rows of a sender have the same text, except those of an earlier version, which have none.
_SENDER_COLUMNS = (
    "source SimpleAggregateFunction(max, LowCardinality(String))",
    "version SimpleAggregateFunction(max, LowCardinality(String))",
)
_COLLECTORS = """
    collector String,
    at DateTime64(3, 'UTC'),
    started_at DateTime64(3, 'UTC'),
    version LowCardinality(String),
    spool_bytes UInt64,
    spool_limit_bytes UInt64,
    segments UInt64,
    oldest_segment_s Float64,
    has_room UInt8,
    received UInt64,
    stored UInt64,
    rejected Map(String, UInt64),
    quarantined UInt64
"""


def statements(layout: Layout) -> list[str]:
    """Return the statements that add the columns and create the table."""
    added = [f"ADD COLUMN IF NOT EXISTS {column}" for column in _SENDER_COLUMNS]
    target = "ADD COLUMN IF NOT EXISTS target_ms Nullable(UInt32)"
    return [
        f"ALTER TABLE {layout.database}.applications{layout.on_cluster} {target}",
        *(statement for change in added for statement in layout.alter("sender_reports", change)),
        *layout.shared_table(
            "collector_reports",
            _COLLECTORS,
            order_by="collector",
            version="at",
            ttl="toDateTime(at) + toIntervalDay(30)",
        ),
    ]
