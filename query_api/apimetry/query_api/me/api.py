"""`GET /v1/me` (docs/api.md, "Who asks")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version

from aiohttp import web

from apimetry.query_api.answering import Answering
from apimetry.query_api.http.json_values import iso_datetime, iso_or_none, iso_time
from apimetry.query_api.http.query_string import collect
from apimetry.query_api.me.figures import Figures, KeptFigures, read_figures
from apimetry.query_api.me.response import Binding, KnownApplication, Me
from apimetry.query_api.queueing.askers import client_of
from apimetry.query_api.settings import QuerySettings
from apimetry.serving.credentials import Access, authorize
from apimetry.serving.service import json_response
from apimetry.store.accounts.accounts import Application, KeyKind, RequestLimits
from apimetry.store.accounts.directory import Directory, Principal
from apimetry.store.accounts.records import days_or_none
from apimetry.store.accounts.token_records import Fixed


class MeHandlers:
    """Handles `GET /v1/me`: the accounts come from the directory, and the figures are seconds old at most."""

    def __init__(self, answering: Answering, directory: Directory, settings: QuerySettings) -> None:
        self._answering = answering
        self._directory = directory
        self._collector_url = settings.collector_url
        self._trace_url = settings.trace_url
        self._kept = KeptFigures()

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.get("/v1/me", self.me)]

    async def me(self, request: web.Request) -> web.Response:
        """Answer who the key is, and what is stored of its applications."""
        access = await authorize(
            request, self._directory, KeyKind.read, KeyKind.admin, purpose="ask about themselves", takes_links=True
        )
        collect(request.query.items(), ())
        applications = self._applications(access)
        now = self._answering.now()
        figures = await self._figures(request, access, applications, now)
        return json_response(self._answer(access, applications, figures, now))

    def _applications(self, access: Access) -> list[Application]:
        """Return the key's applications: a read key has one."""
        own = access.principal.application_id
        applications = self._directory.applications_of(access.organization.id)
        return [application for application in applications if own in (None, application.id)]

    async def _figures(
        self, request: web.Request, access: Access, applications: list[Application], now: int
    ) -> Mapping[str, Figures]:
        fresh = self._kept.fresh(now)
        missing = tuple(application.id for application in applications if application.id not in fresh)
        if not missing:
            return fresh
        client = client_of(request, access.principal)
        read = await self._answering.engine.run_shared(client, read_figures, missing)
        self._kept.keep(read, now)
        return fresh | read

    def _answer(
        self, access: Access, applications: list[Application], figures: Mapping[str, Figures], now: int
    ) -> Me:
        return {
            "kind": access.principal.kind.value,
            "keyId": access.principal.key_id,
            "expiresAt": iso_or_none(access.principal.expires_at),
            "organization": {"id": access.organization.id, "name": access.organization.name},
            "applications": [
                _application(application, figures[application.id], now, access.principal.fixed)
                for application in applications
            ],
            "fixed": _binding(access.principal),
            "collectorUrl": self._collector_url,
            "traceUrl": self._trace_url if access.principal.fixed is None else None,
            "version": version("apimetry"),
            "now": now,
        }


def _binding(principal: Principal) -> Binding | None:
    fixed = principal.fixed
    if fixed is None or principal.expires_at is None:
        return None

    def shown(texts: Sequence[str]) -> list[str]:
        return [text for text in texts if text.partition(":")[0] not in fixed.hides]

    consumers = [text for text in fixed.include if text.startswith("consumer_id:")]
    return {
        "include": shown(fixed.include),
        "exclude": shown(fixed.exclude),
        "notBefore": fixed.not_before,
        "until": iso_datetime(principal.expires_at),
        "hides": list(fixed.hides),
        "pages": list(fixed.pages),
        "range": fixed.range,
        "oneConsumer": len(consumers) == 1,
    }


def _application(application: Application, figures: Figures, now: int, fixed: Fixed | None) -> KnownApplication:
    """Return the JSON of an application. What is stored of it is no business of a link, which may show a part."""
    if fixed is not None:
        figures = replace(figures, first_us=fixed.not_before and fixed.not_before * 1_000_000, last_us=None)
        application = replace(application, limits=RequestLimits())
    return {
        "id": application.id,
        "name": application.name,
        "retentionDays": days_or_none(application.retention_days),
        "limits": {
            "requestsPerMinute": application.limits.per_minute,
            "requestsPerHour": application.limits.per_hour,
            "requestsPerDay": application.limits.per_day,
        },
        "firstEventAt": _time(figures.first_us, now),
        "lastEventAt": _time(figures.last_us, now),
        "recorded": {
            "consumers": figures.has_consumers,
            "versions": figures.has_versions,
            "errorTypes": figures.has_error_types,
            "urls": figures.has_urls,
            "sampled": figures.is_sampled,
        },
    }


def _time(time_us: int | None, now: int) -> str | None:
    """Return a time as ISO 8601; a sender's clock may run ahead of ours."""
    return None if time_us is None else iso_time(min(time_us // 1_000_000, now))
