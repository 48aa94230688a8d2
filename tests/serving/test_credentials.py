from __future__ import annotations

from datetime import datetime, timezone

import pytest
from aiohttp import web

from apimetry.serving.credentials import authorize, authorize_application, key_in
from apimetry.serving.errors import error_middleware
from apimetry.store.accounts.accounts import Application, KeyKind, Organization, Plan, RequestLimits
from apimetry.store.accounts.directory import Principal

NOW = datetime(2024, 1, 1, tzinfo=timezone.utc)


class FixedDirectory:
    """A directory of two organizations; the name of a key is the kind of the key."""

    def __init__(self):
        plan = Plan()
        self._organizations = {name: Organization(name, name, plan, NOW) for name in ("ours", "theirs")}
        self._applications = {
            name: Application(name, owner, name, 30, RequestLimits(), NOW)
            for name, owner in [("shop", "ours"), ("blog", "ours"), ("other", "theirs")]
        }
        self._keys = {
            "admin": Principal(KeyKind.admin, "1", "ours", None),
            "write": Principal(KeyKind.write, "2", "ours", "shop"),
            "read": Principal(KeyKind.read, "3", "ours", "shop"),
            "orphan": Principal(KeyKind.read, "4", "ours", "deleted"),
        }

    async def find(self, secret):
        return self._keys.get(secret)

    def organization(self, organization_id):
        return self._organizations.get(organization_id)

    def application(self, application_id):
        return self._applications.get(application_id)


@pytest.fixture
async def client(aiohttp_client_of):
    directory = FixedDirectory()

    async def one(request):
        access = await authorize_application(request, directory, KeyKind.read, KeyKind.admin, purpose="read")
        return web.json_response(access.application.id)

    async def whole(request):
        access = await authorize(request, directory, KeyKind.admin, purpose="manage")
        return web.json_response(access.application and access.application.id)

    app = web.Application(middlewares=[error_middleware])
    app.router.add_get("/one", one)
    app.router.add_get("/whole", whole)
    return await aiohttp_client_of(app)


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"X-API-Key": "k"}, "k"),
        ({"Authorization": "Bearer k"}, "k"),
        ({"Authorization": "bearer  k"}, "k"),
        ({"X-Auth-User": "shop", "X-Auth-Key": "k"}, "k"),
        ({"Authorization": "Basic k", "X-API-Key": "own"}, "own"),
        ({"Authorization": "Basic k"}, None),
        ({"Authorization": "Bearer "}, None),
        ({"X-API-Key": "  "}, None),
        ({}, None),
    ],
)
def test_key_is_read_from_any_of_the_three_headers(headers, key):
    assert key_in(headers) == key


@pytest.mark.parametrize(
    ("path", "headers", "status", "answer"),
    [
        ("/one", {"X-API-Key": "read"}, 200, "shop"),
        ("/one", {"Authorization": "Bearer read"}, 200, "shop"),
        ("/one", {"X-Auth-User": "shop", "X-Auth-Key": "read"}, 200, "shop"),
        ("/one?application=shop", {"X-API-Key": "read"}, 200, "shop"),
        ("/one?application=", {"X-API-Key": "read"}, 200, "shop"),
        ("/one?application=blog", {"X-API-Key": "admin"}, 200, "blog"),
        ("/one", {"X-Auth-User": "blog", "X-Auth-Key": "admin"}, 200, "blog"),
        ("/whole", {"X-API-Key": "admin"}, 200, None),
        ("/whole?application=blog", {"X-API-Key": "admin"}, 200, "blog"),
        ("/one", {}, 401, "Invalid or missing API key"),
        ("/one", {"X-API-Key": "unknown"}, 401, "Invalid or missing API key"),
        ("/one", {"X-API-Key": "orphan"}, 401, "Invalid or missing API key"),
        ("/one", {"X-Auth-User": "blog", "X-Auth-Key": "read"}, 401, "Invalid or missing API key"),
        ("/one", {"X-Auth-User": "other", "X-Auth-Key": "admin"}, 401, "Invalid or missing API key"),
        ("/one", {"X-Auth-User": "nobody", "X-Auth-Key": "admin"}, 401, "Invalid or missing API key"),
        ("/one", {"X-API-Key": "write"}, 403, "Only Read and Admin keys can read"),
        ("/whole", {"X-API-Key": "read"}, 403, "Only Admin keys can manage"),
        ("/one?application=blog", {"X-API-Key": "read"}, 403, "This key belongs to another application"),
        ("/one?application=other", {"X-API-Key": "admin"}, 404, "No application 'other' in this organization"),
        (
            "/one?application=shop",
            {"X-Auth-User": "blog", "X-Auth-Key": "admin"},
            400,
            "X-Auth-User and application name two applications: 'blog' and 'shop'",
        ),
        (
            "/one",
            {"X-API-Key": "admin"},
            400,
            "An admin key must name the application: add ?application=ID, or the header X-Auth-User: ID",
        ),
    ],
)
async def test_key_reaches_only_what_its_kind_and_application_allow(client, path, headers, status, answer):
    response = await client.get(path, headers=headers)
    body = await response.json()
    assert response.status == status, body
    assert (body if status == 200 else body["message"]) == answer
