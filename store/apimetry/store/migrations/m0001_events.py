"""Create the events table: one row per event, kept for the retention of its application.

Rows are sorted by application and time, because every query filters by both. A partition is a week, so that the
retention drops whole parts. The engine fsyncs a part and its directory before it answers the insert. So acknowledged
events survive a power cut, also after their segment left the spool.
"""

from __future__ import annotations

from apimetry.store.layout import Layout

_COLUMNS = """
    application LowCardinality(String),
    timestamp DateTime64(6, 'UTC') CODEC(T64, ZSTD(1)),
    method LowCardinality(String),
    url String CODEC(ZSTD(1)),
    route LowCardinality(String),
    function LowCardinality(String),
    status_code UInt16,
    response_us UInt64 CODEC(T64, ZSTD(1)),
    ttfb_us Nullable(UInt64) CODEC(T64, ZSTD(1)),
    request_bytes Nullable(UInt64) CODEC(T64, ZSTD(1)),
    response_bytes Nullable(UInt64) CODEC(T64, ZSTD(1)),
    consumer_id String CODEC(ZSTD(1)),
    error_type LowCardinality(String),
    client_ip String CODEC(ZSTD(1)),
    user_agent String CODEC(ZSTD(1)),
    sample_weight UInt32 DEFAULT 1,
    data Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    source LowCardinality(String),
    version LowCardinality(String),
    retention_days UInt16
"""


def statements(layout: Layout) -> list[str]:
    """Return the statement of the events table."""
    return layout.sharded_table(
        "events",
        _COLUMNS,
        partition_by="toMonday(timestamp)",
        order_by="(application, timestamp)",
        # Even over the shards whatever the applications' sizes, and the same for a row on every attempt.
        shard_by="sipHash64(application, timestamp, url)",
        ttl="toDateTime(timestamp) + toIntervalDay(retention_days)",
        settings="fsync_after_insert = 1, fsync_part_directory = 1",
    )
