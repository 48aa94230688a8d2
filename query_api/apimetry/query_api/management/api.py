"""Organization, applications and keys over HTTP, for admin keys (docs/api.md, "Management").

An admin key reads and changes its own organization alone. Another organization's application or key is a 404. The
accounts' snapshot has a change before its response is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from aiohttp import web

from apimetry.query_api.deletion.api import job_response
from apimetry.query_api.deletion.deletions import Deletions
from apimetry.query_api.http.json_body import read_body
from apimetry.query_api.http.listing import page_of
from apimetry.query_api.http.query_string import collect, one_of, single
from apimetry.query_api.http.store_refusals import owned, run_answered
from apimetry.query_api.management.account_bodies import (
    ApplicationChange,
    ApplicationInput,
    KeyInput,
    KeyRotation,
    OrganizationChange,
    stored_days,
    stored_target,
)
from apimetry.query_api.management.response import (
    NewKey,
    OneApplication,
    OneOrganization,
    application_json,
    key_json,
    organization_json,
)
from apimetry.serving.credentials import Access, authorize
from apimetry.serving.errors import BadRequest, Forbidden
from apimetry.serving.service import json_response
from apimetry.store.accounts.accounts import Accounts, Application, Key, KeyKind
from apimetry.store.accounts.directory import Directory
from apimetry.store.accounts.records import NO_TARGET

T = TypeVar("T")


class ManagementHandlers:
    """Handles organizations, applications and keys.

    With `_changing`, this process makes one change at a time. Between processes the last change wins.
    """

    def __init__(self, accounts: Accounts, directory: Directory, deletions: Deletions, *, plan_changes: bool) -> None:
        self._accounts = accounts
        self._deletions = deletions
        self._plan_changes = plan_changes
        self._directory = directory
        self._changing = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of management."""
        return [
            web.get("/api/applications", self.list_applications),
            web.post("/api/applications", self.create_application),
            web.get("/api/applications/{id}", self.get_application),
            web.patch("/api/applications/{id}", self.change_application),
            web.delete("/api/applications/{id}", self.delete_application),
            web.get("/api/organization", self.get_organization),
            web.patch("/api/organization", self.change_organization),
            web.get("/api/keys", self.list_keys),
            web.post("/api/keys", self.create_key),
            web.delete("/api/keys/{id}", self.revoke_key),
            web.post("/api/keys/{id}/rotate", self.rotate_key),
        ]

    async def list_applications(self, request: web.Request) -> web.Response:
        """Return one page of the organization's applications, the oldest first."""
        access = await self._authorize(request)
        applications = await self._run(lambda: self._accounts.applications(access.organization.id))
        return json_response(
            page_of(
                request.query.items(), [application_json(application) for application in applications], "applications"
            )
        )

    async def create_application(self, request: web.Request) -> web.Response:
        """Make an application: 403 if the plan allows no more of them, 400 if its retention is too long."""
        access = await self._authorize(request)
        body = await read_body(request, ApplicationInput)
        async with self._change():
            created = await self._run(
                lambda: self._accounts.create_application(
                    access.organization.id,
                    body.name,
                    application_id=body.id,
                    retention_days=stored_days(body.retention_days),
                    limits=body.limits.as_limits(),
                    target_ms=body.target_ms or NO_TARGET,
                )
            )
        return json_response(OneApplication(application=application_json(created)), status=201)

    async def get_application(self, request: web.Request) -> web.Response:
        """Return one application."""
        access = await self._authorize(request)
        application = await self._run(lambda: self._application(request, access))
        return json_response(OneApplication(application=application_json(application)))

    async def change_application(self, request: web.Request) -> web.Response:
        """Change what the body names; stored events follow a new retention in the background."""
        access = await self._authorize(request)
        body = await read_body(request, ApplicationChange)
        changes: dict[str, object] = {
            name: value for name, value in msgspec.structs.asdict(body).items() if value is not msgspec.UNSET
        }
        if not changes:
            raise BadRequest("The body names nothing to change; allowed: name, retentionDays, limits, targetMs")
        async with self._change():
            changed = await self._run(lambda: self._changed(self._application(request, access), body))
        if body.retention_days is not msgspec.UNSET:
            await self._deletions.change_retention(changed)
        return json_response(OneApplication(application=application_json(changed)))

    async def delete_application(self, request: web.Request) -> web.Response:
        """Delete an application and revoke its keys. With `events=true`, also delete its events now."""
        access = await self._authorize(request)
        values = collect(request.query.items(), ("events",))
        deletes_events = one_of("events", single(values, "events"), ("true", "false")) == "true"
        async with self._change():
            application = await self._run(lambda: self._application(request, access))
            await self._run(lambda: self._accounts.delete_application(application.id))
        if not deletes_events:
            return web.Response(status=204)
        return await job_response(self._deletions, await self._deletions.delete_application(application))

    async def get_organization(self, request: web.Request) -> web.Response:
        """Return the key's organization, with its plan."""
        access = await self._authorize(request)
        organization = await self._run(lambda: self._accounts.organization(access.organization.id))
        return json_response(OneOrganization(organization=organization_json(organization)))

    async def change_organization(self, request: web.Request) -> web.Response:
        """Change the organization's name, and its plan if the setting `plan_changes` allows it."""
        access = await self._authorize(request)
        body = await read_body(request, OrganizationChange)
        if body.name is msgspec.UNSET and body.plan is msgspec.UNSET:
            raise BadRequest("The body names nothing to change; allowed: name, plan")
        if body.plan is not msgspec.UNSET and not self._plan_changes:
            raise Forbidden("The plan is set by whoever runs this service")
        async with self._change():
            changed = await self._run(
                lambda: self._accounts.update_organization(
                    access.organization.id,
                    name=None if body.name is msgspec.UNSET else body.name,
                    plan=None if body.plan is msgspec.UNSET else body.plan.as_plan(),
                )
            )
        return json_response(OneOrganization(organization=organization_json(changed)))

    async def list_keys(self, request: web.Request) -> web.Response:
        """Return one page of the keys of the organization, or of the request's application."""
        access = await self._authorize(request)
        application_id = access.application.id if access.application else None
        keys = await self._run(lambda: self._accounts.keys(access.organization.id))
        rows = [key_json(key) for key in keys if application_id in (None, key.application_id)]
        return json_response(page_of(request.query.items(), rows, "keys"))

    async def create_key(self, request: web.Request) -> web.Response:
        """Make a key. Only this response ever has the key itself."""
        access = await self._authorize(request)
        body = await read_body(request, KeyInput)
        async with self._change():
            key, secret = await self._run(
                lambda: self._accounts.create_key(
                    access.organization.id, body.kind, application_id=body.application, name=body.name
                )
            )
        return json_response(NewKey(key=key_json(key), secret=secret), status=201)

    async def rotate_key(self, request: web.Request) -> web.Response:
        """Make a new key like an old key. The old key goes on working for a while."""
        access = await self._authorize(request)
        body = await read_body(request, KeyRotation, may_be_empty=True)
        async with self._change():
            key, secret = await self._run(
                lambda: self._accounts.rotate_key(self._key(request, access).id, body.overlap_s)
            )
        return json_response(NewKey(key=key_json(key), secret=secret), status=201)

    async def revoke_key(self, request: web.Request) -> web.Response:
        """Revoke a key, but not the organization's last admin key: without it, nobody could make another."""
        access = await self._authorize(request)
        async with self._change():
            await self._run(lambda: self._accounts.revoke_key_but_the_last(self._key(request, access).id))
        return web.Response(status=204)

    async def _authorize(self, request: web.Request) -> Access:
        return await authorize(request, self._directory, KeyKind.admin, purpose="manage applications and keys")

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[None]:
        async with self._changing:
            yield
            # The first call may join a refresh that began before the change.
            await self._directory.refresh()
            await self._directory.refresh()

    async def _run(self, call: Callable[[], T]) -> T:
        """Return the result of `call` in the store's threads; what the store refuses becomes an HTTP error."""
        return await run_answered(self._accounts.store, call)

    def _application(self, request: web.Request, access: Access) -> Application:
        name = request.match_info["id"]
        return owned(self._accounts.application(name), access, "application", name)

    def _key(self, request: web.Request, access: Access) -> Key:
        name = request.match_info["id"]
        return owned(self._accounts.key(name), access, "key with the id", name)

    def _changed(self, application: Application, body: ApplicationChange) -> Application:
        unset = msgspec.UNSET
        return self._accounts.update_application(
            application.id,
            name=None if body.name is unset else body.name,
            retention_days=stored_days(body.retention_days),
            limits=None if body.limits is unset else body.limits.as_limits(),
            target_ms=stored_target(body.target_ms),
        )
