"""Create the counters: all requests that an application ever sent, by source and month.

Retention and deletion do not lower the counters. There is one row per application, UTC month and source, whatever the
traffic. The month is the month of the events' timestamps, so a retried insert counts in the same month as its first
attempt. The engine merges rows of one key some time later, so a query must sum them. The counters do not include
events that were stored before this migration.
"""

from __future__ import annotations

from apimetry.store.layout import Layout

_COLUMNS = """
    application LowCardinality(String),
    month Date,
    source LowCardinality(String),
    requests SimpleAggregateFunction(sum, UInt64),
    first_seen SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(6, 'UTC'))
"""
_SELECT = """SELECT application, toStartOfMonth(timestamp) AS month, source,
  sum(sample_weight) AS requests, min(timestamp) AS first_seen, max(timestamp) AS last_seen
FROM {source}
GROUP BY application, month, source"""


def statements(layout: Layout) -> list[str]:
    """Return the statements that create the counters, and the view that fills them from inserted events."""
    return [
        *layout.sharded_table(
            "counters",
            _COLUMNS,
            engine="AggregatingMergeTree",
            order_by="(application, month, source)",
            shard_by="sipHash64(application, source)",
            # The counters must be as durable as the events: a segment leaves the spool after the insert's answer.
            settings="fsync_after_insert = 1, fsync_part_directory = 1",
        ),
        *layout.view("counters_view", source="events", target="counters", select=_SELECT),
    ]
