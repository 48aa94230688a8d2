"""Rollups: what was counted in each hour, so that long ranges are answered without their events.

Four tables, each an hour by some dimensions, filled by materialized views as events are inserted:

- `hourly_totals`: the whole application, each route, each method, and each status (`dimension` says which); all
  measures: some dozen rows an hour.
- `hourly_origins`: route, method, status, function, source, version and error type; no buckets.
- `hourly_routes`: the same by route, method and status, summed from the rows that enter `hourly_origins`.
- `hourly_consumers`: consumer alone; requests, errors, latency and bytes.

URLs and combinations with consumers have no rollup: nearly every event would be a row of its own. Neither have
percentiles of a combination of route, method and status: their buckets would take most of an insert's time.

Invariants:
- Every count is a sum of `sample_weight`. A null (time to first byte, sizes) is in no measure of its value:
  `X_weight` counts the requests that have X. Where none has, `X_min` is 2^64 - 1 and `X_max` is 0.
- `X_buckets` maps bucket b = floor(18 * log2(X + 1)) to the requests in it. 18 buckets double the value, so each is
  2^(1/18) = 1.0393 wide, and 2lh / (l + h) of its lowest and highest whole number is within (h - l) / (h + l) of
  both: 1.93 % for large values, 1.96 % at worst (25 and 26 share a bucket). Below 25 each value has its own bucket.
  The last bucket has everything from 2^40 on: twelve days, or a terabyte.
- `minutes` maps the minute of the hour, 0 to 59, to its requests.
- Rows of one key are merged by the engine some time later: whoever reads sums them.
- A row goes when the last of its events has gone: the longest retention in it, and the hour itself.

Cost is what shaped them. Each event is grouped once for each table that feeds on events, and each group then costs
its columns: so buckets are counted in arrays, where an event costs an addition, and only for the few groups of
`hourly_totals`. As a part of the grouping key, or as a map for each event, they cost several times the insert itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from apimetry.store.layout import Layout

_VALUES: Final = ("response_us", "ttfb_us", "request_bytes", "response_bytes")
NOTHING_IS_LESS: Final = 2**64 - 1
_TEXT: Final = "LowCardinality(String)"
_SUM: Final = "SimpleAggregateFunction(sum, UInt64)"
_MIN: Final = "SimpleAggregateFunction(min, UInt64)"
_MAX: Final = "SimpleAggregateFunction(max, UInt64)"
_BUCKETS: Final = "SimpleAggregateFunction(sumMap, Map(UInt16, UInt64))"
_MINUTES: Final = "SimpleAggregateFunction(sumMap, Map(UInt8, UInt64))"
_DIMENSIONS: Final = "Enum8('all' = 0, 'method' = 1, 'status_code' = 2, 'route' = 3)"
_LAST_BUCKET: Final = 18 * 40

_TYPES: Final = {"weight": _SUM, "sum": _SUM, "min": _MIN, "max": _MAX}
# Column and type of each table's measures.
_COUNTED: Final = (
    ("requests", _SUM),
    *((f"{value}_{name}", kind) for value in _VALUES for name, kind in _TYPES.items()),
)
_TOTALLED: Final = (
    *_COUNTED,
    ("errors", _SUM),
    ("minutes", _MINUTES),
    *((f"{value}_buckets", _BUCKETS) for value in _VALUES),
)
_CONSUMED: Final = (
    ("requests", _SUM),
    ("errors", _SUM),
    ("response_us_sum", _SUM),
    ("response_us_min", _MIN),
    ("response_us_max", _MAX),
    ("request_bytes_weight", _SUM),
    ("request_bytes_sum", _SUM),
    ("response_bytes_weight", _SUM),
    ("response_bytes_sum", _SUM),
)

_LINES: Final = ",\n  "
HOUR: Final = "toStartOfHour(toDateTime(timestamp, 'UTC'))"
_ROUTE: Final = ("route", "method", "status_code")
_ORIGIN: Final = (*_ROUTE, "function", "source", "version", "error_type")
_ERRORS: Final = "sumIf(sample_weight, status_code >= 400) AS errors"


def _of_events(value: str, columns: tuple[str, ...] = tuple(_TYPES)) -> str:
    """The measures of one value, null or not, straight from events."""
    measures = {
        "weight": f"sum({_weight(value)}) AS {value}_weight",
        "sum": f"sum(ifNull({value}, 0) * sample_weight) AS {value}_sum",
        "min": f"min(ifNull({value}, {NOTHING_IS_LESS})) AS {value}_min",
        "max": f"max(ifNull({value}, 0)) AS {value}_max",
    }
    return _LINES.join(measures[column] for column in columns)


def _weight(value: str) -> str:
    return f"if(isNull({value}), 0, sample_weight)"


def _counts(value: str) -> str:
    """The requests in each bucket, as an array."""
    bucket = f"toUInt16(least(18 * log2(assumeNotNull({value}) + 1.0), {_LAST_BUCKET}))"
    return f"sumResample(0, {_LAST_BUCKET + 1}, 1)({_weight(value)}, {bucket}) AS {value}_counts"


def _as_map(counts: str, length: int, kind: str) -> str:
    """An array of counts by position as a map of those that are not 0."""
    return f"mapFilter((position, count) -> count > 0, mapFromArrays(range(to{kind}({length})), {counts}))"


_TOTALS_SELECT: Final = f"""SELECT application, dimension, time, route, method, status_code, retention_days, requests,
  {_LINES.join(column for column, _ in _COUNTED[1:])}, errors,
  {_as_map("minute_counts", 60, "UInt8")} AS minutes,
  {_LINES.join(f"{_as_map(f'{value}_counts', _LAST_BUCKET + 1, 'UInt16')} AS {value}_buckets" for value in _VALUES)}
FROM (
  SELECT application, {HOUR} AS time, route, method, status_code,
    CAST(multiIf(grouping(method) = 0, 1, grouping(status_code) = 0, 2, grouping(route) = 0, 3, 0), $${_DIMENSIONS}$$)
      AS dimension,
    max(retention_days) AS retention_days,
    sum(sample_weight) AS requests,
    {_ERRORS},
    sumResample(0, 60, 1)(sample_weight, toMinute(timestamp)) AS minute_counts,
    {_LINES.join(map(_of_events, _VALUES))},
    {_LINES.join(map(_counts, _VALUES))}
  FROM {{source}}
  WHERE 1{{condition}}
  GROUP BY GROUPING SETS (
    (application, time), (application, time, method), (application, time, status_code), (application, time, route)
  )
)"""  # noqa: S608 - our own columns

_ORIGINS_SELECT: Final = f"""SELECT application, {HOUR} AS time, {", ".join(_ORIGIN)},
  max(retention_days) AS retention_days,
  sum(sample_weight) AS requests,
  {_LINES.join(map(_of_events, _VALUES))}
FROM {{source}}
WHERE 1{{condition}}
GROUP BY application, time, {", ".join(_ORIGIN)}"""  # noqa: S608 - our own columns

_FUNCTIONS: Final = {_SUM: "sum", _MIN: "min", _MAX: "max"}
_ROUTES_SELECT: Final = f"""SELECT application, time, {", ".join(_ROUTE)},
  max(retention_days) AS retention_days,
  {_LINES.join(f"{_FUNCTIONS[kind]}({column}) AS {column}" for column, kind in _COUNTED)}
FROM {{source}}
GROUP BY application, time, {", ".join(_ROUTE)}"""  # noqa: S608 - our own columns

_CONSUMERS_SELECT: Final = f"""SELECT application, consumer_id, {HOUR} AS time,
  max(retention_days) AS retention_days,
  sum(sample_weight) AS requests,
  {_ERRORS},
  {_of_events("response_us", ("sum", "min", "max"))},
  {_of_events("request_bytes", ("weight", "sum"))},
  {_of_events("response_bytes", ("weight", "sum"))}
FROM {{source}}
WHERE 1{{condition}}
GROUP BY application, consumer_id, time"""  # noqa: S608 - our own columns


@dataclass(frozen=True)
class RollupTable:
    """A rollup's table, and the view that feeds it."""

    name: str
    source: str
    key: tuple[str, ...]
    measures: tuple[tuple[str, str], ...]
    select: str
    # Rows with buckets take kilobytes: few to a granule, or a question about one route would read all of them.
    granule_rows: int = 8192


TOTALS: Final = RollupTable(
    "hourly_totals",
    "events",
    ("dimension", *_ROUTE, "time"),
    _TOTALLED,
    _TOTALS_SELECT,
    granule_rows=128,
)
_ROUTES: Final = RollupTable("hourly_routes", "hourly_origins", ("time", *_ROUTE), _COUNTED, _ROUTES_SELECT)
ORIGINS: Final = RollupTable("hourly_origins", "events", ("time", *_ORIGIN), _COUNTED, _ORIGINS_SELECT)
CONSUMERS: Final = RollupTable("hourly_consumers", "events", ("consumer_id", "time"), _CONSUMED, _CONSUMERS_SELECT)
# The routes' view is there before anything enters `hourly_origins`.
_ROLLUPS: Final = (_ROUTES, TOTALS, ORIGINS, CONSUMERS)


def statements(layout: Layout) -> list[str]:
    """The rollups, and the views that fill them from now on."""
    tables = [statement for rollup in _ROLLUPS for statement in _table(layout, rollup)]
    views = [
        statement
        for rollup in _ROLLUPS
        for statement in layout.view(
            f"{rollup.name}_view",
            source=rollup.source,
            target=rollup.name,
            select=rollup.select.replace("{condition}", ""),
        )
    ]
    return tables + views


def fill_statement(database: str, rollup: RollupTable, condition: str) -> str:
    """What fills a rollup that feeds on events from those under `condition`."""
    columns = ", ".join(("application", *rollup.key, "retention_days", *(column for column, _ in rollup.measures)))
    select = rollup.select.replace("{source}", f"{database}.events").replace("{condition}", f"\n  AND {condition}")
    # A view inserts by name, INSERT SELECT by position. In order, so that the same events make the same blocks.
    return (
        f"INSERT INTO {database}.{rollup.name} ({columns})\nSELECT {columns}\nFROM (\n{select}\n)\n"
        f"ORDER BY application, {', '.join(rollup.key)}"
    )


def _table(layout: Layout, rollup: RollupTable) -> list[str]:
    types = {
        "dimension": _DIMENSIONS,
        "time": "DateTime('UTC')",
        "status_code": "UInt16",
    }
    columns = (
        f"application {_TEXT}",
        *(f"{column} {types.get(column, _TEXT)}" for column in rollup.key),
        "retention_days SimpleAggregateFunction(max, UInt16)",
        *(f"{column} {kind}" for column, kind in rollup.measures),
    )
    key = f"application, {', '.join(rollup.key)}"
    return layout.sharded_table(
        rollup.name,
        "\n    " + ",\n    ".join(columns) + "\n",
        engine="AggregatingMergeTree",
        partition_by="toMonday(time)",
        order_by=f"({key})",
        shard_by=f"sipHash64({key})",
        ttl="time + toIntervalHour(1) + toIntervalDay(retention_days)",
        settings=f"index_granularity = {rollup.granule_rows}, fsync_after_insert = 1, fsync_part_directory = 1",
    )
