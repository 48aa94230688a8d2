"""A breakdown as SQL over rollups and events, as the planner says. Pure.

Invariants: the server binds values; text for `$name` comes from closed sets. Every count is a sum of `sample_weight`.
The engine holds MAX_GROUPS groups of one statement at most (it stops at more), and returns one page of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from typing import Final

from apimetry.query_api.breakdown.measures import MEASURES, PARTS, Reads
from apimetry.query_api.breakdown.scope import Scope, hash_of
from apimetry.query_api.http.listing import Page
from apimetry.query_api.planning.planner import Plan
from apimetry.query_api.planning.rows_sql import (
    BELOW,
    Column,
    Conditions,
    middle_of_bucket,
    partial_rows,
    range_parameters,
    signed,
)
from apimetry.store.rollups import BUCKETS_PER_DOUBLING
from apimetry.store.statement import Statement

MAX_GROUPS: Final = 100_000
"""Groups that a statement may hold. A thread of the engine stops at more; two threads may hold more together."""

SETTINGS: Final[Mapping[str, int]] = {"max_rows_to_group_by": MAX_GROUPS}

_TABLE = Template("""SELECT $keys, $figures, $hash AS hash,
  count() OVER () AS all_rows, sum(requests) OVER () AS all_requests, sum(errors) OVER () AS all_errors,
  sum(latency_us) OVER () AS all_latency_us
FROM (
  SELECT $keys, $sums
  FROM ($rows) AS part
  GROUP BY $keys
  HAVING requests > 0
)
ORDER BY $order
LIMIT {row_limit:UInt64} OFFSET {row_offset:UInt64}""")
_EXACT = Template(
    "quantilesExactWeightedIf($levels)"
    "(assumeNotNull(part.${value}_known), part.requests, isNotNull(part.${value}_known)) AS ${value}_percentiles"
)
# Whole microseconds: the response has tenths of a millisecond.
_OF_BUCKETS = Template(
    "max(part.${value}_high) AS ${value}_top,"
    " arrayMap(bucket -> toUInt64(round(least(toFloat64(${value}_top), $middle))),"
    " quantilesExactWeightedArray($levels)(part.${value}_filled, part.${value}_counts)) AS ${value}_percentiles"
)
_WEIGHT: Final = PARTS["requests"].of_event
_BUCKET = Template(f"toUInt16({BUCKETS_PER_DOUBLING} * log2(assumeNotNull($value) + 1.0))")


@dataclass(frozen=True)
class Slice:
    """The rows of a page, sorted by one of MEASURES. Rows without a figure are the last ones in both orders."""

    measure: str = "requests"
    descending: bool = True
    page: Page = Page()  # noqa: RUF009 - frozen


def table(scope: Scope, source: Plan, reads: Reads, rows: Slice) -> Statement:
    """Select a page of rows of (the key, PARTS, percentiles of each of `reads.percentiles`, hash, totals).

    The totals are over all rows: the number of rows, and their requests, errors and microseconds.
    """
    columns = [*scope.columns(source), *_parts(source, reads), *_values(source, reads)]
    arrays = [f"{value}_percentiles" for value in reads.percentiles]
    sql = _TABLE.substitute(
        keys=", ".join(scope.names),
        figures=", ".join([*PARTS, *arrays]),
        hash=hash_of(scope.names),
        sums=", ".join([*_sums(reads), *_percentiles(source, reads)]),
        rows=partial_rows(source, columns, Conditions(scope.conditions)),
        order=_sorted(scope, reads, rows),
    )
    parameters = {
        **scope.parameters,
        **range_parameters(source),
        **{_level(number): number / 100 * BELOW for numbers in reads.percentiles.values() for number in numbers},
        "row_limit": rows.page.limit,
        "row_offset": rows.page.offset,
    }
    return Statement(sql, parameters, SETTINGS)


def _parts(source: Plan, reads: Reads) -> list[Column]:
    """Return the columns of the parts that are read."""
    columns = []
    for name in reads.parts:
        part = PARTS[name]
        of_event = signed(source, part.of_event) if part.is_sum else part.of_event
        of_rollup = " + ".join(source.rollup.column(column) for column in part.of_rollup) if source.rollup else ""
        columns.append(Column(name, of_event, of_rollup))
    return columns


def _sums(reads: Reads) -> list[str]:
    """Return the aggregates of all PARTS; a part that is not read is 0."""
    return [
        f"{'sum' if part.is_sum else 'max'}(part.{name}) AS {name}" if name in reads.parts else f"0 AS {name}"
        for name, part in PARTS.items()
    ]


def _values(source: Plan, reads: Reads) -> list[Column]:
    """Return the columns of percentiles. Events without a value are in none."""
    if not source.estimates:
        return [Column(f"{value}_known", value, "") for value in reads.percentiles]
    columns = []
    for value in reads.percentiles:
        bucket, unknown = _BUCKET.substitute(value=value), f"isNull({value})"
        columns += [
            Column(f"{value}_filled", f"if({unknown}, [], [{bucket}])", f"mapKeys({value}_buckets)"),
            Column(f"{value}_counts", f"if({unknown}, [], [{_WEIGHT}])", f"mapValues({value}_buckets)"),
            Column(f"{value}_high", f"ifNull({value}, 0)", f"{value}_max"),
        ]
    return columns


def _percentiles(source: Plan, reads: Reads) -> list[str]:
    """Return the aggregates of percentiles: for each value one array, in the order of its numbers."""
    template = _OF_BUCKETS if source.estimates else _EXACT
    return [
        template.substitute(
            value=value,
            levels=", ".join(f"{{{_level(number)}:Float64}}" for number in numbers),
            **({"middle": middle_of_bucket("bucket")} if source.estimates else {}),
        )
        for value, numbers in reads.percentiles.items()
    ]


def _level(number: int) -> str:
    return f"p{number}"


def _sorted(scope: Scope, reads: Reads, rows: Slice) -> str:
    """Return the expressions of ORDER BY; the key decides between rows that are equal otherwise."""
    measure = MEASURES[rows.measure]
    percentile = ""
    if measure.percentile:
        value, number = measure.percentile
        percentile = f"{value}_percentiles[{reads.percentiles[value].index(number) + 1}]"
    figure = Template(measure.sorted_by).substitute(percentile=percentile)
    way = "DESC" if rows.descending else "ASC"
    return f"{figure} {way} NULLS LAST, requests DESC, {', '.join(scope.names)}"
