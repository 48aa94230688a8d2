"""`GET /v1/events` and `GET /v1/events/{id}` (docs/api.md, "Single events")."""

from __future__ import annotations

import time
from dataclasses import replace

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.answering import Answering
from apimetry.query_api.events.answer import answer_event, answer_page
from apimetry.query_api.events.params import FIELDS, EventsQuery, parse_events, parse_one_event
from apimetry.query_api.events.positions import Position, position_of_id
from apimetry.query_api.events.search import SECOND_US, Bounds
from apimetry.query_api.planning.narrowing import narrowed, shown_fields
from apimetry.serving.credentials import ApplicationAccess
from apimetry.serving.errors import NotFound
from apimetry.store.statement import Ask

_SHOWN_CHARACTERS = 80


class EventsHandlers:
    """Handles questions about single events."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of single events."""
        return [web.get("/v1/events", self.page), web.get("/v1/events/{id}", self.event)]

    async def page(self, request: web.Request) -> web.Response:
        """Answer with a page of events."""
        access = await self._answering.authorize(request, takes_links=True)
        query = _within(parse_events(request.query.items(), self._answering.now()), access)
        return await self._answering.respond(request, access, _encoded_page, query, access.application.id)

    async def event(self, request: web.Request) -> web.Response:
        """Answer with one event."""
        access = await self._answering.authorize(request, takes_links=True)
        query = _within(parse_one_event(request.query.items()), access)
        event_id = request.match_info["id"]
        position = position_of_id(event_id)
        if position is None or position.timestamp_us < query.start * SECOND_US:
            raise _not_found(event_id)
        application = access.application.id
        return await self._answering.respond(request, access, _encoded_event, position, event_id, query, application)


def _within(query: EventsQuery, access: ApplicationAccess) -> EventsQuery:
    """Return the query within what a link binds."""
    fixed = access.principal.fixed
    return narrowed(replace(query, fields=shown_fields(query.fields, FIELDS, fixed)), fixed)


def _encoded_page(ask: Ask, query: EventsQuery, application: str) -> bytes:
    return encode(answer_page(query, application, ask=ask, clock=time.monotonic, bounds=Bounds()))


def _encoded_event(ask: Ask, position: Position, event_id: str, query: EventsQuery, application: str) -> bytes:
    event = answer_event(position, query, application, ask=ask)
    if event is None:
        raise _not_found(event_id)
    return encode(event)


def _not_found(event_id: str) -> NotFound:
    return NotFound(
        f"There is no event {event_id[:_SHOWN_CHARACTERS]!r}; the retention or a deletion may have taken it"
    )
