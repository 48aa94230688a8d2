"""`GET /api/collectors` (docs/api.md, "Collectors")."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.answering import Answering
from apimetry.query_api.collectors.response import CollectorList, CollectorQuarantine, CollectorState
from apimetry.query_api.http.json_values import iso_time
from apimetry.query_api.http.query_string import collect
from apimetry.query_api.queueing.askers import client_of
from apimetry.serving.credentials import authorize
from apimetry.store.accounts.accounts import KeyKind
from apimetry.store.accounts.directory import Directory
from apimetry.store.collectors import CollectorReport, QuarantineFigures, collector_reports
from apimetry.store.statement import Ask

BEHIND_AFTER_S: Final = 60


class CollectorHandlers:
    """Handles `GET /api/collectors`, for admin keys: collectors belong to no organization."""

    def __init__(self, answering: Answering, directory: Directory) -> None:
        self._answering = answering
        self._directory = directory

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.get("/api/collectors", self.collectors)]

    async def collectors(self, request: web.Request) -> web.Response:
        """Answer the last report of every collector, by name."""
        access = await authorize(request, self._directory, KeyKind.admin, purpose="look at collectors")
        collect(request.query.items(), ())
        client = client_of(request, access.principal)
        body = await self._answering.engine.run_shared(client, _encoded)
        return web.Response(body=body, content_type="application/json")


def _encoded(ask: Ask) -> bytes:
    answer: CollectorList = {"collectors": [_collector(report) for report in collector_reports(ask=ask)]}
    return encode(answer)


def _collector(report: CollectorReport) -> CollectorState:
    figures = report.figures
    return {
        "id": report.identity.name,
        "version": report.identity.version,
        "lastReport": iso_time(int(report.at.timestamp())),
        "spoolBytes": figures.spool_bytes,
        "spoolLimitBytes": figures.spool_limit_bytes,
        "spoolFreeBytes": figures.spool_free_bytes,
        "segments": figures.segments,
        "oldestSegmentS": figures.oldest_segment_s,
        "received": figures.received,
        "stored": figures.stored,
        "rejected": dict(figures.rejected),
        "rejectedAt": {reason: iso_time(at_s) for reason, at_s in figures.rejected_at.items()},
        "quarantined": figures.quarantined,
        "quarantine": _quarantine(figures.quarantine),
        "state": _state(report),
    }


def _quarantine(figures: QuarantineFigures | None) -> CollectorQuarantine | None:
    if figures is None:
        return None
    return {"pieces": figures.pieces, "rows": figures.rows, "newestReason": figures.newest_reason}


def _state(report: CollectorReport) -> str:
    if report.is_silent:
        return "silent"
    if not report.figures.has_room:
        return "full"
    return "behind" if report.figures.oldest_segment_s > BEHIND_AFTER_S else "ok"
