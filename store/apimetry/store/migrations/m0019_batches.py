"""Create what collectors share about batches: which segments hold a batch, and which of them stores it.

`store.batches` says how the tables are used. `batch_holders` has one row for each batch of each segment, for a week.
Rows of batches that are surely sent for the first time lie in partitions of their own, which most questions skip.
`batch_owners` has one row for each batch that two segments held. It has one partition: the engine recognizes a
repeated token within a partition only.
"""

from __future__ import annotations

from apimetry.store.layout import Layout

_HOLDERS = """
    key FixedString(16) CODEC(NONE),
    segment LowCardinality(String),
    is_first UInt8,
    at DateTime64(3, 'UTC') DEFAULT now64(3)
"""
_OWNERS = """
    key FixedString(16),
    segment String,
    at DateTime64(3, 'UTC') DEFAULT now64(3)
"""
_TTL = "toDateTime(at) + toIntervalDay(7)"
_SYNCED = "fsync_after_insert = 1, fsync_part_directory = 1"


def statements(layout: Layout) -> list[str]:
    """Return the statements that create both tables."""
    return [
        *layout.sharded_table(
            "batch_holders",
            _HOLDERS,
            partition_by="(toYYYYMMDD(at), is_first)",
            order_by="key",
            shard_by="sipHash64(key)",
            ttl=_TTL,
            settings=f"ttl_only_drop_parts = 1, index_granularity = 1024, {_SYNCED}",
        ),
        *layout.sharded_table(
            "batch_owners", _OWNERS, order_by="key", shard_by="sipHash64(key)", ttl=_TTL, settings=_SYNCED
        ),
    ]
