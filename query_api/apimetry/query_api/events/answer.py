"""Answer questions about single events: ask the store, and shape its rows (docs/api.md, "Single events")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from apimetry.query_api.events.params import EventsQuery
from apimetry.query_api.events.positions import Cursor, Position, cursor_text, event_id
from apimetry.query_api.events.response import EventsPage, StoredEvent
from apimetry.query_api.events.search import SECOND_US, Bounds, Search
from apimetry.query_api.events.sql import one_event
from apimetry.store.statement import Ask


def answer_page(
    query: EventsQuery, application: str, *, ask: Ask, clock: Callable[[], float], bounds: Bounds
) -> EventsPage:
    """Return a page of events about `application`. Blocks while `ask` does."""
    page = Search(query, application, ask, clock=clock, bounds=bounds).run()
    start, end = page.searched
    return {
        "events": [stored_event(position, query.fields, row) for position, row in page.events],
        "next": cursor_text(Cursor(page.next, query.start, query.end)) if page.next else None,
        "searched": {"start": start, "end": end},
        "complete": page.complete,
    }


def answer_event(position: Position, query: EventsQuery, application: str, *, ask: Ask) -> StoredEvent | None:
    """Return the event that lies before `position`, or None if it is not stored. Blocks while `ask` does."""
    for _, _, *row in ask(one_event(query, application, position)):
        return stored_event(position, query.fields, row)
    return None


def stored_event(position: Position, fields: tuple[str, ...], row: Sequence[Any]) -> StoredEvent:
    """Return one event; `row` has its `fields` except the time."""
    values = iter(row)
    event: dict[str, Any] = {"id": event_id(position)}
    for name in fields:
        event[name] = position.timestamp_us / SECOND_US if name == "timestamp" else next(values)
    return event  # type: ignore[return-value] # `fields` are names of its members
