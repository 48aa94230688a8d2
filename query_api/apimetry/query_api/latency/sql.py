"""A distribution as SQL over rollups and events, as the planner says. Pure.

Invariants: the server binds values; every count is a sum of `sample_weight`; an event without the value is in none.
Latency buckets of rollups and of events are the same ones (`store.rollups`), so both can be added up. Percentiles are
those of a timeseries (`planning.rows_sql`).
"""

from __future__ import annotations

from string import Template
from typing import Final

from apimetry.query_api.latency.params import LatencyQuery
from apimetry.query_api.planning.filter_sql import filter_conditions, filter_parameters
from apimetry.query_api.planning.filters import columns_of
from apimetry.query_api.planning.planner import Needs, Plan
from apimetry.query_api.planning.rows_sql import (
    BELOW,
    Column,
    Conditions,
    partial_rows,
    range_parameters,
    seconds,
    settings_of,
)
from apimetry.store.rollups import BUCKETS_PER_DOUBLING
from apimetry.store.statement import Statement

PERCENTILES: Final = (50, 75, 90, 95, 99)

# Not `time`: an alias would hide the column of the rollups that the range is about.
# An edge of a rollup's range is subtracted: a cell may be left with nothing.
_HISTOGRAMS = Template("""SELECT starts_at, bucket, requests
FROM (
  SELECT part.starts_at AS starts_at, sumMap(part.buckets, part.weights) AS cells
  FROM ($rows) AS part
  GROUP BY part.starts_at
)
ARRAY JOIN tupleElement(cells, 1) AS bucket, tupleElement(cells, 2) AS requests
WHERE requests > 0
ORDER BY starts_at, bucket
LIMIT {cell_limit:UInt64}""")
_TOTALS = Template("""SELECT sum(arraySum(part.weights)), minIf(part.low, notEmpty(part.weights)),
  max(part.high), $percentiles
FROM ($rows) AS part""")
_TIME_OF_EVENTS = (
    "intDiv(toUnixTimestamp64Micro(timestamp) - {origin_us:Int64}, {bucket_us:Int64}) * {bucket_s:Int64}"
    " + {origin_s:Int64}"
)
_TIME_OF_ROLLUP = Template(
    "intDiv($seconds - {origin_s:Int64}, {bucket_s:Int64}) * {bucket_s:Int64} + {origin_s:Int64}"
)
_LEVELS = ", ".join(f"{{p{number}:Float64}}" for number in PERCENTILES)


def needs_of(query: LatencyQuery, *, by_time: bool, now: int | None) -> Needs:
    """Return what the histograms, or the totals, of a query at `now` need of a table."""
    measures = frozenset(f"{query.value}_{name}" for name in ("buckets", "weight", "min", "max"))
    granularity = query.granularity if by_time else None
    return Needs(
        columns_of(query.filters), measures, query.start, query.end, granularity, now=now, takes_minutes=True
    )


def histograms(query: LatencyQuery, plan: Plan, application: str, *, cell_limit: int) -> Statement:
    """Return the statement with rows of (time, latency bucket, requests), ascending, `cell_limit` at most."""
    time = Column("starts_at", "{start_s:Int64}", "{start_s:Int64}")
    parameters: dict[str, object] = {"start_s": query.start}
    if query.granularity is not None:
        time = Column("starts_at", _TIME_OF_EVENTS, _TIME_OF_ROLLUP.substitute(seconds=seconds(plan)))
        size_s, origin_s = query.granularity.seconds, query.granularity.origin_s
        parameters = {
            "bucket_s": size_s,
            "bucket_us": size_s * 1_000_000,
            "origin_s": origin_s,
            "origin_us": origin_s * 1_000_000,
        }
    columns = (time, _buckets(query, query.width), _weights(query))
    sql = _HISTOGRAMS.substitute(rows=partial_rows(plan, columns, _conditions(query)))
    parameters["cell_limit"] = cell_limit
    return Statement(sql, {**parameters, **_parameters(query, plan, application)}, settings_of(plan))


def totals(query: LatencyQuery, plan: Plan, application: str) -> Statement:
    """Return the statement with one row: requests, smallest and largest value, and PERCENTILES or their buckets."""
    value = f"assumeNotNull({query.value})"
    columns = [
        _buckets(query, 1),
        _weights(query),
        Column("low", value, f"{query.value}_min"),
        Column("high", value, f"{query.value}_max"),
    ]
    percentiles = f"quantilesExactWeightedArray({_LEVELS})(part.buckets, part.weights)"
    if not plan.estimates:
        percentiles = f"quantilesExactWeighted({_LEVELS})(part.low, part.weights[1])"
    rows = partial_rows(plan, columns, _conditions(query))
    sql = _TOTALS.substitute(rows=rows, percentiles=percentiles)
    levels = {f"p{number}": number / 100 * BELOW for number in PERCENTILES}
    return Statement(sql, {**levels, **_parameters(query, plan, application)}, settings_of(plan))


def _buckets(query: LatencyQuery, width: int) -> Column:
    bucket = f"toUInt16({BUCKETS_PER_DOUBLING} * log2(assumeNotNull({query.value}) + 1.0))"
    keys = f"mapKeys({query.value}_buckets)"
    if width == 1:
        return Column("buckets", f"[{bucket}]", keys)
    coarse = f"toUInt16(intDiv({bucket}, {width}))"
    return Column("buckets", f"[{coarse}]", f"arrayMap(bucket -> toUInt16(intDiv(bucket, {width})), {keys})")


def _weights(query: LatencyQuery) -> Column:
    return Column("weights", "[toUInt64(sample_weight)]", f"mapValues({query.value}_buckets)")


def _conditions(query: LatencyQuery) -> Conditions:
    return Conditions(filter_conditions(query.filters), (f"{query.value} IS NOT NULL",))


def _parameters(query: LatencyQuery, plan: Plan, application: str) -> dict[str, object]:
    return {"application": application, **filter_parameters(query.filters), **range_parameters(plan)}
