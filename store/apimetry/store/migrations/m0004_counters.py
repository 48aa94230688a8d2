"""What every application was ever sent, by source and month: figures that retention and deletion do not lower.

One row for each (application, UTC month, source), whatever the traffic; the month is that of the events' timestamps,
so that a retried insert counts as its first attempt did. Rows of one key are merged some time later: whoever reads
adds them up. Events that were stored before this migration are not in it.
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
    """The counters, and the view that adds to them as events are inserted."""
    return [
        *layout.sharded_table(
            "counters",
            _COLUMNS,
            engine="AggregatingMergeTree",
            order_by="(application, month, source)",
            shard_by="sipHash64(application, source)",
            # As durable as the events: a segment leaves the spool when its insert was answered.
            settings="fsync_after_insert = 1, fsync_part_directory = 1",
        ),
        *layout.view("counters_view", source="events", target="counters", select=_SELECT),
    ]
