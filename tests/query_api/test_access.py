"""Who may do what: every route of the service, every kind of key, all three ways to send one."""

from __future__ import annotations

import pytest

from apimetry.query_api.dashboard.api import PAGES
from tests.support.oracles.query_events import Event, insert_events
from tests.support.services.keys import UNKNOWN_READ_KEY
from tests.support.services.query_service import HEADER_STYLES, assert_error

ANYONE = frozenset({None, "admin", "write", "read"})
QUERYING = frozenset({"admin", "read"})
ADMIN = frozenset({"admin"})
# What a link is answered, within what it binds: `sharing/test_links.py` shows that it is no more.
LINKED = {
    ("GET", "/1/timeseries/{start}/{end}"),
    ("GET", "/1/timeseries/{start}/{end}/"),
    ("GET", "/v1/me"),
    ("GET", "/v1/events"),
    ("GET", "/v1/events/{id}"),
    ("GET", "/v1/summary"),
    ("GET", "/v1/latency"),
    ("GET", "/v1/breakdown"),
    ("GET", "/v1/values"),
    ("GET", "/v1/versions"),
    ("GET", "/v1/explain"),
    ("GET", "/v1/events/live"),
    ("GET", "/v1/export/events"),
}
# Signing out takes a session, and signing in by a code takes no key. `sharing/test_sessions.py` has what they answer.
SESSIONS: frozenset[str] = frozenset()
BY_CODE = frozenset({None, "by code"})
# The service of these tests has no dashboard: nobody finds its files.
BUILT = ("/assets/{name}", "/licenses.txt", "/s/{id}", "/embed/{id}")
# A route that is missing here fails the test below.
MAY = {
    ("GET", "/1/timeseries/{start}/{end}"): QUERYING,
    ("GET", "/1/timeseries/{start}/{end}/"): QUERYING,
    ("GET", "/v1/me"): QUERYING,
    ("GET", "/v1/quality"): QUERYING,
    ("GET", "/api/collectors"): ADMIN,
    ("GET", "/v1/developer/usage"): QUERYING,
    ("GET", "/v1/events"): QUERYING,
    ("GET", "/v1/events/live"): QUERYING,
    ("GET", "/v1/summary"): QUERYING,
    ("GET", "/v1/latency"): QUERYING,
    ("GET", "/v1/events/{id}"): QUERYING,
    ("GET", "/v1/breakdown"): QUERYING,
    ("GET", "/v1/values"): QUERYING,
    ("GET", "/v1/versions"): QUERYING,
    ("GET", "/v1/explain"): QUERYING,
    ("GET", "/v1/export/events"): QUERYING,
    ("GET", "/v1/developer/insights"): QUERYING,
    ("GET", "/api/analytics/overview"): ADMIN,
    ("GET", "/api/analytics/buckets/{id}"): QUERYING,
    ("GET", "/api/buckets"): ADMIN,
    ("GET", "/api/organization"): ADMIN,
    ("PATCH", "/api/organization"): ADMIN,
    ("GET", "/api/applications"): ADMIN,
    ("POST", "/api/applications"): ADMIN,
    ("GET", "/api/applications/{id}"): ADMIN,
    ("PATCH", "/api/applications/{id}"): ADMIN,
    ("DELETE", "/api/applications/{id}"): ADMIN,
    ("GET", "/api/keys"): ADMIN,
    ("POST", "/api/keys"): ADMIN,
    ("DELETE", "/api/keys/{id}"): ADMIN,
    ("POST", "/api/keys/{id}/rotate"): ADMIN,
    ("POST", "/v1/session"): QUERYING,
    ("DELETE", "/v1/session"): SESSIONS,
    ("POST", "/v1/sign-in"): BY_CODE,
    ("GET", "/api/sessions"): ADMIN,
    ("POST", "/api/shares"): QUERYING,
    ("GET", "/api/shares"): QUERYING,
    ("DELETE", "/api/shares/{id}"): QUERYING,
    ("DELETE", "/api/sessions/{id}"): ADMIN,
    ("GET", "/api/alerts"): QUERYING,
    ("POST", "/api/alerts"): ADMIN,
    ("GET", "/api/alerts/{id}"): QUERYING,
    ("PATCH", "/api/alerts/{id}"): ADMIN,
    ("DELETE", "/api/alerts/{id}"): ADMIN,
    ("POST", "/api/alerts/{id}/rotate"): ADMIN,
    ("GET", "/api/alerts/{id}/events"): QUERYING,
    ("POST", "/api/alerts/preview"): QUERYING,
    ("POST", "/api/alerts/{id}/test"): ADMIN,
    ("GET", "/v1/alert-events"): QUERYING,
    ("DELETE", "/api/applications/{id}/events"): ADMIN,
    ("DELETE", "/api/applications/{id}/consumers"): ADMIN,
    ("DELETE", "/api/applications/{id}/consumers/{consumer}"): ADMIN,
    ("GET", "/api/jobs"): ADMIN,
    ("GET", "/api/jobs/{id}"): ADMIN,
    ("GET", "/"): ANYONE,
    **{("GET", f"/{page}"): ANYONE for page in PAGES},
    **{("GET", path): ANYONE for path in BUILT},
    ("GET", "/docs"): ANYONE,
    ("GET", "/openapi.json"): ANYONE,
    ("GET", "/health"): ANYONE,
    ("GET", "/ready"): ANYONE,
    ("GET", "/metrics"): ANYONE,
}
# Ids that do not exist: a test of who may delete deletes nothing.
NOBODY = {"start": "0", "end": "10", "id": "nobody", "consumer": "nobody", "name": "nobody"}


def extra_of(path):
    """The developer usage API adds a member to its errors."""
    return {"success": False} if path.startswith("/v1/developer/") else {}


def routes_of(app):
    return {(r.method, r.resource.canonical) for r in app.router.routes() if r.method != "HEAD"}


async def test_every_route_says_who_may_use_it(embedded_service):
    assert routes_of(embedded_service.app) == set(MAY)


async def test_each_kind_of_key_may_do_what_it_may_in_each_style_and_no_more(embedded_service):
    for (method, template), allowed in MAY.items():
        path = template.format(**NOBODY)
        for kind in ("admin", "write", "read"):
            for style in HEADER_STYLES if allowed is not BY_CODE else ():
                response = await embedded_service.request(method, path, kind, style)
                if kind in allowed:
                    assert response.status not in (401, 403, 500), (method, path, kind, style)
                else:
                    await assert_error(response, 403, "Only ", **extra_of(path))


@pytest.mark.parametrize("key", [None, UNKNOWN_READ_KEY, "", "ü", "x" * 5000])
async def test_no_key_and_a_wrong_key_are_refused_everywhere(embedded_service, key):
    for (method, template), allowed in MAY.items():
        response = await embedded_service.request(method, template.format(**NOBODY), key)
        if allowed is BY_CODE:
            await assert_error(response, 415)
        elif allowed is ANYONE:
            assert response.status == (404 if template in BUILT else 200)
        else:
            extra = extra_of(template)
            body = await assert_error(response, 401, **extra)
            assert body == {**extra, "error": "Unauthorized", "message": "Invalid or missing API key"}


async def test_a_session_may_do_what_its_key_may_and_no_more(embedded_service):
    tokens = {}
    for kind in ("admin", "read"):
        response = await embedded_service.request("POST", "/v1/session", kind)
        tokens[kind] = (await response.json())["token"]
    last = ("DELETE", "/v1/session")
    for (method, template), allowed in sorted(MAY.items(), key=lambda row: row[0] == last):
        for kind, token in tokens.items() if allowed is not BY_CODE else ():
            response = await embedded_service.request(method, template.format(**NOBODY), token)
            if template == "/v1/session":
                assert response.status == (204 if method == "DELETE" else 403)
            elif kind in allowed:
                assert response.status not in (401, 403, 500), (method, template, kind)
            else:
                await assert_error(response, 403, "Only ", **extra_of(template))


async def test_a_link_may_ask_what_it_shows_and_nothing_else_of_all_paths(embedded_service):
    for body in ({"hides": [], "pages": ["requests"]}, {"include": ["consumer_id:acme"], "pages": ["requests"]}):
        response = await embedded_service.request("POST", "/api/shares", json={"application": "shop", **body})
        token = (await response.json())["path"].partition("#")[2]
        for (method, template), allowed in MAY.items():
            for style in HEADER_STYLES if allowed not in (ANYONE, BY_CODE) else ():
                # A link exports a bounded number of events.
                path = template.format(**NOBODY) + ("?limit=10" if "export" in template else "")
                response = await embedded_service.request(method, path, token, style)
                if (method, template) in LINKED:
                    assert response.status not in (401, 403, 500), (method, template, style)
                else:
                    await assert_error(response, 403, "Only ", **extra_of(template))
        for path in ("/v1/summary?application=theirs", "/v1/me?application=theirs"):
            await assert_error(await embedded_service.get(path, token), 403)


async def test_a_cookie_is_no_key(embedded_service):
    key = embedded_service.keys["read"]
    cookies = dict.fromkeys(("X-API-Key", "Authorization", "session", "token", "apimetry"), key)
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    await assert_error(await embedded_service.get("/v1/me", None, headers={"Cookie": cookie}), 401)


async def test_a_body_is_read_after_its_sender_is_known(embedded_service):
    for (method, template), allowed in MAY.items():
        if method in ("POST", "PATCH") and allowed is ADMIN:
            response = await embedded_service.request(
                method, template.format(**NOBODY), "read", data=b"x" * 1_000_000
            )
            await assert_error(response, 403)


async def test_an_admin_key_must_name_the_application_where_one_is_asked_about(embedded_service):
    await assert_error(await embedded_service.get("/1/timeseries/0/10/", "admin"), 400, "?application=ID")
    assert (await embedded_service.get("/1/timeseries/0/10/?application=shop", "admin")).status == 200
    assert (await embedded_service.get("/1/timeseries/0/10/", "admin", "X-Auth-Key")).status == 200


async def test_no_key_reaches_across_applications_or_organizations(service):
    insert_events(
        service.accounts.store, [Event(timestamp=1_413_295_200_000_000), Event("theirs", 1_413_295_200_000_000)]
    )
    path = "/1/timeseries/1413295200/1413295201/"
    assert (await service.answer(path))["groups"] == {"shop": [[1413295200, 1]]}
    assert (await service.answer(path, "their read"))["groups"] == {"theirs": [[1413295200, 1]]}
    await assert_error(await service.get(f"{path}?application=theirs"), 403)
    await assert_error(await service.get(f"{path}?application=theirs", "admin"), 404)
    await assert_error(await service.get(f"{path}?application=nobody", "admin"), 404)
    for key in ("admin", "read"):
        response = await service.client.get(path, headers={"X-Auth-User": "theirs", "X-Auth-Key": service.keys[key]})
        await assert_error(response, 401)


async def test_an_admin_can_neither_see_nor_touch_what_is_anothers(service):
    their_key = service.accounts.keys(service.their_organization_id)[1].id
    for method, path, body in [
        ("GET", "/api/applications/theirs", None),
        ("PATCH", "/api/applications/theirs", {"name": "Ours now"}),
        ("DELETE", "/api/applications/theirs", None),
        ("DELETE", f"/api/keys/{their_key}", None),
        ("POST", f"/api/keys/{their_key}/rotate", {}),
        ("POST", "/api/keys", {"kind": "read", "application": "theirs"}),
        ("GET", "/api/keys?application=theirs", None),
    ]:
        await assert_error(await service.request(method, path, json=body), 404)
    for path, member in [("/api/applications", "applications"), ("/api/keys", "keys")]:
        rows = (await service.answer(path, "admin"))[member]
        assert rows
        assert not [row for row in rows if "theirs" in (row["id"], row.get("application"))]
    assert service.accounts.application("theirs").name == "Theirs"
    assert service.accounts.key(their_key).revoked_at is None
