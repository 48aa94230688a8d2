"""Read a table from the store: a page of rows, and then what no rollup has of these rows, and their sparklines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from apimetry.query_api.breakdown.groups_sql import Groups
from apimetry.query_api.breakdown.having import RESTRICTIONS, Restriction
from apimetry.query_api.breakdown.measures import ALWAYS_READ, PARTS, SEEN, Reads, Sums, Totals, reads_of
from apimetry.query_api.breakdown.params import BreakdownQuery
from apimetry.query_api.breakdown.scope import Key, Scope
from apimetry.query_api.breakdown.seen_sql import Seen
from apimetry.query_api.breakdown.sparkline import Sparkline
from apimetry.query_api.breakdown.sql import Slice, TableStatement, table
from apimetry.query_api.http.listing import Page
from apimetry.query_api.planning.group_limit import MAX_GROUPS, ask_for_groups, too_many_groups
from apimetry.store.statement import Ask, Rows, Statement

_ADVICE: Final = "add a filter or search"
_Columns = dict[str, Any]
_BEFORE: Final = "before_"
# Another key may have the hash of a row of the page, too: so a further statement may return more rows than the page.
_OF_PAGE: Final = Slice(by_change=True, page=Page(MAX_GROUPS))


@dataclass(frozen=True)
class Row:
    """The figures of one row, and those of the period before."""

    now: Sums
    before: Sums
    series: Sequence[int] = ()


@dataclass(frozen=True)
class Table:
    """The rows of one page in their order, and the figures of the whole table."""

    rows: Mapping[Key, Row]
    count: int
    """The rows of all pages."""

    totals: Totals
    totals_before: Totals
    estimated: bool = False
    """Whether percentiles come from buckets."""

    from_events: bool = False
    """Whether single events answer for the whole range."""

    seen_precision: str | None = None
    series_starts: Sequence[int] = ()


def read_table(query: BreakdownQuery, scope: Scope, ask: Ask) -> Table:
    """Return the page of a query. Blocks while `ask` does.

    One statement reads the page with everything that its rollup has. What only events have is read for the rows of
    the page alone, unless it sorts them.

    Raises:
        BadRequest: the table has more than MAX_GROUPS rows.
    """
    before = scope.within(*query.compared) if query.compared else None
    reads = reads_of((*query.measures, query.rows.measure))
    first = _readable_together(scope, reads, query.rows.measure)
    ranges = _ranges(scope, before, first)
    restriction = RESTRICTIONS[query.having](scope) if query.having else None
    rows, totals = _page(ranges, query.rows, restriction, ask)
    page = _Page(scope, before, {tuple(row[name] for name in scope.names): row for row in rows}, ask)
    ranges += page.add(reads.without(first))
    times = page.add_seen(query) if {*SEEN} & {*query.measures} else None
    line = Sparkline.of(page.scope, query.series, query.zone) if query.series else None
    series = line.series(_answered(line.statement, ask)) if line and rows else {}
    nothing = [0] * query.series
    return Table(
        rows={
            key: Row(_sums(row, reads), _sums(row, reads, _BEFORE), series.get(key, nothing))
            for key, row in page.rows.items()
        },
        count=totals.get("all_rows", 0),
        totals=_totals(totals),
        totals_before=_totals(totals, _BEFORE),
        estimated=any(groups.reads.percentiles and groups.source.estimates for groups in ranges),
        from_events=any(part.source.rollup is None for part in (*ranges, *([line] if line else ()))),
        seen_precision=times.precision if times else None,
        series_starts=line.starts if line else (),
    )


class _Page:
    """The rows of a page by key, as columns, and statements that add columns."""

    def __init__(self, scope: Scope, before: Scope | None, rows: dict[Key, _Columns], ask: Ask) -> None:
        hashes = tuple(row["hash"] for row in rows.values())
        self.scope = replace(scope, hashes=hashes)
        self.rows = rows
        self._before = replace(before, hashes=hashes) if before else None
        self._ask = ask

    def add(self, reads: Reads) -> list[Groups]:
        """Add what `reads` are more than ALWAYS_READ. Return what was read."""
        names = [
            name
            for name in (*reads.parts, *(f"{v}_percentiles" for v in reads.percentiles))
            if name not in ALWAYS_READ
        ]
        if not names or not self.rows:
            return []
        ranges = _ranges(self.scope, self._before, reads)
        for row in _named(ranges, table(ranges, _OF_PAGE), self._ask):
            own = self.rows.get(tuple(row[name] for name in self.scope.names), {})
            own |= {f"{groups.prefix}{name}": row[f"{groups.prefix}{name}"] for groups in ranges for name in names}
        return ranges

    def add_seen(self, query: BreakdownQuery) -> Seen:
        """Add when the rows were seen, unless that sorts them: then they have it. Return what answers for it."""
        source = Seen.of(self.scope)
        if self.rows and query.rows.measure not in SEEN:
            for *key, first_us, last_us in _answered(Statement(source.select(), source.parameters), self._ask):
                self.rows.get(tuple(key), {}).update(first_us=first_us, last_us=last_us)
        return source


def _readable_together(scope: Scope, reads: Reads, sorted_by: str) -> Reads:
    """Return what the rollup of the measure that sorts can answer, or everything if events answer for that."""
    together = reads_of((sorted_by,))
    if _groups(scope, together).source.rollup is None:
        return reads
    for name in reads.parts:
        more = together.plus(Reads((name,)))
        together = more if _groups(scope, more).source.rollup else together
    for value, numbers in reads.percentiles.items():
        more = together.plus(Reads((), {value: numbers}))
        together = more if _groups(scope, more).source.rollup else together
    return together


def _ranges(scope: Scope, before: Scope | None, reads: Reads) -> list[Groups]:
    return [_groups(scope, reads), *([_groups(before, reads, _BEFORE)] if before else [])]


def _groups(scope: Scope, reads: Reads, prefix: str = "") -> Groups:
    source = scope.plan(reads.columns, dimensions=reads.dimensions, subtracts=reads.adds_up, takes_minutes=True)
    return Groups(scope, source, reads, prefix)


def _page(
    ranges: Sequence[Groups], rows: Slice, restriction: Restriction | None, ask: Ask
) -> tuple[list[_Columns], _Columns]:
    """Return the rows of a page, and the totals of the table, which stand in every row."""
    of_page = _named(ranges, table(ranges, rows, restriction), ask)
    of_all = of_page
    if not of_page and rows.page.offset:
        of_all = _named(ranges, table(ranges, replace(rows, page=Page(limit=1)), restriction), ask)
    totals = of_all[0] if of_all else {}
    if totals.get("all_rows", 0) > MAX_GROUPS:
        raise too_many_groups(_ADVICE)
    return of_page, totals


def _sums(row: _Columns, reads: Reads, prefix: str = "") -> Sums:
    percentiles = {
        (value, number): microseconds
        for value, numbers in reads.percentiles.items()
        # The array of a group without events is empty.
        for number, microseconds in zip(numbers, row.get(f"{prefix}{value}_percentiles", ()), strict=False)
    }
    parts = {name: row.get(f"{prefix}{name}", 0) for name in PARTS}
    seen_us = (row["first_us"], row["last_us"]) if row.get("last_us") else None
    return Sums(**parts, percentiles=percentiles, seen_us=seen_us)


def _totals(row: _Columns, prefix: str = "") -> Totals:
    return Totals(*(row.get(f"{prefix}all_{name}", 0) for name in Totals._fields))


def _named(ranges: Sequence[Groups], statement: TableStatement, ask: Ask) -> list[_Columns]:
    rows = [dict(zip(statement.columns, row, strict=True)) for row in _answered(statement.statement, ask)]
    for groups in ranges:
        for value in groups.reads.percentiles:
            name = f"{groups.prefix}{value}_percentiles"
            for row in rows:
                row[name] = groups.percentiles(row[name])
    return rows


def _answered(statement: Statement, ask: Ask) -> Rows:
    return ask_for_groups(statement, ask, advice=_ADVICE)
