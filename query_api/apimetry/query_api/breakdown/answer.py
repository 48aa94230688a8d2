"""Answers a breakdown (docs/api.md, "Breakdown"): asks the store, and makes JSON of its rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from apimetry.query_api.breakdown.measures import MEASURES, Sums, Totals
from apimetry.query_api.breakdown.params import BreakdownQuery
from apimetry.query_api.breakdown.reading import read_table
from apimetry.query_api.breakdown.response import Breakdown, BreakdownRow
from apimetry.query_api.breakdown.scope import Key, Scope, texts_of
from apimetry.query_api.http.listing import pagination
from apimetry.serving.errors import BadRequest
from apimetry.store.statement import Ask

MAX_KEY_BYTES: Final = 4 * 1024**2
"""Bytes of all keys in a response: a URL may have 8 KB, and a page 1,000 rows."""


def answer_breakdown(query: BreakdownQuery, application: str, *, ask: Ask, now: int | None = None) -> Breakdown:
    """Return the response about `application`; `now` is the time of the query, if known. Blocks while `ask` does.

    Raises:
        BadRequest: the table has more than MAX_GROUPS rows, or the keys of the page more than MAX_KEY_BYTES.
    """
    scope = Scope(application, query.start, query.end, query.by, query.filters, query.search, now)
    table = read_table(scope, query.measures, query.rows, ask)
    _check_size(table.rows)
    return {
        "by": list(query.by),
        "start": query.start,
        "end": query.end,
        "total": {"requests": table.totals.requests, "errors": table.totals.errors},
        "rows": [_row(query, key, sums, table.totals) for key, sums in table.rows.items()],
        "pagination": pagination(query.rows.page, table.count),
        "estimated": table.estimated,
        "source": "events" if table.from_events else "rollup",
    }


def _row(query: BreakdownQuery, key: Key, sums: Sums, totals: Totals) -> BreakdownRow:
    figures = {name: MEASURES[name].figure(sums, totals) for name in query.measures}
    return {"key": texts_of(query.by, key), **figures}  # type: ignore[typeddict-item] # a test compares the names


def _check_size(keys: Iterable[Key]) -> None:
    size = sum(len(str(value).encode()) for key in keys for value in key)
    if size > MAX_KEY_BYTES:
        raise BadRequest(
            f"The keys of this page have {size} bytes; at most {MAX_KEY_BYTES} are allowed: ask for a lower limit"
        )
