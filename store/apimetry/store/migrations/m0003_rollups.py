"""Create the rollups: four tables of hours, and the views that fill them. `store.rollups` describes them.

The SQL is frozen: an applied migration is never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from apimetry.store.layout import Layout

_ROUTES_COLUMNS: Final = """
    application LowCardinality(String),
    time DateTime('UTC'),
    route LowCardinality(String),
    method LowCardinality(String),
    status_code UInt16,
    retention_days SimpleAggregateFunction(max, UInt16),
    requests SimpleAggregateFunction(sum, UInt64),
    response_us_weight SimpleAggregateFunction(sum, UInt64),
    response_us_sum SimpleAggregateFunction(sum, UInt64),
    response_us_min SimpleAggregateFunction(min, UInt64),
    response_us_max SimpleAggregateFunction(max, UInt64),
    ttfb_us_weight SimpleAggregateFunction(sum, UInt64),
    ttfb_us_sum SimpleAggregateFunction(sum, UInt64),
    ttfb_us_min SimpleAggregateFunction(min, UInt64),
    ttfb_us_max SimpleAggregateFunction(max, UInt64),
    request_bytes_weight SimpleAggregateFunction(sum, UInt64),
    request_bytes_sum SimpleAggregateFunction(sum, UInt64),
    request_bytes_min SimpleAggregateFunction(min, UInt64),
    request_bytes_max SimpleAggregateFunction(max, UInt64),
    response_bytes_weight SimpleAggregateFunction(sum, UInt64),
    response_bytes_sum SimpleAggregateFunction(sum, UInt64),
    response_bytes_min SimpleAggregateFunction(min, UInt64),
    response_bytes_max SimpleAggregateFunction(max, UInt64)
"""
_ROUTES_SELECT: Final = """SELECT application, time, route, method, status_code,
  max(retention_days) AS retention_days,
  sum(requests) AS requests,
  sum(response_us_weight) AS response_us_weight,
  sum(response_us_sum) AS response_us_sum,
  min(response_us_min) AS response_us_min,
  max(response_us_max) AS response_us_max,
  sum(ttfb_us_weight) AS ttfb_us_weight,
  sum(ttfb_us_sum) AS ttfb_us_sum,
  min(ttfb_us_min) AS ttfb_us_min,
  max(ttfb_us_max) AS ttfb_us_max,
  sum(request_bytes_weight) AS request_bytes_weight,
  sum(request_bytes_sum) AS request_bytes_sum,
  min(request_bytes_min) AS request_bytes_min,
  max(request_bytes_max) AS request_bytes_max,
  sum(response_bytes_weight) AS response_bytes_weight,
  sum(response_bytes_sum) AS response_bytes_sum,
  min(response_bytes_min) AS response_bytes_min,
  max(response_bytes_max) AS response_bytes_max
FROM {source}
GROUP BY application, time, route, method, status_code"""
_TOTALS_COLUMNS: Final = """
    application LowCardinality(String),
    dimension Enum8('all' = 0, 'method' = 1, 'status_code' = 2, 'route' = 3),
    route LowCardinality(String),
    method LowCardinality(String),
    status_code UInt16,
    time DateTime('UTC'),
    retention_days SimpleAggregateFunction(max, UInt16),
    requests SimpleAggregateFunction(sum, UInt64),
    response_us_weight SimpleAggregateFunction(sum, UInt64),
    response_us_sum SimpleAggregateFunction(sum, UInt64),
    response_us_min SimpleAggregateFunction(min, UInt64),
    response_us_max SimpleAggregateFunction(max, UInt64),
    ttfb_us_weight SimpleAggregateFunction(sum, UInt64),
    ttfb_us_sum SimpleAggregateFunction(sum, UInt64),
    ttfb_us_min SimpleAggregateFunction(min, UInt64),
    ttfb_us_max SimpleAggregateFunction(max, UInt64),
    request_bytes_weight SimpleAggregateFunction(sum, UInt64),
    request_bytes_sum SimpleAggregateFunction(sum, UInt64),
    request_bytes_min SimpleAggregateFunction(min, UInt64),
    request_bytes_max SimpleAggregateFunction(max, UInt64),
    response_bytes_weight SimpleAggregateFunction(sum, UInt64),
    response_bytes_sum SimpleAggregateFunction(sum, UInt64),
    response_bytes_min SimpleAggregateFunction(min, UInt64),
    response_bytes_max SimpleAggregateFunction(max, UInt64),
    errors SimpleAggregateFunction(sum, UInt64),
    minutes SimpleAggregateFunction(sumMap, Map(UInt8, UInt64)),
    response_us_buckets SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)),
    ttfb_us_buckets SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)),
    request_bytes_buckets SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)),
    response_bytes_buckets SimpleAggregateFunction(sumMap, Map(UInt16, UInt64))
"""
_TOTALS_SELECT: Final = """SELECT application, dimension, time, route, method, status_code, retention_days, requests,
  response_us_weight,
  response_us_sum,
  response_us_min,
  response_us_max,
  ttfb_us_weight,
  ttfb_us_sum,
  ttfb_us_min,
  ttfb_us_max,
  request_bytes_weight,
  request_bytes_sum,
  request_bytes_min,
  request_bytes_max,
  response_bytes_weight,
  response_bytes_sum,
  response_bytes_min,
  response_bytes_max, errors,
  mapFilter((position, count) -> count > 0, mapFromArrays(range(toUInt8(60)), minute_counts)) AS minutes,
  mapFilter((position, count) -> count > 0, mapFromArrays(range(toUInt16(721)), response_us_counts)) AS response_us_buckets,
  mapFilter((position, count) -> count > 0, mapFromArrays(range(toUInt16(721)), ttfb_us_counts)) AS ttfb_us_buckets,
  mapFilter((position, count) -> count > 0, mapFromArrays(range(toUInt16(721)), request_bytes_counts)) AS request_bytes_buckets,
  mapFilter((position, count) -> count > 0, mapFromArrays(range(toUInt16(721)), response_bytes_counts)) AS response_bytes_buckets
FROM (
  SELECT application, toStartOfHour(toDateTime(timestamp, 'UTC')) AS time, route, method, status_code,
    CAST(multiIf(grouping(method) = 0, 1, grouping(status_code) = 0, 2, grouping(route) = 0, 3, 0), $$Enum8('all' = 0, 'method' = 1, 'status_code' = 2, 'route' = 3)$$)
      AS dimension,
    max(retention_days) AS retention_days,
    sum(sample_weight) AS requests,
    sumIf(sample_weight, status_code >= 400) AS errors,
    sumResample(0, 60, 1)(sample_weight, toMinute(timestamp)) AS minute_counts,
    sum(if(isNull(response_us), 0, sample_weight)) AS response_us_weight,
  sum(ifNull(response_us, 0) * sample_weight) AS response_us_sum,
  min(ifNull(response_us, 18446744073709551615)) AS response_us_min,
  max(ifNull(response_us, 0)) AS response_us_max,
  sum(if(isNull(ttfb_us), 0, sample_weight)) AS ttfb_us_weight,
  sum(ifNull(ttfb_us, 0) * sample_weight) AS ttfb_us_sum,
  min(ifNull(ttfb_us, 18446744073709551615)) AS ttfb_us_min,
  max(ifNull(ttfb_us, 0)) AS ttfb_us_max,
  sum(if(isNull(request_bytes), 0, sample_weight)) AS request_bytes_weight,
  sum(ifNull(request_bytes, 0) * sample_weight) AS request_bytes_sum,
  min(ifNull(request_bytes, 18446744073709551615)) AS request_bytes_min,
  max(ifNull(request_bytes, 0)) AS request_bytes_max,
  sum(if(isNull(response_bytes), 0, sample_weight)) AS response_bytes_weight,
  sum(ifNull(response_bytes, 0) * sample_weight) AS response_bytes_sum,
  min(ifNull(response_bytes, 18446744073709551615)) AS response_bytes_min,
  max(ifNull(response_bytes, 0)) AS response_bytes_max,
    sumResample(0, 721, 1)(if(isNull(response_us), 0, sample_weight), toUInt16(least(18 * log2(assumeNotNull(response_us) + 1.0), 720))) AS response_us_counts,
  sumResample(0, 721, 1)(if(isNull(ttfb_us), 0, sample_weight), toUInt16(least(18 * log2(assumeNotNull(ttfb_us) + 1.0), 720))) AS ttfb_us_counts,
  sumResample(0, 721, 1)(if(isNull(request_bytes), 0, sample_weight), toUInt16(least(18 * log2(assumeNotNull(request_bytes) + 1.0), 720))) AS request_bytes_counts,
  sumResample(0, 721, 1)(if(isNull(response_bytes), 0, sample_weight), toUInt16(least(18 * log2(assumeNotNull(response_bytes) + 1.0), 720))) AS response_bytes_counts
  FROM {source}
  WHERE 1
  GROUP BY GROUPING SETS (
    (application, time), (application, time, method), (application, time, status_code), (application, time, route)
  )
)"""
_ORIGINS_COLUMNS: Final = """
    application LowCardinality(String),
    time DateTime('UTC'),
    route LowCardinality(String),
    method LowCardinality(String),
    status_code UInt16,
    function LowCardinality(String),
    source LowCardinality(String),
    version LowCardinality(String),
    error_type LowCardinality(String),
    retention_days SimpleAggregateFunction(max, UInt16),
    requests SimpleAggregateFunction(sum, UInt64),
    response_us_weight SimpleAggregateFunction(sum, UInt64),
    response_us_sum SimpleAggregateFunction(sum, UInt64),
    response_us_min SimpleAggregateFunction(min, UInt64),
    response_us_max SimpleAggregateFunction(max, UInt64),
    ttfb_us_weight SimpleAggregateFunction(sum, UInt64),
    ttfb_us_sum SimpleAggregateFunction(sum, UInt64),
    ttfb_us_min SimpleAggregateFunction(min, UInt64),
    ttfb_us_max SimpleAggregateFunction(max, UInt64),
    request_bytes_weight SimpleAggregateFunction(sum, UInt64),
    request_bytes_sum SimpleAggregateFunction(sum, UInt64),
    request_bytes_min SimpleAggregateFunction(min, UInt64),
    request_bytes_max SimpleAggregateFunction(max, UInt64),
    response_bytes_weight SimpleAggregateFunction(sum, UInt64),
    response_bytes_sum SimpleAggregateFunction(sum, UInt64),
    response_bytes_min SimpleAggregateFunction(min, UInt64),
    response_bytes_max SimpleAggregateFunction(max, UInt64)
"""
_ORIGINS_SELECT: Final = """SELECT application, toStartOfHour(toDateTime(timestamp, 'UTC')) AS time, route, method, status_code, function, source, version, error_type,
  max(retention_days) AS retention_days,
  sum(sample_weight) AS requests,
  sum(if(isNull(response_us), 0, sample_weight)) AS response_us_weight,
  sum(ifNull(response_us, 0) * sample_weight) AS response_us_sum,
  min(ifNull(response_us, 18446744073709551615)) AS response_us_min,
  max(ifNull(response_us, 0)) AS response_us_max,
  sum(if(isNull(ttfb_us), 0, sample_weight)) AS ttfb_us_weight,
  sum(ifNull(ttfb_us, 0) * sample_weight) AS ttfb_us_sum,
  min(ifNull(ttfb_us, 18446744073709551615)) AS ttfb_us_min,
  max(ifNull(ttfb_us, 0)) AS ttfb_us_max,
  sum(if(isNull(request_bytes), 0, sample_weight)) AS request_bytes_weight,
  sum(ifNull(request_bytes, 0) * sample_weight) AS request_bytes_sum,
  min(ifNull(request_bytes, 18446744073709551615)) AS request_bytes_min,
  max(ifNull(request_bytes, 0)) AS request_bytes_max,
  sum(if(isNull(response_bytes), 0, sample_weight)) AS response_bytes_weight,
  sum(ifNull(response_bytes, 0) * sample_weight) AS response_bytes_sum,
  min(ifNull(response_bytes, 18446744073709551615)) AS response_bytes_min,
  max(ifNull(response_bytes, 0)) AS response_bytes_max
FROM {source}
WHERE 1
GROUP BY application, time, route, method, status_code, function, source, version, error_type"""
_CONSUMERS_COLUMNS: Final = """
    application LowCardinality(String),
    consumer_id LowCardinality(String),
    time DateTime('UTC'),
    retention_days SimpleAggregateFunction(max, UInt16),
    requests SimpleAggregateFunction(sum, UInt64),
    errors SimpleAggregateFunction(sum, UInt64),
    response_us_sum SimpleAggregateFunction(sum, UInt64),
    response_us_min SimpleAggregateFunction(min, UInt64),
    response_us_max SimpleAggregateFunction(max, UInt64),
    request_bytes_weight SimpleAggregateFunction(sum, UInt64),
    request_bytes_sum SimpleAggregateFunction(sum, UInt64),
    response_bytes_weight SimpleAggregateFunction(sum, UInt64),
    response_bytes_sum SimpleAggregateFunction(sum, UInt64)
"""
_CONSUMERS_SELECT: Final = """SELECT application, consumer_id, toStartOfHour(toDateTime(timestamp, 'UTC')) AS time,
  max(retention_days) AS retention_days,
  sum(sample_weight) AS requests,
  sumIf(sample_weight, status_code >= 400) AS errors,
  sum(ifNull(response_us, 0) * sample_weight) AS response_us_sum,
  min(ifNull(response_us, 18446744073709551615)) AS response_us_min,
  max(ifNull(response_us, 0)) AS response_us_max,
  sum(if(isNull(request_bytes), 0, sample_weight)) AS request_bytes_weight,
  sum(ifNull(request_bytes, 0) * sample_weight) AS request_bytes_sum,
  sum(if(isNull(response_bytes), 0, sample_weight)) AS response_bytes_weight,
  sum(ifNull(response_bytes, 0) * sample_weight) AS response_bytes_sum
FROM {source}
WHERE 1
GROUP BY application, consumer_id, time"""


@dataclass(frozen=True)
class _Rollup:
    name: str
    source: str
    key: str
    columns: str
    select: str
    # Rows with buckets take kilobytes: few to a granule, or a query about one route would read all of them.
    granule_rows: int = 8192


# The routes' view is there before anything enters `hourly_origins`.
_ROLLUPS: Final = (
    _Rollup("hourly_routes", "hourly_origins", "time, route, method, status_code", _ROUTES_COLUMNS, _ROUTES_SELECT),
    _Rollup(
        "hourly_totals",
        "events",
        "dimension, route, method, status_code, time",
        _TOTALS_COLUMNS,
        _TOTALS_SELECT,
        granule_rows=128,
    ),
    _Rollup(
        "hourly_origins",
        "events",
        "time, route, method, status_code, function, source, version, error_type",
        _ORIGINS_COLUMNS,
        _ORIGINS_SELECT,
    ),
    _Rollup("hourly_consumers", "events", "consumer_id, time", _CONSUMERS_COLUMNS, _CONSUMERS_SELECT),
)


def statements(layout: Layout) -> list[str]:
    """Return the statements that create the rollups, and the views that fill them from inserted events."""
    tables = [statement for rollup in _ROLLUPS for statement in _table(layout, rollup)]
    views = [
        statement
        for rollup in _ROLLUPS
        for statement in layout.view(
            f"{rollup.name}_view", source=rollup.source, target=rollup.name, select=rollup.select
        )
    ]
    return tables + views


def _table(layout: Layout, rollup: _Rollup) -> list[str]:
    key = f"application, {rollup.key}"
    return layout.sharded_table(
        rollup.name,
        rollup.columns,
        engine="AggregatingMergeTree",
        partition_by="toMonday(time)",
        order_by=f"({key})",
        shard_by=f"sipHash64({key})",
        ttl="time + toIntervalHour(1) + toIntervalDay(retention_days)",
        settings=f"index_granularity = {rollup.granule_rows}, fsync_after_insert = 1, fsync_part_directory = 1",
    )
