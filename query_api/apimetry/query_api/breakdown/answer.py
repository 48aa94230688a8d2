"""Answer a breakdown (docs/api.md, "Breakdown"): ask the store, and make JSON of its rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from apimetry.query_api.breakdown.measures import MEASURES, SEEN, Totals
from apimetry.query_api.breakdown.params import BreakdownQuery
from apimetry.query_api.breakdown.reading import Row, Table, read_table
from apimetry.query_api.breakdown.response import Breakdown, BreakdownRow, BreakdownTotal
from apimetry.query_api.breakdown.scope import Key, Scope, texts_of
from apimetry.query_api.http.listing import pagination
from apimetry.query_api.planning.presentation import FlatRow, previous_cells
from apimetry.serving.errors import BadRequest
from apimetry.store.statement import Ask

MAX_KEY_BYTES: Final = 4 * 1024**2
"""Bytes of all keys in a response: a URL may have 8 KB, and a page 1,000 rows."""


def answer_breakdown(query: BreakdownQuery, application: str, *, ask: Ask, now: int | None = None) -> Breakdown:
    """Return the response about `application`; `now` is the time of the query, if known. Blocks while `ask` does.

    Raises:
        BadRequest: the table has more than MAX_GROUPS rows, or the keys of the page more than MAX_KEY_BYTES.
    """
    table = _read(query, application, ask, now)
    answer: Breakdown = {
        "by": list(query.by),
        "start": query.shown.time(query.start),
        "end": query.shown.time(query.end),
        "total": _total(table.totals),
        "rows": [_row(query, key, row, table) for key, row in table.rows.items()],
        "pagination": pagination(query.rows.page, table.count),
        "estimated": table.estimated,
        "source": "events" if table.from_events else "rollup",
    }
    if query.compared:
        start, end = map(query.shown.time, query.compared)
        answer["previous"] = {"start": start, "end": end, "total": _total(table.totals_before)}
    if table.seen_precision:
        answer["seenPrecision"] = table.seen_precision
    if query.series:
        answer["seriesStarts"] = [query.shown.time(start) for start in table.series_starts]
    return answer


def answer_breakdown_rows(
    query: BreakdownQuery, application: str, *, ask: Ask, now: int | None = None
) -> list[FlatRow]:
    """Return the response as flat records: one for each row, with its dimensions and measures by name.

    With `compare`, a record also has the measures of the other period. Blocks while `ask` does.

    Raises:
        BadRequest: as `answer_breakdown`.
    """
    table = _read(query, application, ask, now)
    return [_flat_row(query, key, row, table) for key, row in table.rows.items()]


def _read(query: BreakdownQuery, application: str, ask: Ask, now: int | None) -> Table:
    scope = Scope(application, query.start, query.end, query.by, query.filters, query.search, now)
    table = read_table(query, scope, ask)
    _check_size(table.rows)
    return table


def _flat_row(query: BreakdownQuery, key: Key, row: Row, table: Table) -> FlatRow:
    figures = {name: MEASURES[name].figure(row.now, table.totals) for name in query.measures}
    flat: FlatRow = {**dict(zip(query.by, texts_of(query.by, key), strict=True)), **figures}
    if query.compared:
        compared = [name for name in query.measures if name not in SEEN]
        before = {name: MEASURES[name].figure(row.before, table.totals_before) for name in compared}
        flat |= previous_cells(compared, before)
    return flat


def _total(totals: Totals) -> BreakdownTotal:
    return {"requests": totals.requests, "errors": totals.errors}


def _row(query: BreakdownQuery, key: Key, row: Row, table: Table) -> BreakdownRow:
    now = {name: MEASURES[name].figure(row.now, table.totals) for name in query.measures}
    shown: dict[str, object] = {"key": texts_of(query.by, key), **now}
    if query.compared:
        compared = [name for name in query.measures if name not in SEEN]
        shown["previous"] = {name: MEASURES[name].figure(row.before, table.totals_before) for name in compared}
    if query.series:
        shown["series"] = row.series
    return cast("BreakdownRow", shown)  # a test compares the names


def _check_size(keys: Iterable[Key]) -> None:
    size = sum(len(str(value).encode()) for key in keys for value in key)
    if size > MAX_KEY_BYTES:
        raise BadRequest(
            f"The keys of this page have {size} bytes; at most {MAX_KEY_BYTES} are allowed: ask for a lower limit"
        )
