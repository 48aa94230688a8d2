"""Reads a table from the store: one statement, or a second one where no rollup has the percentiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from apimetry.query_api.breakdown.measures import MEASURES, PARTS, Reads, Sums, Totals, reads_of
from apimetry.query_api.breakdown.scope import Key, Scope
from apimetry.query_api.breakdown.sql import MAX_GROUPS, Slice, table
from apimetry.query_api.http.listing import Page
from apimetry.query_api.planning.planner import Plan
from apimetry.serving.errors import BadRequest
from apimetry.store.errors import QueryLimitExceeded
from apimetry.store.statement import Ask, Rows, Statement

# From ClickHouse's src/Common/ErrorCodes.cpp: a statement has more groups than `max_rows_to_group_by`.
_TOO_MANY_ROWS: Final = 158


@dataclass(frozen=True)
class Table:
    """The rows of one page in their order, and the figures of the whole table."""

    rows: Mapping[Key, Sums]
    hashes: tuple[int, ...]
    """The hashes of the rows' keys."""

    count: int
    """The rows of all pages."""

    totals: Totals
    estimated: bool = False
    """Whether percentiles come from buckets."""

    from_events: bool = False
    """Whether single events answer for the whole range."""


def read_table(scope: Scope, measures: Iterable[str], rows: Slice, ask: Ask) -> Table:
    """Return a page of the table with `measures`. Blocks while `ask` does.

    If no rollup has the percentiles, but a rollup has all else, the percentiles of the page's rows alone are read
    from the events. Otherwise one statement reads everything.

    Raises:
        BadRequest: the table has more than MAX_GROUPS rows.
    """
    reads = reads_of((*measures, rows.measure))
    whole = _plan(scope, reads)
    if reads.percentiles and whole.rollup is None and not MEASURES[rows.measure].percentile:
        sums = _plan(scope, reads.without_percentiles)
        if sums.rollup is not None:
            first = _read(scope, sums, reads.without_percentiles, rows, ask)
            return _with_percentiles(first, scope, whole, reads, ask)
    return _read(scope, whole, reads, rows, ask)


def _plan(scope: Scope, reads: Reads) -> Plan:
    return scope.plan(reads.columns, subtracts=reads.adds_up)


def _with_percentiles(first: Table, scope: Scope, source: Plan, reads: Reads, ask: Ask) -> Table:
    """Return the `first` table with the percentiles of its rows."""
    if not first.rows:
        return first
    # Another key may have a hash of the page, too.
    rows_of_page = Slice(page=Page(MAX_GROUPS))
    second = _read(replace(scope, hashes=first.hashes), source, reads, rows_of_page, ask)
    rows = {
        key: sums._replace(percentiles=second.rows.get(key, Sums()).percentiles) for key, sums in first.rows.items()
    }
    return replace(first, rows=rows, estimated=second.estimated, from_events=True)


def _read(scope: Scope, source: Plan, reads: Reads, rows: Slice, ask: Ask) -> Table:
    of_page = _answered(table(scope, source, reads, rows), ask)
    of_all = of_page
    if not of_page and rows.page.offset:
        # The totals stand in every row, and this page has none.
        of_all = _answered(table(scope, source, reads, replace(rows, page=Page(limit=1))), ask)
    count, *totals = of_all[0][-4:] if of_all else (0,)
    if count > MAX_GROUPS:
        raise _too_many()
    return Table(
        hashes=tuple(row[-5] for row in of_page),
        rows=dict(_row(scope, reads, row) for row in of_page),
        count=count,
        totals=Totals(*totals),
        estimated=bool(reads.percentiles) and source.estimates,
        from_events=source.rollup is None,
    )


def _row(scope: Scope, reads: Reads, row: tuple[Any, ...]) -> tuple[Key, Sums]:
    names = len(scope.by)
    key, parts, arrays = row[:names], row[names : names + len(PARTS)], row[names + len(PARTS) : -5]
    percentiles = {
        (value, number): microseconds
        for (value, numbers), array in zip(reads.percentiles.items(), arrays, strict=True)
        for number, microseconds in zip(numbers, array, strict=True)
    }
    return key, Sums(**dict(zip(PARTS, parts, strict=True)), percentiles=percentiles)


def _answered(statement: Statement, ask: Ask) -> Rows:
    try:
        return ask(statement)
    except QueryLimitExceeded as error:
        if error.code == _TOO_MANY_ROWS:
            raise _too_many() from error
        raise


def _too_many() -> BadRequest:
    return BadRequest(f"The answer would have more than {MAX_GROUPS:,} groups: add a filter or search")
