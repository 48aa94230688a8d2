"""Write the statements that fill rollups from stored events, for hours whose events changed after they were counted.

The statements count like the views of `migrations`. No statement fills `hourly_routes`, or a table of days: their
views read the rows that are inserted into other rollups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_VALUES: Final = ("response_us", "ttfb_us", "request_bytes", "response_bytes")
_ALL: Final = ("weight", "sum", "min", "max")
_NOTHING_IS_LESS: Final = 2**64 - 1
_LAST_BUCKET: Final = 18 * 40
_LINES: Final = ",\n  "
_HOUR: Final = "toStartOfHour(toDateTime(timestamp, 'UTC'))"
_ERRORS: Final = "sumIf(sample_weight, status_code >= 400) AS errors"
_UNTIMED: Final = "sumIf(sample_weight, isNull(response_us)) AS response_us_untimed"
_DIMENSIONS: Final = "Enum8('all' = 0, 'method' = 1, 'status_code' = 2, 'route' = 3)"
_ROUTE: Final = ("route", "method", "status_code")
_ORIGIN: Final = (*_ROUTE, "function", "source", "version", "error_type")
_COUNTED: Final = ("requests", *(f"{value}_{name}" for value in _VALUES for name in _ALL))


def _measures(value: str, names: tuple[str, ...] = _ALL) -> str:
    """Return the SQL of one value's measures over events; the value may be null."""
    measures = {
        "weight": f"sum({_weight(value)}) AS {value}_weight",
        "sum": f"sum(ifNull({value}, 0) * sample_weight) AS {value}_sum",
        "min": f"min(ifNull({value}, {_NOTHING_IS_LESS})) AS {value}_min",
        "max": f"max(ifNull({value}, 0)) AS {value}_max",
    }
    return _LINES.join(measures[name] for name in names)


def _weight(value: str) -> str:
    return f"if(isNull({value}), 0, sample_weight)"


def _counts(value: str) -> str:
    """Return the SQL of the number of requests per bucket, as an array."""
    return f"sumResample(0, {_LAST_BUCKET + 1}, 1)({_weight(value)}, {_bucket(value)}) AS {value}_counts"


def _bucket(value: str) -> str:
    return f"toUInt16(least(18 * log2(assumeNotNull({value}) + 1.0), {_LAST_BUCKET}))"


def _as_map(counts: str, length: int, kind: str) -> str:
    """Return the SQL that converts an array of counts to a map from positions to the counts above 0."""
    return f"mapFilter((position, count) -> count > 0, mapFromArrays(range(to{kind}({length})), {counts}))"


_TOTALS: Final = f"""SELECT application, dimension, time, route, method, status_code, retention_days,
  {_LINES.join(_COUNTED)}, errors,
  {_as_map("minute_counts", 60, "UInt8")} AS minutes,
  {_LINES.join(f"{_as_map(f'{value}_counts', _LAST_BUCKET + 1, 'UInt16')} AS {value}_buckets" for value in _VALUES)}
FROM (
  SELECT application, {_HOUR} AS time, route, method, status_code,
    CAST(multiIf(grouping(method) = 0, 1, grouping(status_code) = 0, 2, grouping(route) = 0, 3, 0), $${_DIMENSIONS}$$)
      AS dimension,
    max(retention_days) AS retention_days,
    sum(sample_weight) AS requests,
    {_ERRORS},
    sumResample(0, 60, 1)(sample_weight, toMinute(timestamp)) AS minute_counts,
    {_LINES.join(map(_measures, _VALUES))},
    {_LINES.join(map(_counts, _VALUES))}
  FROM {{source}}
  WHERE {{condition}}
  GROUP BY GROUPING SETS (
    (application, time), (application, time, method), (application, time, status_code), (application, time, route)
  )
)"""  # noqa: S608 - our own columns

_ORIGINS: Final = f"""SELECT application, {_HOUR} AS time, {", ".join(_ORIGIN)},
  max(retention_days) AS retention_days,
  sum(sample_weight) AS requests,
  {_LINES.join(map(_measures, _VALUES))}
FROM {{source}}
WHERE {{condition}}
GROUP BY application, time, {", ".join(_ORIGIN)}"""  # noqa: S608 - our own columns

_CONSUMERS: Final = f"""SELECT application, consumer_id, {_HOUR} AS time,
  max(retention_days) AS retention_days,
  sum(sample_weight) AS requests,
  {_ERRORS},
  {_UNTIMED},
  {_measures("response_us", ("sum", "min", "max"))},
  {_measures("request_bytes", ("weight", "sum"))},
  {_measures("response_bytes", ("weight", "sum"))}
FROM {{source}}
WHERE {{condition}}
GROUP BY application, consumer_id, time"""  # noqa: S608 - our own columns


_MINUTES: Final = f"""SELECT application, dimension, time, route, method, status_code, retention_days,
  requests, errors, response_us_weight, response_us_sum, response_us_min, response_us_max,
  mapFromArrays(arrayCompact(buckets), arrayMap((total, before) -> toUInt64(total - before),
    totals, arrayShiftRight(totals, 1, toUInt64(0)))) AS response_us_buckets
FROM (
  SELECT *,
    arrayMap(value -> toUInt16(bitShiftRight(value, 32)), sorted) AS buckets,
    arrayFilter((total, bucket, next) -> bucket != next,
      arrayCumSum(arrayMap(value -> bitAnd(value, {2**32 - 1}), sorted)), buckets,
      arrayShiftLeft(buckets, 1, toUInt16({2**16 - 1}))) AS totals
  FROM (
    SELECT application, time, route, method, status_code,
      CAST(multiIf(grouping(method) = 0, 1, grouping(status_code) = 0, 2, grouping(route) = 0, 3, 0),
        $${_DIMENSIONS}$$) AS dimension,
      max(part.retention_days) AS retention_days,
      sum(part.requests) AS requests,
      sumIf(part.requests, status_code >= 400) AS errors,
      sum(part.response_us_weight) AS response_us_weight,
      sum(part.response_us_sum) AS response_us_sum,
      min(part.response_us_min) AS response_us_min,
      max(part.response_us_max) AS response_us_max,
      arraySort(groupArrayArray(part.values)) AS sorted
    FROM (
      SELECT application, toStartOfMinute(toDateTime(timestamp, 'UTC')) AS time, {", ".join(_ROUTE)},
        max(retention_days) AS retention_days,
        sum(sample_weight) AS requests,
        {_measures("response_us")},
        groupArrayIf(bitShiftLeft(toUInt64({_bucket("response_us")}), 32) + sample_weight, isNotNull(response_us))
          AS values
      FROM {{source}}
      WHERE ({{condition}}) AND timestamp >= toStartOfDay(now('UTC')) - toIntervalDay(3)
      GROUP BY application, time, {", ".join(_ROUTE)}
    ) AS part
    GROUP BY GROUPING SETS (
      (application, time), (application, time, method), (application, time, status_code), (application, time, route)
    )
  )
)"""  # noqa: S608 - our own columns


@dataclass(frozen=True)
class _Filled:
    """A rollup of events: its table, its key after the application, its measures, and the SELECT of its rows."""

    table: str
    key: tuple[str, ...]
    measures: tuple[str, ...]
    select: str


_FILLED: Final = (
    _Filled(
        "hourly_totals",
        ("dimension", *_ROUTE, "time"),
        (*_COUNTED, "errors", "minutes", *(f"{value}_buckets" for value in _VALUES)),
        _TOTALS,
    ),
    _Filled(
        "minute_totals",
        ("dimension", *_ROUTE, "time"),
        ("requests", "errors", *(f"response_us_{name}" for name in (*_ALL, "buckets"))),
        _MINUTES,
    ),
    _Filled("hourly_origins", ("time", *_ORIGIN), _COUNTED, _ORIGINS),
    _Filled(
        "hourly_consumers",
        ("consumer_id", "time"),
        (
            *("requests", "errors", "response_us_untimed", "response_us_sum", "response_us_min", "response_us_max"),
            *("request_bytes_weight", "request_bytes_sum", "response_bytes_weight", "response_bytes_sum"),
        ),
        _CONSUMERS,
    ),
)


def fill_statements(database: str, condition: str) -> dict[str, str]:
    """Return the INSERT statements that fill the rollups from the events under `condition`, by table."""
    return {rollup.table: _fill(database, rollup, condition) for rollup in _FILLED}


def _fill(database: str, rollup: _Filled, condition: str) -> str:
    columns = ", ".join(("application", *rollup.key, "retention_days", *rollup.measures))
    select = rollup.select.replace("{source}", f"{database}.events").replace("{condition}", condition)
    # A view inserts by column name, INSERT SELECT by position. ORDER BY makes the same blocks from the same events.
    return (
        f"INSERT INTO {database}.{rollup.table} ({columns})\nSELECT {columns}\nFROM (\n{select}\n)\n"
        f"ORDER BY application, {', '.join(rollup.key)}"
    )
