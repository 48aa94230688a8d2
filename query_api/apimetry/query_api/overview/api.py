"""The endpoints about an organization and its buckets (docs/api.md, "Organization API")."""

from __future__ import annotations

from aiohttp import web

from apimetry.query_api.answering import Answering
from apimetry.query_api.http.listing import page_of
from apimetry.query_api.http.query_string import collect, one_of, single
from apimetry.query_api.http.store_refusals import owned
from apimetry.query_api.overview.answer import (
    DEFAULT_PERIOD,
    Account,
    answer_bucket,
    answer_overview,
    bucket_summaries,
)
from apimetry.query_api.overview.response import PERIODS, Bucket, BucketSummary, Overview
from apimetry.query_api.queueing.askers import client_of
from apimetry.serving.credentials import authorize
from apimetry.serving.service import json_response
from apimetry.store.accounts.accounts import Accounts, Application, KeyKind, Organization
from apimetry.store.accounts.directory import Directory
from apimetry.store.statement import Ask
from apimetry.store.storage import StorageLocation

_NO_STORE = {"Cache-Control": "no-store"}


class OverviewHandlers:
    """The handlers."""

    def __init__(self, answering: Answering, accounts: Accounts, directory: Directory) -> None:
        self._engine = answering.engine
        self._accounts = accounts
        self._directory = directory
        self._now = answering.now
        self._location = StorageLocation(accounts.store.database, accounts.store.cluster)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of organizations and buckets."""
        return [
            web.get("/api/analytics/overview", self.overview),
            web.get("/api/analytics/buckets/{id}", self.bucket),
            web.get("/api/buckets", self.buckets),
        ]

    async def overview(self, request: web.Request) -> web.Response:
        """Answer the organization's figures at a glance."""
        access = await authorize(request, self._directory, KeyKind.admin, purpose="access organization analytics")
        collect(request.query.items(), ())
        applications = self._directory.applications_of(access.organization.id)
        client = client_of(request, access.principal)
        answer = await self._engine.run(client, self._overview, access.organization, applications, self._now())
        return json_response(answer, headers=_NO_STORE)

    async def buckets(self, request: web.Request) -> web.Response:
        """Answer one page of the organization's buckets, the oldest first."""
        access = await authorize(request, self._directory, KeyKind.admin, purpose="list buckets")
        applications = self._directory.applications_of(access.organization.id)
        page = page_of(request.query.items(), applications, "buckets")
        client = client_of(request, access.principal)
        rows = await self._engine.run(client, self._bucket_summaries, page["buckets"], self._now())
        return json_response({**page, "buckets": rows}, headers=_NO_STORE)

    async def bucket(self, request: web.Request) -> web.Response:
        """Answer one bucket's figures over a period; a read key sees its own alone."""
        access = await authorize(
            request, self._directory, KeyKind.read, KeyKind.admin, purpose="access bucket analytics"
        )
        values = collect(request.query.items(), ("period",))
        period = one_of("period", single(values, "period"), tuple(PERIODS)) or DEFAULT_PERIOD
        name = request.match_info["id"]
        # A read key sees its own application alone.
        is_hidden = access.principal.application_id not in (None, name)
        application = owned(None if is_hidden else self._directory.application(name), access, "bucket", name)
        client = client_of(request, access.principal)
        answer = await self._engine.run(client, self._bucket, application, period, self._now())
        return json_response(answer, headers=_NO_STORE)

    def _overview(self, ask: Ask, organization: Organization, applications: list[Application], now: int) -> Overview:
        keys = sum(key.revoked_at is None for key in self._accounts.keys(organization.id))
        return answer_overview(Account(organization, applications, keys), self._location, ask=ask, now=now)

    def _bucket_summaries(self, ask: Ask, applications: list[Application], now: int) -> list[BucketSummary]:
        return bucket_summaries(applications, ask=ask, now=now)

    def _bucket(self, ask: Ask, application: Application, period: str, now: int) -> Bucket:
        return answer_bucket(application, period, ask=ask, now=now)
