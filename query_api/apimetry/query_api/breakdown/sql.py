"""The statement of a table: a page of groups, sorted by a measure. Pure.

Invariants: the server binds values; text for `$name` comes from closed sets. Every count is a sum of `sample_weight`.
The engine holds MAX_GROUPS groups of one range at most (it stops at more), and returns one page of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from types import MappingProxyType
from typing import Final

from apimetry.query_api.breakdown.groups_sql import Groups
from apimetry.query_api.breakdown.having import Restriction
from apimetry.query_api.breakdown.measures import MEASURES, SEEN, Totals
from apimetry.query_api.breakdown.scope import hash_of
from apimetry.query_api.breakdown.seen_sql import Seen
from apimetry.query_api.http.listing import Page
from apimetry.query_api.planning.group_limit import GROUP_LIMIT
from apimetry.query_api.planning.rows_sql import settings_of
from apimetry.store.statement import Statement

_TABLE = Template("""SELECT *
FROM (
  SELECT $columns, $hash AS hash, $count OVER () AS all_rows, $totals
  FROM ($groups)
)
${kept}ORDER BY $order
LIMIT {row_limit:UInt64} OFFSET {row_offset:UInt64}""")
_MERGED = Template("""SELECT $keys, $merged
  FROM ($parts) AS part
  GROUP BY $keys$having""")
_PART = Template("SELECT $keys, $is_first AS is_first, $columns FROM ($select)")
_HASHES = Template("SELECT $hash FROM ($groups)")
_SEEN_COLUMNS: Final[Mapping[str, str]] = MappingProxyType({"first_us": "0", "last_us": "0"})


@dataclass(frozen=True)
class Slice:
    """The rows of a page, sorted by one of MEASURES. Rows without a figure are the last ones in both orders."""

    measure: str = "requests"
    descending: bool = True
    by_change: bool = False
    """Whether the change of the measure sorts, from the period before."""

    page: Page = Page()  # noqa: RUF009 - frozen


@dataclass(frozen=True)
class TableStatement:
    """A statement, and the names of its columns: of the key, of both ranges, and the totals."""

    statement: Statement
    columns: tuple[str, ...]


def table(ranges: Sequence[Groups], rows: Slice, restriction: Restriction | None = None) -> TableStatement:
    """Select a page of rows: the groups of the first of `ranges`, and the same groups of the period before, if any.

    If the change sorts, groups of the period before alone are rows, too, unless there is a `restriction`.
    """
    now, before = ranges[0], ranges[1] if len(ranges) > 1 else None
    seen_source = Seen.of(now.scope) if rows.measure in SEEN else None
    columns = {name: nothing for groups in ranges for name, nothing in groups.columns.items()}
    columns |= _SEEN_COLUMNS if seen_source else {}
    totals = {f"{groups.prefix}all_{name}": f"{groups.prefix}{name}" for groups in ranges for name in Totals._fields}
    also_earlier = before is None or restriction is not None or rows.by_change
    sql = _TABLE.substitute(
        columns=", ".join((*now.scope.names, *columns)),
        hash=hash_of(now.scope.names),
        count="count()" if also_earlier else "countIf(requests > 0)",
        totals=", ".join(f"sum({of}) OVER () AS {name}" for name, of in totals.items()),
        groups=_groups(now, before, restriction, seen_source),
        kept="" if also_earlier else "WHERE requests > 0\n",
        order=_sorted(now, before, rows),
    )
    parameters: dict[str, object] = {"row_limit": rows.page.limit, "row_offset": rows.page.offset}
    for part in (*ranges, restriction, seen_source):
        parameters |= part.parameters if part else {}
    names = (*now.scope.names, *columns, "hash", "all_rows", *totals)
    settings = {**GROUP_LIMIT, **settings_of(now.source)}
    return TableStatement(Statement(sql, parameters, settings), names)


def _groups(now: Groups, before: Groups | None, restriction: Restriction | None, seen_source: Seen | None) -> str:
    """Return the SELECT of all groups, with the columns of all parts.

    A join would do the same. Which of its keys a full join returns depends on the version of the engine.
    """
    of_now = now.select(restriction.having, also=restriction.also) if restriction else now.select()
    selects: dict[str, Mapping[str, str]] = {of_now: now.columns}
    if before is not None:
        selects[before.select()] = before.columns
    if seen_source is not None:
        hashes = _HASHES.substitute(hash=hash_of(now.scope.names), groups=of_now)
        selects[seen_source.select(hashes)] = _SEEN_COLUMNS
    return _merged(", ".join(now.scope.names), selects, only_first=restriction is not None)


def _merged(keys: str, selects: Mapping[str, Mapping[str, str]], *, only_first: bool) -> str:
    """Return the SELECT of the groups of several SELECTs with one row for each key.

    `selects` have their columns, each with what stands in it for other SELECTs' groups.
    """
    if len(selects) == 1:
        return next(iter(selects))
    columns = {name: nothing for own in selects.values() for name, nothing in own.items()}
    parts = [
        _PART.substitute(
            keys=keys,
            is_first=int(number == 0),
            columns=", ".join(name if name in own else f"{nothing} AS {name}" for name, nothing in columns.items()),
            select=select,
        )
        for number, (select, own) in enumerate(selects.items())
    ]
    return _MERGED.substitute(
        keys=keys,
        merged=", ".join(
            f"{'max' if nothing == '0' else 'groupArrayArray'}(part.{name}) AS {name}"
            for name, nothing in columns.items()
        ),
        parts="\n  UNION ALL\n  ".join(parts),
        having="\n  HAVING max(part.is_first) = 1" if only_first else "",
    )


def _sorted(now: Groups, before: Groups | None, rows: Slice) -> str:
    """Return the expressions of ORDER BY; the key decides between rows that are equal otherwise."""
    figure = _figure(now, rows.measure)
    if rows.by_change and before is not None:
        figure = f"toFloat64({figure}) - toFloat64({_figure(before, rows.measure)})"
    way = "DESC" if rows.descending else "ASC"
    return f"{figure} {way} NULLS LAST, requests DESC, {', '.join(now.scope.names)}"


def _figure(groups: Groups, name: str) -> str:
    """Return the expression of a measure."""
    measure = MEASURES[name]
    percentile = groups.percentile(*measure.percentile) if measure.percentile else ""
    return Template(measure.sorted_by).substitute(p=groups.prefix, percentile=percentile)
