"""The sorted lists of methods, statuses and routes as SQL, and the percentiles of routes. Pure.

`usage.sql` has the invariants. Most of a short statement's time is its analysis. So one statement reads three lists,
and what Python can compute of few rows is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from string import Template

from apimetry.query_api.planning.planner import Plan
from apimetry.query_api.planning.rows_sql import (
    BELOW,
    Column,
    Conditions,
    bucket_columns,
    partial_rows,
    weight,
)
from apimetry.query_api.usage.params import Order
from apimetry.query_api.usage.sql import (
    SUMS,
    Scope,
    measures_of,
    rows_of,
    sorted_by,
    statement_of,
    way_of,
)
from apimetry.store.rollups import SINGLE_DIMENSIONS
from apimetry.store.statement import Statement

PERCENTILES = (50, 95, 99)

MOST_GROUPS = 10_000
"""Methods, statuses and routes up to which all are read, and sorted outside of the engine: it takes longer."""

_DIMENSIONS = ("method", "status_code", "route")

_EVERY_GROUP = Template("""SELECT part.list AS list, part.method AS method, part.status_code AS status_code,
  part.route AS route, $sums
FROM ($rows) AS part
GROUP BY list, method, status_code, route""")
# `place` is by all requests, `failed_place` by failed requests; it is 0 for a group without any.
_LISTS = Template("""SELECT *
FROM (
  SELECT part.list AS list, part.method AS method, part.status_code AS status_code, part.route AS route, $sums,
    row_number() OVER (PARTITION BY list ORDER BY $order) AS place,
    if(errors = 0, 0, row_number() OVER (PARTITION BY list, errors = 0 ORDER BY errors $way, route)) AS failed_place,
    sum(requests) OVER (PARTITION BY list) AS all_requests,
    sum(errors) OVER (PARTITION BY list) AS all_errors
  FROM ($rows) AS part
  GROUP BY list, method, status_code, route
)
WHERE list = 'status_code' OR place <= {row_limit:UInt64} OR failed_place BETWEEN 1 AND {row_limit:UInt64}
ORDER BY list, place""")
_BY_LIST = "GROUPING SETS ((method), (status_code), (route))"
_LIST = "multiIf(grouping(method) = 0, 'method', grouping(status_code) = 0, 'status_code', 'route')"
_LISTED = Template(
    """SELECT $list AS list, part.method AS method, part.status_code AS status_code, part.route AS route,
  $sums
FROM ($rows) AS part
GROUP BY $by_list"""
)
_PERCENTILES = Template("""SELECT part.route AS route, $percentiles
FROM ($rows) AS part
GROUP BY route""")
LEVELS = tuple(p / 100 * BELOW for p in PERCENTILES)
_LEVELS = ", ".join(f"{{p{p}:Float64}}" for p in PERCENTILES)
_LEVEL_VALUES = {f"p{p}": level for p, level in zip(PERCENTILES, LEVELS, strict=True)}
_EXACT = f"quantilesExactWeighted({_LEVELS})(part.value, part.weight)"
_OF_BUCKETS = f"quantilesExactWeightedArray({_LEVELS})(part.buckets, part.weights), max(part.high) AS high"


def every_group(scope: Scope) -> Statement:
    """Select rows of (list, method, status code, route, the measures): all methods, statuses, and routes.

    The engine stops at more than MOST_GROUPS.
    """
    source, rows = _listed(scope)
    # With conditions, the rows are groups already.
    sql = rows if scope.conditions else _EVERY_GROUP.substitute(sums=SUMS, rows=rows)
    statement = statement_of(sql, scope, source)
    return replace(statement, settings={**statement.settings, "max_rows_to_group_by": MOST_GROUPS})


def lists(scope: Scope, order: Order, *, limit: int) -> Statement:
    """Select the rows of three sorted lists: methods, statuses, and routes.

    A row is (list, method, status code, route, the measures, place in the list, place by failed requests or 0,
    requests of the whole list, errors of the whole list). The rows have all statuses, and the first `limit` methods
    and routes by either place. If `order` sorts by latency, the places by failed requests mean nothing.
    """
    source, rows = _listed(scope)
    sql = _LISTS.substitute(
        sums=SUMS, order=sorted_by(order, "method, status_code, route"), way=way_of(order), rows=rows
    )
    return statement_of(sql, scope, source, {"row_limit": limit})


def _listed(scope: Scope) -> tuple[Plan, str]:
    """Return the SELECT of rows of (list, method, status code, route, the measures), and what it reads."""
    keys = [Column(name, name, name) for name in _DIMENSIONS]
    if scope.conditions:
        source = scope.plan(*_DIMENSIONS)
        rows = rows_of(scope, source, *keys, *measures_of(source))
        return source, _LISTED.substitute(list=_LIST, sums=SUMS, rows=rows, by_list=_BY_LIST)
    source = scope.plan(rollups=(SINGLE_DIMENSIONS,))
    columns = (Column("list", _LIST, "toString(dimension)"), *keys, *measures_of(source, of_several_events=True))
    return source, rows_of(scope, source, *columns, events_by=_BY_LIST)


def percentiles(scope: Scope, routes: Sequence[str]) -> Statement:
    """Select rows of (route, [PERCENTILES of the latency in microseconds]) where they are exact.

    Otherwise (`Plan.estimates`) select rows of (route, [the latency buckets at PERCENTILES], microseconds at most).
    A route without any measured time has no row, or a row without meaning.
    """
    needed = frozenset({"response_us_buckets", "response_us_max"})
    source = scope.plan("route", measures=needed)
    value = Column("value", "assumeNotNull(response_us)", "")
    values = bucket_columns(source, "response_us") or [value, weight(source)]
    conditions = Conditions((*scope.conditions, "route IN {routes:Array(String)}"), ("response_us IS NOT NULL",))
    sql = _PERCENTILES.substitute(
        percentiles=_OF_BUCKETS if source.estimates else _EXACT,
        rows=partial_rows(source, (Column("route", "route", "route"), *values), conditions),
    )
    return statement_of(sql, scope, source, {**_LEVEL_VALUES, "routes": list(routes)})
