"""A timeseries query as SQL over rollups and events, as the plan says. Pure.

Invariants: the server binds values; text for `$name` comes from the closed sets of `params`. Every count is a sum of
`sample_weight`. An event without the query's `value` (a null) counts in `count` alone.

Percentile p is the smallest value such that at least p % of the weight is at or below it (the inverted cumulative
distribution): always a value that was measured, never above the maximum. Over up to a day of raw events it is exact;
`planning.rows_sql` says how other percentiles are estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from string import Template

from apimetry.query_api.planning.bucket_sql import bucket_of_rows, bucket_parameters, grain_of
from apimetry.query_api.planning.filter_sql import filter_conditions, filter_parameters, key_of
from apimetry.query_api.planning.planner import Needs, Plan
from apimetry.query_api.planning.rows_sql import (
    BELOW,
    OF_ROLLUP,
    Column,
    Conditions,
    added_up,
    group_key,
    partial_rows,
    range_parameters,
)
from apimetry.query_api.timeseries.aggregates import Aggregates
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.store.statement import Statement

# The largest groups, and the number of all groups, in one pass over the groups' columns. Points take a second pass.
_LARGEST = Template("""WITH (
  SELECT (groupArray(($names)), max(groups))
  FROM (
    SELECT $names, count() OVER () AS groups
    FROM (SELECT $names, $weight AS total FROM ($rows) AS part GROUP BY $names HAVING total > 0)
    ORDER BY total DESC, $names
    LIMIT {group_limit:UInt64}
  )
) AS largest
""")
_POINTS = Template("""${largest}SELECT $keys, $aggregates, $groups AS groups
FROM ($rows) AS part
${group_by}HAVING $weight > 0
ORDER BY $names
LIMIT {row_limit:UInt64}""")
# Without a granularity each group is one row, so one pass ranks the groups and answers. Percentiles take two passes:
# their states hold every value, and only the largest groups may have one.
_TOP = Template("""SELECT * EXCEPT total
FROM (
  SELECT $keys, $aggregates, count() OVER () AS groups, $weight AS total
  FROM ($rows) AS part
  ${group_by}HAVING total > 0
  ORDER BY total DESC, $names
  LIMIT {group_limit:UInt64}
)
ORDER BY $names
LIMIT {row_limit:UInt64}""")
_SIZE = Template("""${largest}SELECT count(), $distinct
FROM (
  SELECT $keys
  FROM ($rows) AS part
  ${group_by}HAVING $weight > 0
)""")
_IN_LARGEST = Template("($keys) IN (SELECT arrayJoin(largest.1))")
_IN_KEYS = Template("($keys) $operator $arrays")


@dataclass(frozen=True)
class Statements:
    """The statements of one query."""

    points: Statement
    """Rows of (keys, is rest, bucket, values, groups), ascending. Keys and values are as many as the query has.

    `groups` counts all groups, also groups beyond `limit`. Rows of the rest have empty keys."""

    size: Statement
    """One row: the numbers of points and of groups in `points` without its row limit."""


def timeseries_needs(query: TimeseriesQuery, now: int | None = None) -> Needs:
    """Return what a timeseries query at `now` needs of a table."""
    aggregates = Aggregates(query)
    return Needs(
        query.dimensions,
        aggregates.measures,
        query.start,
        query.end,
        grain_of(query.granularity, query.start, query.end),
        subtracts=aggregates.add_up,
        now=now,
        takes_minutes=True,
    )


def statements(query: TimeseriesQuery, plan: Plan, *, application: str, row_limit: int) -> Statements:
    """Return the statements of `query` about `application`; `points` returns at most `row_limit` rows."""
    aggregates, keys = Aggregates(query), _keys(query, plan)
    is_top = query.omits and query.granularity is None and not query.percentiles and not query.rest
    conditions = Conditions(_conditions(query), aggregates.conditions)
    names = ", ".join(column.name for column in keys)
    largest, shown = "", conditions
    if query.omits:
        ranked = (*keys, aggregates.weight(plan))
        largest = _LARGEST.substitute(names=names, weight=added_up(plan), rows=partial_rows(plan, ranked, conditions))
        is_shown = _IN_LARGEST.substitute(keys=", ".join(map(key_of, query.groups)))
        if query.rest:
            keys = _or_rest(keys, is_shown)
        else:
            shown = Conditions((*conditions.shared, is_shown), conditions.of_events)
    buckets = [bucket_of_rows(query.granularity, plan)] if query.granularity else []
    columns = (*keys, *buckets, *aggregates.columns(plan))
    parts = {**_parts(query, [*keys, *buckets]), "weight": added_up(plan)}
    parts |= {"largest": largest, "aggregates": aggregates.figures(plan), "groups": "largest.2" if largest else "0"}
    rows = partial_rows(plan, columns, shown)
    points = _POINTS.substitute(parts, rows=rows)
    if is_top:
        points = _TOP.substitute(parts, rows=partial_rows(plan, columns, conditions))
    parameters = {**_parameters(query, plan, application), "row_limit": row_limit}
    settings = OF_ROLLUP if plan.rollup else {}
    return Statements(
        Statement(points, parameters, settings), Statement(_SIZE.substitute(parts, rows=rows), parameters)
    )


def _keys(query: TimeseriesQuery, plan: Plan) -> list[Column]:
    # Group keys are strings (docs/api.md, "Timeseries API").
    return [group_key(plan, key_of(field), f"key_{number}") for number, field in enumerate(query.groups)]


def _or_rest(keys: Sequence[Column], is_shown: str) -> list[Column]:
    """Return columns in which all groups beyond the limit are one."""
    shown = [
        Column(key.name, *(f"if({is_shown}, {of_row}, '')" for of_row in (key.of_events, key.of_rollup)))
        for key in keys
    ]
    return [*shown, Column("is_rest", f"NOT ({is_shown})", f"NOT ({is_shown})")]


def _parts(query: TimeseriesQuery, grouped: Sequence[Column]) -> dict[str, str]:
    """Return what the statements say of the columns that rows are grouped by."""
    names = [column.name for column in grouped]
    keys = [name for name in names if name.startswith("key_")]
    selected = [f"part.{name} AS {name}" for name in keys]
    selected.append("part.is_rest AS is_rest" if query.rest and query.omits else "0 AS is_rest")
    selected.append("part.bucket AS bucket" if query.granularity else "{start_s:Int64} AS bucket")
    return {
        "keys": ", ".join(selected),
        "names": ", ".join((*keys, "is_rest", "bucket")),
        "distinct": f"uniqExactIf(({', '.join(keys)}), NOT is_rest)" if keys else "if(count() = 0, 0, 1)",
        "group_by": f"GROUP BY {', '.join(f'part.{name}' for name in names)}\n" if names else "",
    }


def _conditions(query: TimeseriesQuery) -> tuple[str, ...]:
    if query.keys is None:
        return filter_conditions(query.filters)
    operator = "NOT IN" if query.keys.excludes else "IN"
    arrays = ", ".join(f"{{keys_{number}:Array(String)}}" for number in range(len(query.keys.fields)))
    if len(query.keys.fields) > 1:
        arrays = f"arrayZip({arrays})"
    keys = ", ".join(map(key_of, query.keys.fields))
    return (*filter_conditions(query.filters), _IN_KEYS.substitute(keys=keys, operator=operator, arrays=arrays))


def _parameters(query: TimeseriesQuery, plan: Plan, application: str) -> dict[str, object]:
    parameters: dict[str, object] = {"application": application, **range_parameters(plan)}
    parameters |= filter_parameters(query.filters)
    if query.granularity is None:
        parameters["start_s"] = query.start
    else:
        parameters |= bucket_parameters(query.granularity, plan.start, plan.end)
    for number, percentile in enumerate(query.percentiles):
        parameters[f"level_{number}"] = level_of(percentile)
    if query.limit is not None:
        parameters["group_limit"] = query.limit
    if query.keys is not None:
        parameters |= {
            f"keys_{number}": list(texts) for number, texts in enumerate(zip(*query.keys.keys, strict=True))
        }
    return parameters


def level_of(percentile: Fraction) -> float:
    """Return the level that the engine is asked for."""
    return float(percentile / 100) * BELOW
