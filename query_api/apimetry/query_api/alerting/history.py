"""`GET /v1/alert-events` (docs/alerts.md): what all alert rules of an application did."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.alerting.response import AlertHistory
from apimetry.query_api.answering import Answering
from apimetry.query_api.http.json_values import iso_time
from apimetry.query_api.http.listing import DEFAULT_PAGE, MAX_PAGE
from apimetry.query_api.http.query_string import WHOLE_NUMBER, collect, number_in, refusal, single, time_s
from apimetry.serving.errors import BadRequest
from apimetry.store.alerts.history import Entry, Place, Span, alert_history
from apimetry.store.statement import Ask

PARAMETERS = ("start", "end", "limit", "cursor")


class AlertHistoryHandlers:
    """Handles `GET /v1/alert-events`, for read and admin keys."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.get("/v1/alert-events", self.history)]

    async def history(self, request: web.Request) -> web.Response:
        """Answer one page of the log."""
        access = await self._answering.authorize(request)
        span, limit = parse_history(request.query.items(), self._answering.now())
        return await self._answering.respond(request, access, _encoded, access.application.id, span, limit)


def parse_history(parameters: Iterable[tuple[str, str]], now: int) -> tuple[Span, int]:
    """Return the span and the number of events that a query string asks for.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    values = collect(parameters, PARAMETERS)
    start = time_s("start", single(values, "start") or "0")
    end = time_s("end", single(values, "end") or str(now))
    if start >= end:
        raise BadRequest(f"start must be before end: start is {start}, end is {end}")
    limit = number_in("limit", single(values, "limit") or str(DEFAULT_PAGE), range(1, MAX_PAGE + 1))
    cursor = single(values, "cursor")
    return Span(start, end, None if cursor is None else _place(cursor)), limit


def _encoded(ask: Ask, application: str, span: Span, limit: int) -> bytes:
    # One more than asked for tells whether there is another page.
    entries = alert_history(application, span, limit + 1, ask=ask)
    page = entries[:limit]
    answer: AlertHistory = {
        "events": [
            {
                "id": entry.place.event_id,
                "alert": entry.rule_id,
                "name": entry.name,
                "kind": entry.kind,
                "at": iso_time(entry.place.at),
                "value": entry.value,
                "threshold": entry.threshold,
                "delivery": entry.delivery,
            }
            for entry in page
        ],
        "next": _cursor(page[-1]) if len(entries) > limit else None,
    }
    return encode(answer)


def _cursor(entry: Entry) -> str:
    """Return the cursor of the page after an event: its second and its id, in base64url."""
    return base64.urlsafe_b64encode(f"{entry.place.at}:{entry.place.event_id}".encode()).decode().rstrip("=")


def _place(cursor: str) -> Place:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    at, _, event_id = text.partition(":")
    if not WHOLE_NUMBER.fullmatch(at) or not event_id:
        raise refusal("cursor", cursor, "`next` of an answer")
    return Place(int(at), event_id)
