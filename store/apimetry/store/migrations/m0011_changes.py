"""Create the log of changes: which minutes of an application's events changed. `store.changes` reads it.

There is one row per application and minute, whatever the traffic. Each insert of events adds a random number to the
versions of its minutes. The engine merges rows of one key some time later, so a query must sum them.
"""

from __future__ import annotations

from apimetry.store.layout import Layout

_COLUMNS = """
    application LowCardinality(String),
    time DateTime('UTC'),
    version SimpleAggregateFunction(sum, UInt64),
    expires_s SimpleAggregateFunction(min, UInt64),
    retention_days SimpleAggregateFunction(max, UInt16)
"""
_SELECT = """SELECT application, toStartOfMinute(toDateTime(event.timestamp, 'UTC')) AS time,
  any(rand64()) AS version,
  min(toUnixTimestamp(event.timestamp) + 86400 * event.retention_days) AS expires_s,
  max(event.retention_days) AS retention_days
FROM {source} AS event
GROUP BY application, time"""


def statements(layout: Layout) -> list[str]:
    """Return the statements that create the log, and the view that fills it from inserted events."""
    return [
        *layout.sharded_table(
            "changes",
            _COLUMNS,
            engine="AggregatingMergeTree",
            order_by="(application, time)",
            shard_by="sipHash64(application, time)",
            # Rows at time 0 are of whole applications.
            ttl="time + toIntervalDay(retention_days) + toIntervalDay(1) DELETE WHERE time > toDateTime(0, 'UTC')",
            # A service that outlives a power cut of the server must see the changes that it has not seen before.
            settings="fsync_after_insert = 1, fsync_part_directory = 1",
        ),
        *layout.view("changes_view", source="events", target="changes", select=_SELECT),
    ]
