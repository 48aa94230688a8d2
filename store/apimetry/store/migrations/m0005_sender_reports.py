"""Create the table of the senders' counts: captured, sent and dropped events, to compute the stored share.

The table is coarse (one row per process and minute), so its rows are kept for two years.
"""

from __future__ import annotations

from apimetry.store.layout import Layout

_COLUMNS = """
    application LowCardinality(String),
    minute DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    instance String CODEC(ZSTD(1)),
    captured SimpleAggregateFunction(max, UInt64),
    sent_before SimpleAggregateFunction(min, UInt64),
    sent SimpleAggregateFunction(max, UInt64),
    dropped SimpleAggregateFunction(maxMap, Map(String, UInt64)),
    stored SimpleAggregateFunction(sum, UInt64)
"""


def statements(layout: Layout) -> list[str]:
    """Return the statements that create the table of the senders' reports."""
    return layout.sharded_table(
        "sender_reports",
        _COLUMNS,
        engine="AggregatingMergeTree",
        partition_by="toYYYYMM(minute)",
        order_by="(application, instance, minute)",
        shard_by="sipHash64(application, instance)",
        ttl="minute + toIntervalYear(2)",
        settings="fsync_after_insert = 1, fsync_part_directory = 1",
    )
