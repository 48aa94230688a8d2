"""Slices of the requests of two ranges, as SQL over rollups and events, as the planner says. Pure.

A slice is the requests with one value in each of one to three dimensions. The engine first adds up the combinations
of all dimensions, which are few, and then makes all slices of them at once.

Invariants: the server binds values; text for `$name` comes from closed sets. Counts are sums of `sample_weight`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from string import Template
from types import MappingProxyType
from typing import Final, NamedTuple

from apimetry.query_api.explain.params import CONSUMER, ExplainQuery
from apimetry.query_api.planning.filter_sql import filter_conditions, filter_parameters
from apimetry.query_api.planning.filters import columns_of
from apimetry.query_api.planning.granularity import named_granularity
from apimetry.query_api.planning.planner import Needs, Plan, plan
from apimetry.query_api.planning.rows_sql import (
    Column,
    Conditions,
    group_key,
    partial_rows,
    range_parameters,
    seconds,
)
from apimetry.store.statement import Statement

LEAST_REQUESTS: Final = 20
"""A slice with fewer requests in both ranges says nothing."""

MAX_SLICES: Final = 2_000
"""Slices that are compared: those with the largest changes."""

COUNTS: Final = ("requests", "errors", "latency_us", "timed")

_MAX_DIMENSIONS: Final = 3
_SLICES = Template("""SELECT $absent AS absent, $keys, $merged, minIf(part.first_us, part.first_us > 0) AS since_us
FROM ($combinations) AS part
GROUP BY $grouping
HAVING requests_now >= {least:UInt64} OR requests_before >= {least:UInt64} OR absent = {whole:UInt64}
ORDER BY absent = {whole:UInt64} DESC, arrayMax([$changes]) DESC, $keys
LIMIT {row_limit:UInt64}""")
_COMBINATIONS = Template("""SELECT $selected, $sums,
  minIf(part.seen_us, part.is_now = 1 AND part.$noticed > 0) AS first_us
FROM ($now
  UNION ALL
  $before) AS part
GROUP BY $keys""")
# All slices of all combinations: memory is bounded for itself, and what is sent by MAX_SLICES.
_SETTINGS: Final = {"max_rows_to_group_by": 2_000_000}
_WEIGHT: Final = "toUInt64(sample_weight)"
_TIMED: Final = f"if(isNull(response_us), 0, {_WEIGHT})"
_NOW, _BEFORE = "_now", "_before"
_SIDES: Final = ((_NOW, 1), (_BEFORE, 0))
_CHANGING: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "requests": ("requests",),
        "errors": ("errors",),
        "errorRate": ("errors", "requests"),
        "meanMs": ("latency_us",),
    }
)
"""The counts of a slice whose change makes it worth a look, by metric."""


class _Sets(NamedTuple):
    """How combinations become slices: which dimensions a slice lacks, GROUP BY, and what the whole lacks."""

    absent: str
    grouping: str
    whole: int


def slices(query: ExplainQuery, application: str, now: int | None = None) -> Statement:
    """Select rows of (absent, *dimensions, *COUNTS in the range, *COUNTS before, first time), the whole first.

    `absent` has a bit for each of the query's dimensions, the last one the lowest; it is 1 where the slice has no
    value. The first time is that of the first request, or of the first error where errors are asked about; in
    microseconds, or 0 without one.
    """
    dimensions = query.dimensions
    chosen = [names for size in range(_MAX_DIMENSIONS + 1) for names in combinations(dimensions, size)]
    sets = ", ".join(f"({', '.join(names)})" for names in chosen)
    return _statement(
        query,
        application,
        now,
        dimensions,
        _Sets(f"toUInt64(grouping({', '.join(dimensions)}))", f"GROUPING SETS ({sets})", 2 ** len(dimensions) - 1),
    )


def consumers(query: ExplainQuery, application: str, now: int | None = None) -> Statement:
    """Select rows of (0, consumer, *COUNTS in the range, *COUNTS before, first time)."""
    return _statement(query, application, now, (CONSUMER,), _Sets("toUInt64(0)", CONSUMER, 1))


def _statement(
    query: ExplainQuery, application: str, now: int | None, dimensions: tuple[str, ...], sets: _Sets
) -> Statement:
    of_now = _plan(query, query.start, query.end, dimensions, now)
    of_before = _plan(query, *query.before, dimensions, now)
    conditions = Conditions(filter_conditions(query.filters))
    keys = ", ".join(dimensions)
    combined = _COMBINATIONS.substitute(
        keys=keys,
        selected=", ".join(f"part.{name} AS {name}" for name in dimensions),
        sums=", ".join(
            f"sumIf(part.{count}, part.is_now = {flag}) AS {count}{side}" for side, flag in _SIDES for count in COUNTS
        ),
        noticed="errors" if query.metric in ("errors", "errorRate") else "requests",
        now=partial_rows(of_now, _columns(of_now, dimensions, is_now=1), conditions, tag=_NOW),
        before=partial_rows(of_before, _columns(of_before, dimensions, is_now=0), conditions, tag=_BEFORE),
    )
    sql = _SLICES.substitute(
        absent=sets.absent,
        keys=keys,
        merged=", ".join(f"sum(part.{count}{side}) AS {count}{side}" for side, _ in _SIDES for count in COUNTS),
        combinations=combined,
        grouping=sets.grouping,
        changes=", ".join(
            f"abs(toInt64({count}_now) - toInt64({count}_before))" for count in _CHANGING[query.metric]
        ),
    )
    parameters = {
        "application": application,
        **filter_parameters(query.filters),
        **range_parameters(of_now, tag=_NOW),
        **range_parameters(of_before, tag=_BEFORE),
        "least": LEAST_REQUESTS,
        "whole": sets.whole,
        "row_limit": MAX_SLICES,
    }
    return Statement(sql, parameters, _SETTINGS)


def _plan(query: ExplainQuery, start: int, end: int, dimensions: tuple[str, ...], now: int | None) -> Plan:
    measures = frozenset({"requests", "errors", "response_us_sum", "response_us_weight"})
    # `seen_us` is exact to the hour.
    hour = named_granularity("hour")
    return plan(Needs(columns_of(query.filters) | frozenset(dimensions), measures, start, end, hour, now=now))


def _columns(source: Plan, dimensions: tuple[str, ...], *, is_now: int) -> list[Column]:
    of_rollup = source.rollup.column if source.rollup else str
    flag = str(is_now)
    return [
        *(group_key(source, name, name) for name in dimensions),
        Column("requests", _WEIGHT, of_rollup("requests")),
        Column("errors", f"if(status_code >= 400, {_WEIGHT}, 0)", of_rollup("errors")),
        Column("latency_us", "ifNull(response_us, 0) * sample_weight", of_rollup("response_us_sum")),
        Column("timed", _TIMED, of_rollup("response_us_weight")),
        Column("seen_us", "toUnixTimestamp64Micro(timestamp)", f"{seconds(source)} * 1000000"),
        Column("is_now", flag, flag),
    ]
