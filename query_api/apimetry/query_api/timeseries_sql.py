"""A timeseries question as SQL over raw events. Pure.

Invariants: values are bound by the server; what is spliced into the text comes from the closed sets of `params`.
Every count is a sum of `sample_weight`. An event that lacks the asked value (a null) is not there for that question.

Percentiles of raw events are exact: percentile p is the smallest value such that at least p % of the weight is at or
below it (the inverted cumulative distribution), so it is always a value that was measured, never above the maximum.
"""

from __future__ import annotations

from dataclasses import dataclass

from apimetry.query_api.params import NUMERIC_DIMENSIONS, Filter, TimeseriesQuery
from apimetry.query_api.planner import Source

_WHERE = """
FROM {table}
WHERE application = {{application:String}}
  AND timestamp >= fromUnixTimestamp64Micro({{start_us:Int64}}, 'UTC')
  AND timestamp < fromUnixTimestamp64Micro({{end_us:Int64}}, 'UTC')"""

# The largest groups, and how many there are, in one pass over the group's column; the points then take a second pass.
_LARGEST = """WITH (
  SELECT (groupArray(key), max(groups))
  FROM (
    SELECT key, count() OVER () AS groups
    FROM (SELECT {key} AS key, sum(sample_weight) AS weight {where} GROUP BY key)
    ORDER BY weight DESC, key
    LIMIT {{group_limit:UInt64}}
  )
) AS largest
"""
_IN_LARGEST = "\n  AND key IN (SELECT arrayJoin(largest.1))"
_BUCKET = (
    "intDiv(toUnixTimestamp64Micro(timestamp) - {origin_us:Int64}, {bucket_us:Int64}) * {bucket_s:Int64}"
    " + {origin_s:Int64}"
)
_POINTS = """{largest}SELECT {key} AS key, {bucket} AS bucket, {aggregate} AS value, {groups} AS groups {where}
GROUP BY key, bucket
HAVING count() > 0
ORDER BY key, bucket
LIMIT {{row_limit:UInt64}}"""
# Without a granularity each group is one row: one pass ranks and answers. Not for percentiles, whose states hold
# every value, so that only the largest groups may have one.
_TOP = """SELECT key, bucket, value, groups
FROM (
  SELECT {key} AS key, {bucket} AS bucket, {aggregate} AS value,
    sum(sample_weight) AS weight, count() OVER () AS groups
  {where}
  GROUP BY key, bucket
  ORDER BY weight DESC, key
  LIMIT {{group_limit:UInt64}}
)
ORDER BY key
LIMIT {{row_limit:UInt64}}"""
_SIZE = """{largest}SELECT count(), uniqExact(key)
FROM (SELECT {key} AS key, {bucket} AS bucket {where} GROUP BY key, bucket)"""

# The engine rounds `level * weight` up, and 0.07 * 200 is 14.000000000000002 in floating point: it would take the
# next value. Four units in the last place below the level, no product of up to 10^13 requests passes a whole number.
_BELOW = 1 - 2**-51


@dataclass(frozen=True)
class Statements:
    """The statements that answer one question, and the values that they share."""

    points: str
    """Rows of (key, bucket, value, groups): ascending; `groups` counts all groups, also those beyond `limit`."""

    size: str
    """One row: how many points and how many groups `points` has without its row limit."""

    parameters: dict[str, object]


def statements(query: TimeseriesQuery, source: Source, *, application: str, row_limit: int) -> Statements:
    """Return what to ask about `application`; `points` ends after `row_limit` rows."""
    conditions, values = _conditions(query)
    where = _WHERE.format(table=source.table) + conditions
    key = _key(query)
    is_limited = query.group is not None and query.limit is not None
    parts = {
        "largest": _LARGEST.format(key=key, where=where) if is_limited else "",
        "key": key,
        "bucket": _BUCKET if query.granularity else "{start_s:Int64}",
        "aggregate": _aggregate(query),
        "groups": "largest.2" if is_limited else "0",
        "where": where + (_IN_LARGEST if is_limited else ""),
    }
    is_top = is_limited and query.granularity is None and query.percentile is None
    return Statements(
        points=_TOP.format(**{**parts, "where": where}) if is_top else _POINTS.format(**parts),
        size=_SIZE.format(**parts),
        parameters={**_parameters(query, application), **values, "row_limit": row_limit},
    )


def _key(query: TimeseriesQuery) -> str:
    if query.group is None:
        return "{application:String}"
    # Group keys are strings (api.md, section 3.1).
    return f"toString({query.group})" if query.group in NUMERIC_DIMENSIONS else query.group


def _aggregate(query: TimeseriesQuery) -> str:
    # Nulls are filtered out: the type without them is faster, and has no third truth value.
    value = f"assumeNotNull({query.value})"
    if query.percentile is not None:
        return f"quantileExactWeighted({{level:Float64}})({value}, sample_weight)"
    return {
        "count": "sum(sample_weight)",
        "sum": f"sum(toUInt64({value}) * sample_weight)",
        "mean": f"sum(toUInt64({value}) * sample_weight) / sum(sample_weight)",
        "min": f"min({value})",
        "max": f"max({value})",
    }[query.aggregation]


def _parameters(query: TimeseriesQuery, application: str) -> dict[str, object]:
    parameters: dict[str, object] = {
        "application": application,
        "start_us": query.start * 1_000_000,
        "end_us": query.end * 1_000_000,
    }
    if query.granularity is None:
        parameters["start_s"] = query.start
    else:
        parameters["bucket_s"] = query.granularity.seconds
        parameters["bucket_us"] = query.granularity.seconds * 1_000_000
        parameters["origin_s"] = query.granularity.origin_s
        parameters["origin_us"] = query.granularity.origin_s * 1_000_000
    if query.percentile is not None:
        parameters["level"] = query.percentile / 100 * _BELOW
    if query.limit is not None:
        parameters["group_limit"] = query.limit
    return parameters


def _conditions(query: TimeseriesQuery) -> tuple[str, dict[str, object]]:
    values = {_name(each): list(each.values) for each in query.filters}
    conditions = [_condition(each) for each in query.filters]
    if query.aggregation != "count":
        conditions.append(f"{query.value} IS NOT NULL")
    return "".join(f"\n  AND {condition}" for condition in conditions), dict(values)


def _name(each: Filter) -> str:
    return f"{'exclude' if each.excludes else 'include'}_{each.field}"


def _condition(each: Filter) -> str:
    element = "UInt16" if each.field in NUMERIC_DIMENSIONS else "String"
    operator = "NOT IN" if each.excludes else "IN"
    return f"{each.field} {operator} {{{_name(each)}:Array({element})}}"
