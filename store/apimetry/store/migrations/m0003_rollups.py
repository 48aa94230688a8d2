"""Rollups: what was counted in each hour, so that long ranges are answered without their events.

Four tables, each an hour by some dimensions, filled by materialized views as events are inserted:

- `hourly_routes`: route, method and status; all measures.
- `hourly_totals`: the same measures of the whole application, of each method, and of each status (`dimension` says
  which), summed from the rows that enter `hourly_routes`: some dozen rows an hour.
- `hourly_origins`: route, method, status, function, source, version and error type; no latency buckets.
- `hourly_consumers`: consumer alone; requests, errors, latency and bytes.

URLs and combinations with consumers have no rollup: nearly every event would be a row of its own.

Invariants:
- Every count is a sum of `sample_weight`. A null (time to first byte, sizes) is in no measure of its value:
  `X_weight` counts the requests that have X. Where none has, `X_min` is 2^64 - 1 and `X_max` is 0.
- `X_buckets` maps bucket b = floor(18 * log2(X + 1)) to the requests in it. 18 buckets double the value, so each is
  2^(1/18) = 1.0393 wide, and 2lh / (l + h) of its lowest and highest whole number is within (h - l) / (h + l) of
  both: 1.93 % for large values, 1.96 % at worst (25 and 26 share a bucket). Below 25 each value has its own bucket.
  64-bit values have 1,152 buckets; a request's latency rarely leaves some hundred.
- `minutes` maps the minute of the hour, 0 to 59, to its requests.
- Rows of one key are merged by the engine some time later: whoever reads sums them.
- A row goes when the last of its events has gone: the longest retention in it, and the hour itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from apimetry.store.migrations.layout import Layout

_VALUES: Final = ("response_us", "ttfb_us", "request_bytes", "response_bytes")
_NOTHING_IS_LESS: Final = 2**64 - 1
_TEXT: Final = "LowCardinality(String)"
_SUM: Final = "SimpleAggregateFunction(sum, UInt64)"
_MIN: Final = "SimpleAggregateFunction(min, UInt64)"
_MAX: Final = "SimpleAggregateFunction(max, UInt64)"
_BUCKETS: Final = "SimpleAggregateFunction(sumMap, Map(UInt16, UInt64))"
_MINUTES: Final = "SimpleAggregateFunction(sumMap, Map(UInt8, UInt64))"
_DIMENSIONS: Final = "Enum8('all' = 0, 'method' = 1, 'status_code' = 2)"

_SIMPLE: Final = tuple((f"{value}_{name}", name) for value in _VALUES for name in ("weight", "sum", "min", "max"))
_TYPES: Final = {"weight": _SUM, "sum": _SUM, "min": _MIN, "max": _MAX}
# Column and type of each table's measures.
_COUNTED: Final = (("requests", _SUM), *((column, _TYPES[kind]) for column, kind in _SIMPLE))
_COUNTED_WITH_BUCKETS: Final = (
    *_COUNTED,
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
_HOUR: Final = "toStartOfHour(toDateTime(timestamp, 'UTC'))"
_ORIGIN: Final = ("route", "method", "status_code", "function", "source", "version", "error_type")


def _of_kind(kind: int, value: str) -> str:
    """The measures of one value from rows of (kind, bucket) that count any of the four."""
    return f"""sumIf(weight, kind = {kind}) AS {value}_weight,
  sumIf(total, kind = {kind}) AS {value}_sum,
  min(if(kind = {kind}, low, {_NOTHING_IS_LESS})) AS {value}_min,
  max(if(kind = {kind}, high, 0)) AS {value}_max,
  sumMapIf(map(bucket, weight), kind = {kind}) AS {value}_buckets"""


def _of_events(value: str, columns: tuple[str, ...] = ("weight", "sum", "min", "max")) -> str:
    """The measures of one value, null or not, straight from events."""
    measures = {
        "weight": f"sum(if(isNull({value}), 0, sample_weight)) AS {value}_weight",
        "sum": f"sum(ifNull({value}, 0) * sample_weight) AS {value}_sum",
        "min": f"min(ifNull({value}, {_NOTHING_IS_LESS})) AS {value}_min",
        "max": f"max(ifNull({value}, 0)) AS {value}_max",
    }
    return _LINES.join(measures[column] for column in columns)


# Buckets first, then what they make up: a map for each event would cost several times the insert itself.
_ROUTES_SELECT: Final = f"""SELECT application, time, route, method, status_code, max(kept) AS retention_days,
  sumIf(weight, kind = 0) AS requests,
  sumMapIf(map(minute, weight), kind = 0) AS minutes,
  {_LINES.join(_of_kind(kind, value) for kind, value in enumerate(_VALUES))}
FROM (
  SELECT application, {_HOUR} AS time, route, method, status_code, kind,
    toUInt16(18 * log2(assumeNotNull(measured) + 1.0)) AS bucket,
    if(kind = 0, toMinute(timestamp), 0) AS minute,
    max(retention_days) AS kept,
    sum(sample_weight) AS weight,
    sum(assumeNotNull(measured) * sample_weight) AS total,
    min(assumeNotNull(measured)) AS low,
    max(assumeNotNull(measured)) AS high
  FROM {{source}}
  ARRAY JOIN [toNullable(response_us), ttfb_us, request_bytes, response_bytes] AS measured, [0, 1, 2, 3] AS kind
  WHERE measured IS NOT NULL{{condition}}
  GROUP BY application, time, route, method, status_code, kind, bucket, minute
)
GROUP BY application, time, route, method, status_code"""  # noqa: S608 - our own columns

_FUNCTIONS: Final = {_SUM: "sum", _MIN: "min", _MAX: "max", _BUCKETS: "sumMap", _MINUTES: "sumMap"}
_TOTALS_SELECT: Final = f"""SELECT application, dimension, time,
  if(dimension = 'method', a_method, '') AS method,
  if(dimension = 'status_code', a_status_code, 0) AS status_code,
  max(retention_days) AS retention_days,
  {_LINES.join(f"{_FUNCTIONS[kind]}({column}) AS {column}" for column, kind in _COUNTED_WITH_BUCKETS)}
FROM (
  SELECT * EXCEPT (method, status_code), method AS a_method, status_code AS a_status_code FROM {{source}}
)
ARRAY JOIN CAST(['all', 'method', 'status_code'], $$Array({_DIMENSIONS})$$) AS dimension
GROUP BY application, dimension, time, method, status_code"""  # noqa: S608 - our own columns

_ORIGINS_SELECT: Final = f"""SELECT application, {_HOUR} AS time, {", ".join(_ORIGIN)},
  max(retention_days) AS retention_days,
  sum(sample_weight) AS requests,
  {_LINES.join(_of_events(value) for value in _VALUES)}
FROM {{source}}
WHERE 1{{condition}}
GROUP BY application, time, {", ".join(_ORIGIN)}"""  # noqa: S608 - our own columns

_CONSUMERS_SELECT: Final = f"""SELECT application, consumer_id, {_HOUR} AS time,
  max(retention_days) AS retention_days,
  sum(sample_weight) AS requests,
  sumIf(sample_weight, status_code >= 400) AS errors,
  {_of_events("response_us", ("sum", "min", "max"))},
  {_of_events("request_bytes", ("weight", "sum"))},
  {_of_events("response_bytes", ("weight", "sum"))}
FROM {{source}}
WHERE 1{{condition}}
GROUP BY application, consumer_id, time"""  # noqa: S608 - our own columns


@dataclass(frozen=True)
class _Rollup:
    name: str
    source: str
    key: tuple[str, ...]
    measures: tuple[tuple[str, str], ...]
    select: str
    # Rows with buckets take kilobytes: few to a granule, or a question for one route would read all of them.
    granule_rows: int = 8192


_ROUTES: Final = _Rollup(
    "hourly_routes",
    "events",
    ("route", "time", "method", "status_code"),
    _COUNTED_WITH_BUCKETS,
    _ROUTES_SELECT,
    granule_rows=256,
)
_TOTALS: Final = _Rollup(
    "hourly_totals",
    "hourly_routes",
    ("dimension", "time", "method", "status_code"),
    _COUNTED_WITH_BUCKETS,
    _TOTALS_SELECT,
    granule_rows=128,
)
_ORIGINS: Final = _Rollup("hourly_origins", "events", ("time", *_ORIGIN), _COUNTED, _ORIGINS_SELECT)
_CONSUMERS: Final = _Rollup("hourly_consumers", "events", ("consumer_id", "time"), _CONSUMED, _CONSUMERS_SELECT)
# The totals' view is there before anything enters `hourly_routes`.
_ROLLUPS: Final = (_TOTALS, _ROUTES, _ORIGINS, _CONSUMERS)


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


def fill_statements(layout: Layout, condition: str) -> dict[str, str]:
    """What fills each rollup that feeds on events from those under `condition`, by table; the totals follow."""
    return {
        rollup.name: _fill(layout.database, rollup, condition) for rollup in _ROLLUPS if rollup.source == "events"
    }


def _fill(database: str, rollup: _Rollup, condition: str) -> str:
    columns = ", ".join(("application", *rollup.key, "retention_days", *(column for column, _ in rollup.measures)))
    select = rollup.select.replace("{source}", f"{database}.events").replace("{condition}", f"\n  AND {condition}")
    # A view inserts by name, INSERT SELECT by position. In order, so that the same events make the same blocks.
    return (
        f"INSERT INTO {database}.{rollup.name} ({columns})\nSELECT {columns}\nFROM (\n{select}\n)\n"
        f"ORDER BY application, {', '.join(rollup.key)}"
    )


def _table(layout: Layout, rollup: _Rollup) -> list[str]:
    types = {
        "dimension": _DIMENSIONS,
        "time": "DateTime('UTC') CODEC(DoubleDelta, ZSTD(1))",
        "status_code": "UInt16",
        "consumer_id": "String CODEC(ZSTD(1))",
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
