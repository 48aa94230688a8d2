"""Create the rollup of recent minutes, and the view that fills it from inserted events.

It has rows for today and for the three days before, in UTC. The view leaves older events out: an import of old events
costs nothing, and adds no row that leaves at once.

The rows of a minute are whole from a second on that this migration records in `whole_minutes`, as `m0014_days` records
it for days: inserts of the version before may come again, with tokens that the new table does not know.

An event is grouped once, by all dimensions, and the groups are then summed for each of them. The latency buckets of a
group are collected as one number per event, sorted, and counted: so the memory of an insert grows with its events
alone, whatever minutes they are of.

The SQL is frozen: an applied migration is never changed.
"""

from __future__ import annotations

from typing import Final

from apimetry.store.layout import Layout

_KEY: Final = "application, dimension, route, method, status_code, time"
_COLUMNS: Final = """
    application LowCardinality(String),
    dimension Enum8('all' = 0, 'method' = 1, 'status_code' = 2, 'route' = 3),
    route LowCardinality(String),
    method LowCardinality(String),
    status_code UInt16,
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    retention_days SimpleAggregateFunction(max, UInt16),
    requests SimpleAggregateFunction(sum, UInt64),
    errors SimpleAggregateFunction(sum, UInt64),
    response_us_weight SimpleAggregateFunction(sum, UInt64),
    response_us_sum SimpleAggregateFunction(sum, UInt64),
    response_us_min SimpleAggregateFunction(min, UInt64),
    response_us_max SimpleAggregateFunction(max, UInt64),
    response_us_buckets SimpleAggregateFunction(sumMap, Map(UInt16, UInt64))
"""
_SELECT: Final = """SELECT application, dimension, time, route, method, status_code, retention_days,
  requests, errors, response_us_weight, response_us_sum, response_us_min, response_us_max,
  mapFromArrays(arrayCompact(buckets), arrayMap((total, before) -> toUInt64(total - before),
    totals, arrayShiftRight(totals, 1, toUInt64(0)))) AS response_us_buckets
FROM (
  SELECT *,
    arrayMap(value -> toUInt16(bitShiftRight(value, 32)), sorted) AS buckets,
    arrayFilter((total, bucket, next) -> bucket != next,
      arrayCumSum(arrayMap(value -> bitAnd(value, 4294967295), sorted)), buckets,
      arrayShiftLeft(buckets, 1, toUInt16(65535))) AS totals
FROM (
  SELECT application, time, route, method, status_code,
    CAST(multiIf(grouping(method) = 0, 1, grouping(status_code) = 0, 2, grouping(route) = 0, 3, 0),
      $$Enum8('all' = 0, 'method' = 1, 'status_code' = 2, 'route' = 3)$$) AS dimension,
    max(part.retention_days) AS retention_days,
    sum(part.requests) AS requests,
    sumIf(part.requests, status_code >= 400) AS errors,
    sum(part.response_us_weight) AS response_us_weight,
    sum(part.response_us_sum) AS response_us_sum,
    min(part.response_us_min) AS response_us_min,
    max(part.response_us_max) AS response_us_max,
    arraySort(groupArrayArray(part.values)) AS sorted
  FROM (
    SELECT application, toStartOfMinute(toDateTime(timestamp, 'UTC')) AS time, route, method, status_code,
      max(retention_days) AS retention_days,
      sum(sample_weight) AS requests,
      sum(if(isNull(response_us), 0, sample_weight)) AS response_us_weight,
      sum(ifNull(response_us, 0) * sample_weight) AS response_us_sum,
      min(ifNull(response_us, 18446744073709551615)) AS response_us_min,
      max(ifNull(response_us, 0)) AS response_us_max,
      groupArrayIf(
        bitShiftLeft(toUInt64(least(18 * log2(assumeNotNull(response_us) + 1.0), 720)), 32) + sample_weight,
        isNotNull(response_us)
      ) AS values
    FROM {source}
    WHERE timestamp >= toStartOfDay(now('UTC')) - toIntervalDay(3)
    GROUP BY application, time, route, method, status_code
  ) AS part
  GROUP BY GROUPING SETS (
    (application, time), (application, time, method), (application, time, status_code), (application, time, route)
  )
))"""

_SINCE: Final = """INSERT INTO {table} (since) SETTINGS async_insert = 0
SELECT if((SELECT count() FROM {database}.counters) = 0, 0, greatest(
  toUnixTimestamp(toStartOfDay(now('UTC'))) + 3 * 86400,
  toUnixTimestamp(toStartOfDay((SELECT max(time) FROM {database}.hourly_totals))) + 86400
))"""


def statements(layout: Layout) -> list[str]:
    """Return the statements that create the table, record which minutes are whole, and create the view."""
    since, table = "whole_minutes", "minute_totals"
    return [
        *layout.sharded_table(
            table,
            _COLUMNS,
            engine="AggregatingMergeTree",
            # A day's rows leave as whole parts.
            partition_by="toDate(time)",
            order_by=f"({_KEY})",
            shard_by=f"sipHash64({_KEY})",
            ttl="toStartOfDay(time) + toIntervalDay(least(retention_days + 1, 4))",
            settings="index_granularity = 256, fsync_after_insert = 1, fsync_part_directory = 1",
        ),
        *layout.shared_table(since, "since UInt32", order_by="tuple()", version="since"),
        _SINCE.format(table=f"{layout.database}.{since}", database=layout.database),
        *layout.view(f"{table}_view", source="events", target=table, select=_SELECT),
    ]
