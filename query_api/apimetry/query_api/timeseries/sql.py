"""A timeseries query as SQL over rollups and events, as the plan says. Pure.

Invariants: the server binds values; text for `$name` comes from the closed sets of `params`. Every count is a sum of
`sample_weight`. An event without the query's `value` (a null) does not count.

Percentile p is the smallest value such that at least p % of the weight is at or below it (the inverted cumulative
distribution): always a value that was measured, never above the maximum. Over up to a day of raw events it is exact;
`planning.rows_sql` says how other percentiles are estimated.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

from apimetry.query_api.planning.filter_sql import filter_conditions, filter_parameters, key_of
from apimetry.query_api.planning.planner import Needs, Plan
from apimetry.query_api.planning.rows_sql import (
    BELOW,
    Column,
    Conditions,
    bucket_columns,
    group_key,
    middle_of_bucket,
    partial_rows,
    range_parameters,
    seconds,
    signed,
    weight,
)
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.store.statement import Statement

# The largest groups, and the number of all groups, in one pass over the group's column. Points take a second pass.
_LARGEST = Template("""WITH (
  SELECT (groupArray(key), max(groups))
  FROM (
    SELECT key, count() OVER () AS groups
    FROM (SELECT key, sum(weight) AS total FROM ($rows) GROUP BY key HAVING total > 0)
    ORDER BY total DESC, key
    LIMIT {group_limit:UInt64}
  )
) AS largest
""")
_POINTS = Template("""${largest}SELECT $key AS key, $bucket AS bucket, $aggregate AS value, $groups AS groups
FROM ($rows) AS part
${group_by}HAVING sum(part.weight) > 0
ORDER BY key, bucket
LIMIT {row_limit:UInt64}""")
# Without a granularity each group is one row, so one pass ranks the groups and answers. Percentiles take two passes:
# their states hold every value, and only the largest groups may have one.
_TOP = Template("""SELECT key, bucket, value, groups
FROM (
  SELECT $key AS key, $bucket AS bucket, $aggregate AS value,
    sum(part.weight) AS total, count() OVER () AS groups
  FROM ($rows) AS part
  ${group_by}HAVING total > 0
  ORDER BY total DESC, key
  LIMIT {group_limit:UInt64}
)
ORDER BY key
LIMIT {row_limit:UInt64}""")
_SIZE = Template("""${largest}SELECT count(), uniqExact(key)
FROM (
  SELECT $key AS key, $bucket AS bucket
  FROM ($rows) AS part
  ${group_by}HAVING sum(part.weight) > 0
)""")
_IN_LARGEST = Template("$key IN (SELECT arrayJoin(largest.1))")

_BUCKET_OF_EVENTS = (
    "intDiv(toUnixTimestamp64Micro(timestamp) - {origin_us:Int64}, {bucket_us:Int64}) * {bucket_s:Int64}"
    " + {origin_s:Int64}"
)
_BUCKET_OF_ROLLUP = Template(
    "intDiv($seconds - {origin_s:Int64}, {bucket_s:Int64}) * {bucket_s:Int64} + {origin_s:Int64}"
)


@dataclass(frozen=True)
class Statements:
    """The statements of one query."""

    points: Statement
    """Rows of (key, bucket, value, groups), ascending; `groups` counts all groups, also groups beyond `limit`."""

    size: Statement
    """One row: the numbers of points and of groups in `points` without its row limit."""


def timeseries_needs(query: TimeseriesQuery, now: int | None = None) -> Needs:
    """Return what a timeseries query at `now` needs of a table."""
    adds_up = query.aggregation in ("count", "sum", "mean")
    return Needs(
        query.dimensions, _measures(query), query.start, query.end, query.granularity, subtracts=adds_up, now=now
    )


def statements(query: TimeseriesQuery, plan: Plan, *, application: str, row_limit: int) -> Statements:
    """Return the statements of `query` about `application`; `points` returns at most `row_limit` rows."""
    is_limited = query.group is not None and query.limit is not None
    is_top = is_limited and query.granularity is None and query.percentile is None
    keys, weights, conditions = _keys(query, plan), _weight(query, plan), _conditions(query)
    key_names = [column.name for column in keys]
    parts = {
        "largest": "",
        "key": "part.key" if query.group else "{application:String}",
        "bucket": "part.bucket" if query.granularity else "{start_s:Int64}",
        "aggregate": _aggregate(query, plan),
        "groups": "largest.2" if is_limited else "0",
        "group_by": f"GROUP BY {', '.join(f'part.{name}' for name in key_names)}\n" if key_names else "",
    }
    columns = (*keys, weights, *_values(query, plan))
    all_rows = partial_rows(plan, columns, conditions)
    rows = all_rows
    if is_limited:
        ranked = (*(column for column in keys if column.name == "key"), weights)
        parts["largest"] = _LARGEST.substitute(rows=partial_rows(plan, ranked, conditions))
        within = (*conditions.shared, _IN_LARGEST.substitute(key=key_of(str(query.group))))
        rows = partial_rows(plan, columns, Conditions(within, conditions.of_events))
    points = _TOP.substitute(**parts, rows=all_rows) if is_top else _POINTS.substitute(**parts, rows=rows)
    parameters = {
        **_parameters(query, application),
        **range_parameters(plan),
        **filter_parameters(query.filters),
        "row_limit": row_limit,
    }
    return Statements(Statement(points, parameters), Statement(_SIZE.substitute(**parts, rows=rows), parameters))


def _measures(query: TimeseriesQuery) -> frozenset[str]:
    if query.aggregation == "count":
        return frozenset({"requests"})
    columns = {"mean": {"sum"}, "sum": {"sum"}, "min": {"min"}, "max": {"max"}}
    needed = columns.get(query.aggregation, {"buckets", "max"})
    return frozenset(f"{query.value}_{name}" for name in needed | {"weight"})


def _keys(query: TimeseriesQuery, plan: Plan) -> list[Column]:
    keys = []
    if query.group:
        keys.append(group_key(plan, key_of(query.group)))
    if query.granularity:
        keys.append(Column("bucket", _BUCKET_OF_EVENTS, _BUCKET_OF_ROLLUP.substitute(seconds=seconds(plan))))
    return keys


def _weight(query: TimeseriesQuery, plan: Plan) -> Column:
    return weight(plan, "requests" if query.aggregation == "count" else f"{query.value}_weight")


def _values(query: TimeseriesQuery, plan: Plan) -> list[Column]:
    """Return the columns of the aggregation, beside the weight."""
    # The conditions exclude nulls. A type without nulls is faster.
    value = f"assumeNotNull({query.value})"
    if query.percentile is not None:
        return bucket_columns(plan, query.value) or [Column("value", value, "")]
    total = Column("total", signed(plan, f"toUInt64({value}) * sample_weight"), f"{query.value}_sum")
    return {
        "count": [],
        "sum": [total],
        "mean": [total],
        "min": [Column("low", value, f"{query.value}_min")],
        "max": [Column("high", value, f"{query.value}_max")],
    }[query.aggregation]


def _aggregate(query: TimeseriesQuery, plan: Plan) -> str:
    if query.percentile is not None and not plan.estimates:
        return "quantileExactWeighted({level:Float64})(part.value, part.weight)"
    if query.percentile is not None:
        bucket = "quantileExactWeightedArray({level:Float64})(part.buckets, part.weights)"
        return f"least(toFloat64(max(part.high)), {middle_of_bucket(bucket)})"
    return {
        "count": "sum(part.weight)",
        "sum": "sum(part.total)",
        "mean": "sum(part.total) / sum(part.weight)",
        "min": "min(part.low)",
        "max": "max(part.high)",
    }[query.aggregation]


def _conditions(query: TimeseriesQuery) -> Conditions:
    measured = () if query.aggregation == "count" else (f"{query.value} IS NOT NULL",)
    return Conditions(filter_conditions(query.filters), measured)


def _parameters(query: TimeseriesQuery, application: str) -> dict[str, object]:
    parameters: dict[str, object] = {"application": application}
    if query.granularity is None:
        parameters["start_s"] = query.start
    else:
        parameters["bucket_s"] = query.granularity.seconds
        parameters["bucket_us"] = query.granularity.seconds * 1_000_000
        parameters["origin_s"] = query.granularity.origin_s
        parameters["origin_us"] = query.granularity.origin_s * 1_000_000
    if query.percentile is not None:
        parameters["level"] = query.percentile / 100 * BELOW
    if query.limit is not None:
        parameters["group_limit"] = query.limit
    return parameters
