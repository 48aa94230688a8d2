"""A running query service with two organizations, for tests over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp.test_utils import TestClient

from apimetry.collector.openapi import describe
from apimetry.collector.settings import CollectorSettings, SpoolSettings
from apimetry.query_api.app import create_app
from apimetry.query_api.dashboard.files import Files
from apimetry.query_api.settings import QuerySettings
from apimetry.store.accounts.accounts import Accounts, KeyKind, Plan
from apimetry.store.accounts.directory import Directory
from apimetry.store.accounts.tokens import Tokens
from tests.support.services.front_door import ListeningServer

COLLECTOR_API = describe(CollectorSettings(spool=SpoolSettings(directory=Path("spool"))))
HEADER_STYLES = {
    "X-API-Key": lambda key, application: {"X-API-Key": key},
    "Authorization": lambda key, application: {"Authorization": f"Bearer {key}"},
    "X-Auth-Key": lambda key, application: {"X-Auth-User": application, "X-Auth-Key": key},
}
PHRASES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: ("Request Entity Too Large", "Content Too Large"),
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


@dataclass
class QueryService:
    """The service at `client`; `shop` belongs to one organization, `theirs` to another."""

    client: TestClient
    app: object
    accounts: Accounts
    directory: Directory
    organization_id: str
    their_organization_id: str
    keys: dict

    async def get(self, path, key="read", style="X-API-Key", **arguments):
        return await self.request("GET", path, key, style, **arguments)

    async def request(self, method, path, key="admin", style="X-API-Key", **arguments):
        headers = arguments.pop("headers", {})
        if key is not None:
            application = "theirs" if key.startswith("their") else "shop"
            headers = {**HEADER_STYLES[style](self.keys.get(key, key), application), **headers}
        return await self.client.request(method, path, headers=headers, **arguments)

    async def answer(self, path, key="read"):
        """The JSON of a question that must succeed."""
        response = await self.get(path, key)
        assert response.status == 200, await response.text()
        return await response.json()

    async def deleted(self, path, key="admin", **arguments):
        """Delete events of an application; return the job when it is done. A slow machine answers before that."""
        response = await self.request("DELETE", path, key, **arguments)
        assert response.status in (200, 202), await response.text()
        return await self.ended((await response.json())["job"], key)

    async def ended(self, job, key="admin"):
        """The job when it is done."""
        while job["state"] != "done":
            await asyncio.sleep(0.05)
            job = (await self.answer(f"/api/jobs/{job['id']}", key))["job"]
        return job


@contextlib.asynccontextmanager
async def running_query_service(store, settings=None, **options):
    accounts = Accounts(store)
    plan = Plan("small", max_applications=3, max_retention_days=365)
    own, foreign = accounts.create_organization("Ours", plan), accounts.create_organization("Theirs")
    accounts.create_application(own.id, "Shop", application_id="shop", retention_days=365)
    accounts.create_application(foreign.id, "Theirs", application_id="theirs")
    keys = {
        "admin": accounts.create_key(own.id, KeyKind.admin)[1],
        "read": accounts.create_key(own.id, KeyKind.read, application_id="shop")[1],
        "write": accounts.create_key(own.id, KeyKind.write, application_id="shop")[1],
        "their admin": accounts.create_key(foreign.id, KeyKind.admin)[1],
        "their read": accounts.create_key(foreign.id, KeyKind.read, application_id="theirs")[1],
    }
    directory = Directory(accounts, tokens=Tokens(store))
    await directory.start()
    # What happens by the clock happens in the tests that ask for it.
    settings = settings or QuerySettings(evaluate_alerts=False)
    # Without a dashboard, unless a test brings one: what a checkout has built must not change an answer.
    options.setdefault("dashboard", Files(Path("no-dashboard")))
    app = create_app(store, directory, settings, collector=COLLECTOR_API, **options)
    client = TestClient(ListeningServer(app))
    await client.start_server()
    try:
        yield QueryService(client, app, accounts, directory, own.id, foreign.id, keys)
    finally:
        await client.close()
        await directory.close()


async def assert_error(response, status, *parts, **extra):
    """Assert that an answer is an error in the one shape whose message has all of `parts`."""
    text = await response.text()
    assert response.status == status, text
    assert response.content_type == "application/json"
    body = await response.json()
    assert set(body) - {"details"} == {"error", "message", *extra}
    assert {name: body[name] for name in extra} == extra
    assert body["error"] in PHRASES[status]
    for part in parts:
        assert str(part) in body["message"], body["message"]
    for secret in ("SELECT", "Traceback", "apimetry_a_", "apimetry_r_", "apimetry_w_", "apimetry_t_"):
        assert secret not in text
    return body
