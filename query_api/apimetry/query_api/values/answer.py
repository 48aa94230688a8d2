"""Answer a question for values (docs/api.md, "Values")."""

from __future__ import annotations

from dataclasses import replace

from apimetry.query_api.http.json_values import iso_time
from apimetry.query_api.planning.filters import EVENT_FIELDS
from apimetry.query_api.values import sql
from apimetry.query_api.values.params import ValuesQuery
from apimetry.query_api.values.response import Values
from apimetry.store.statement import Ask


def answer_values(
    query: ValuesQuery,
    application: str,
    *,
    ask: Ask,
    now: int | None = None,
    newest_events: int = sql.NEWEST_EVENTS,
) -> Values:
    """Return the response about `application`. Blocks while `ask` does.

    Args:
        query: the query.
        application: the application's id.
        ask: runs a statement.
        now: the time of the query in seconds, if it is known.
        newest_events: events whose values are searched, of a field that no rollup has.
    """
    is_narrowed = query.field in EVENT_FIELDS
    if is_narrowed:
        ((minute_s,),) = ask(sql.newest(query, application, newest_events, now))
        query = replace(query, start=max(query.start, minute_s))
    rows = ask(sql.values(query, application, now))
    answer: Values = {
        "field": query.field,
        "values": [
            {"value": value, "requests": requests, "lastSeen": iso_time(seen_us // 1_000_000)}
            for value, requests, seen_us in rows[: query.limit]
        ],
        "more": len(rows) > query.limit,
    }
    if is_narrowed:
        answer["searched"] = {"start": query.start}
    return answer
