"""Applications and keys over HTTP."""

from __future__ import annotations

import asyncio
import time

import pytest

from apimetry.store.accounts.records import FOREVER_DAYS
from tests.support.oracles.query_events import Event, insert_events
from tests.support.services.query_service import assert_error


async def made(service, path, **body):
    response = await service.request("POST", path, json=body)
    assert response.status == 201, await response.text()
    return await response.json()


async def test_an_application_is_made_shown_changed_and_deleted(service):
    limits = {"requestsPerMinute": 600, "requestsPerHour": None, "requestsPerDay": 10_000}
    application = (await made(service, "/api/applications", name="Blog", id="blog", retentionDays=30))["application"]
    assert application["createdAt"].endswith("Z")
    assert application == {
        "id": "blog",
        "name": "Blog",
        "retentionDays": 30,
        "limits": dict.fromkeys(limits),
        "targetMs": None,
        "createdAt": application["createdAt"],
    }
    assert (await service.answer("/api/applications/blog", "admin")) == {"application": application}
    change = {"name": "The blog", "limits": {"requestsPerMinute": 600, "requestsPerDay": 10_000}}
    response = await service.request("PATCH", "/api/applications/blog", json=change)
    changed = {**application, "name": "The blog", "limits": limits}
    assert await response.json() == {"application": changed}
    response = await service.request("PATCH", "/api/applications/blog", json={"retentionDays": 365})
    assert await response.json() == {"application": {**changed, "retentionDays": 365}}
    # It can be asked about as soon as it is made.
    assert (await service.answer("/1/timeseries/0/10/?application=blog", "admin"))["groups"] == {"blog": [[0, 0]]}
    response = await service.request("DELETE", "/api/applications/blog")
    assert (response.status, await response.read()) == (204, b"")
    await assert_error(await service.get("/api/applications/blog", "admin"), 404, "blog")
    await assert_error(await service.get("/1/timeseries/0/10/?application=blog", "admin"), 404, "blog")


async def test_an_application_has_a_target_until_it_is_taken_away(embedded_service):
    path = "/api/applications/blog"
    await made(embedded_service, "/api/applications", name="Blog", id="blog", targetMs=3_600_000)
    assert (await embedded_service.answer(path, "admin"))["application"]["targetMs"] == 3_600_000
    for change, target in [({"targetMs": 300}, 300), ({"name": "New"}, 300), ({"targetMs": None}, None)]:
        response = await embedded_service.request("PATCH", path, json=change)
        assert (await response.json())["application"]["targetMs"] == target
    assert (await embedded_service.answer(path, "admin"))["application"]["targetMs"] is None
    for wrong in (0, -1, 3_600_001, 1.5, "300", True):
        for method, where in [("PATCH", path), ("POST", "/api/applications")]:
            body = {"name": "x", "targetMs": wrong}
            await assert_error(await embedded_service.request(method, where, json=body), 400, "targetMs")


async def test_a_key_works_from_when_it_is_made_until_it_is_revoked(service):
    answer = await made(service, "/api/keys", kind="read", application="shop", name="dashboard")
    key, secret = answer["key"], answer["secret"]
    assert secret.startswith("apimetry_r_")
    assert len(secret) % 4 == 0
    assert key == {
        "id": key["id"],
        "kind": "read",
        "application": "shop",
        "name": "dashboard",
        "firstCharacters": secret[: len(key["firstCharacters"])],
        "createdAt": key["createdAt"],
        "expiresAt": None,
        "revokedAt": None,
        "lastUsedAt": None,
    }
    assert (await service.get("/1/timeseries/0/10/", secret)).status == 200
    listed = await (await service.get("/api/keys", "admin")).text()
    assert key["id"] in listed
    assert secret not in listed
    assert (await service.request("DELETE", f"/api/keys/{key['id']}")).status == 204
    await assert_error(await service.get("/1/timeseries/0/10/", secret), 401)
    rows = (await service.answer("/api/keys?application=shop", "admin"))["keys"]
    assert [row["revokedAt"] is not None for row in rows if row["id"] == key["id"]] == [True]
    assert {row["application"] for row in rows} == {"shop"}


async def test_a_rotated_key_overlaps_with_its_successor_as_long_as_asked(embedded_service):
    old = await made(embedded_service, "/api/keys", kind="read", application="shop")
    new = await made(embedded_service, f"/api/keys/{old['key']['id']}/rotate", overlapS=3600)
    for answer in (old, new):
        assert (await embedded_service.get("/1/timeseries/0/10/", answer["secret"])).status == 200
    last = await made(embedded_service, f"/api/keys/{new['key']['id']}/rotate", overlapS=0)
    await assert_error(await embedded_service.get("/1/timeseries/0/10/", new["secret"]), 401)
    assert (await embedded_service.get("/1/timeseries/0/10/", last["secret"])).status == 200
    response = await embedded_service.request("POST", f"/api/keys/{new['key']['id']}/rotate", json={})
    await assert_error(response, 409, "expired")


async def test_the_last_lasting_admin_key_cannot_be_revoked(embedded_service):
    (first,) = [
        k for k in embedded_service.accounts.keys(embedded_service.organization_id) if k.application_id is None
    ]
    await assert_error(await embedded_service.request("DELETE", f"/api/keys/{first.id}"), 409, "last admin key")
    second = await made(embedded_service, f"/api/keys/{first.id}/rotate", overlapS=600)
    # The first key still works, but it will end: the second must stay.
    path = f"/api/keys/{second['key']['id']}"
    await assert_error(await embedded_service.request("DELETE", path), 409, "last admin key")
    assert (await embedded_service.request("DELETE", f"/api/keys/{first.id}", second["secret"])).status == 204
    await assert_error(await embedded_service.request("DELETE", path, second["secret"]), 409, "last admin key")
    assert (await embedded_service.request("DELETE", f"/api/keys/{first.id}", second["secret"])).status == 204


async def test_two_admin_keys_revoked_at_once_leave_one(service):
    second = await made(service, "/api/keys", kind="admin")
    ids = [k.id for k in service.accounts.keys(service.organization_id) if k.application_id is None]
    answers = await asyncio.gather(*(service.request("DELETE", f"/api/keys/{key_id}") for key_id in ids))
    statuses = sorted(answer.status for answer in answers)
    assert statuses in ([204, 401], [204, 409])
    assert second["secret"]


async def test_an_application_may_keep_its_events_for_ever_where_the_plan_has_no_limit(embedded_service):
    service, path = embedded_service, "/api/applications/theirs"
    response = await service.request("PATCH", path, "their admin", json={"retentionDays": None})
    assert (await response.json())["application"]["retentionDays"] is None
    assert (await service.answer(path, "their admin"))["application"]["retentionDays"] is None
    body = {"name": "Archive", "id": "archive", "retentionDays": None}
    response = await service.request("POST", "/api/applications", "their admin", json=body)
    assert (await response.json())["application"]["retentionDays"] is None
    buckets = (await service.answer("/api/buckets", "their admin"))["buckets"]
    assert [bucket["retentionDays"] for bucket in buckets] == [None, None]
    (job,) = (await service.answer("/api/jobs", "their admin"))["jobs"]
    assert (job["kind"], job["retentionDays"]) == ("change_retention", None)
    # Without one it is the default, and the plan's limit holds.
    response = await service.request("POST", "/api/applications", "their admin", json={"name": "Short"})
    assert (await response.json())["application"]["retentionDays"] == 90
    for method, where, more in [
        ("PATCH", "/api/applications/shop", {}),
        ("POST", "/api/applications", {"name": "x"}),
    ]:
        response = await service.request(method, where, json={**more, "retentionDays": None})
        await assert_error(response, 400, "allows a retention of 365 days, not for ever")


async def test_what_is_kept_for_ever_outlives_the_longest_retention(embedded_store):
    store = embedded_store
    years_ago = int(time.time()) - 20 * 365 * 86400
    insert_events(store, [Event(timestamp=years_ago * 1_000_000)])
    store.command("ALTER TABLE events UPDATE retention_days = 20000 WHERE 1 SETTINGS mutations_sync = 2")
    store.command("OPTIMIZE TABLE events FINAL")
    assert store.query("SELECT count() FROM events") == [(1,)]
    ((kept_until,),) = store.query(
        f"SELECT toUnixTimestamp(toDateTime({int(time.time())}, 'UTC') + toIntervalDay({FOREVER_DAYS}))"
    )
    assert kept_until > time.time() + 50 * 365 * 86400


async def test_the_plan_limits_applications_and_retention(embedded_service):
    await made(embedded_service, "/api/applications", name="Second")
    results = await asyncio.gather(
        *(embedded_service.request("POST", "/api/applications", json={"name": f"Third {i}"}) for i in range(4))
    )
    assert sorted(result.status for result in results) == [201, 403, 403, 403]
    response = await embedded_service.request("POST", "/api/applications", json={"name": "Fourth"})
    await assert_error(response, 403, "3 applications")
    response = await embedded_service.request("PATCH", "/api/applications/shop", json={"retentionDays": 366})
    await assert_error(response, 400, "365 days", "366")


async def test_an_id_cannot_be_used_twice(embedded_service):
    response = await embedded_service.request("POST", "/api/applications", json={"name": "x", "id": "shop"})
    await assert_error(response, 409, "shop")


BAD_BODIES = [
    ("POST", "/api/applications", {}, "name"),
    (
        "POST",
        "/api/applications",
        {"name": "x", "retention": 3},
        "`retention`; allowed: name, id, retentionDays, limits",
    ),
    ("POST", "/api/applications", {"name": 3}, "name is 3; allowed: a text"),
    ("POST", "/api/applications", {"name": ""}, "name"),
    ("POST", "/api/applications", {"name": "x", "id": "a/b"}, "'a/b'"),
    (
        "POST",
        "/api/applications",
        {"name": "x", "retentionDays": 0},
        "retentionDays is 0; allowed: a whole number >= 1",
    ),
    ("POST", "/api/applications", {"name": "x", "retentionDays": 10**30}, "retentionDays is 1000"),
    ("POST", "/api/applications", {"name": "x", "limits": {"requestsPerMinute": 0}}, "limits.requestsPerMinute is 0"),
    ("POST", "/api/applications", {"name": "x", "limits": {"perSecond": 1}}, "perSecond"),
    ("POST", "/api/applications", [], "an object, got a list"),
    ("PATCH", "/api/applications/shop", {}, "retentionDays"),
    ("PATCH", "/api/applications/shop", {"id": "other"}, "id"),
    ("PATCH", "/api/applications/shop", {"name": None}, "name is null; allowed: a text"),
    ("POST", "/api/keys", {"kind": "root"}, 'kind is "root"; allowed: admin, write, read'),
    ("POST", "/api/keys", {"kind": "read"}, "application"),
    ("POST", "/api/keys", {"kind": "admin", "application": "shop"}, "admin key"),
    ("POST", "/api/keys", {"kind": "admin", "secret": "x"}, "secret"),
    ("POST", "/api/keys/x/rotate", {"overlapS": -1}, "overlapS is -1; allowed: a whole number >= 0"),
    (
        "POST",
        "/api/keys/x/rotate",
        {"overlapS": 10**9},
        "overlapS is 1000000000; allowed: a whole number <= 31536000",
    ),
    ("POST", "/api/keys/x/rotate", {"overlap": 1}, "overlap"),
]


async def test_a_bad_body_is_refused_by_the_member_that_is_wrong(embedded_service):
    for method, path, body, named in BAD_BODIES:
        await assert_error(await embedded_service.request(method, path, json=body), 400, named)


async def test_a_body_that_is_no_json_is_refused(embedded_service):
    json_type = {"Content-Type": "application/json"}

    def post(data, headers=json_type):
        return embedded_service.request("POST", "/api/keys", data=data, headers=headers)

    for data in (b"", b"{", b"\xff", b"{" * 60_000, b"[" * 60_000, b'{"kind": "\\ud800"}', b"nan"):
        await assert_error(await post(data), 400)
    await assert_error(await post(b"{}", {"Content-Type": "text/plain"}), 415, "application/json")
    await assert_error(await post(b" " * 100_000), 413)


async def test_lists_come_in_pages(embedded_service):
    async def page(query):
        return await embedded_service.answer(f"/api/keys{query}", "admin")

    everything = await page("")
    assert everything["pagination"] == {"total": 3, "limit": 100, "offset": 0, "hasMore": False}
    first, second = await page("?limit=2"), await page("?limit=2&offset=2")
    assert first["pagination"] == {"total": 3, "limit": 2, "offset": 0, "hasMore": True}
    assert second["pagination"] == {"total": 3, "limit": 2, "offset": 2, "hasMore": False}
    assert first["keys"] + second["keys"] == everything["keys"]
    assert (await page("?offset=50"))["keys"] == []
    assert await page("?limit=&offset=") == everything


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit is '0'"),
        ("limit=1001", "1 to 1000"),
        ("limit=x", "limit is 'x'"),
        ("offset=-1", "offset is '-1'"),
        ("offset=" + "9" * 5000, "offset is"),
        ("limit=٣", "limit"),
        ("page=2", "'page'"),
    ],
)
async def test_a_bad_page_is_refused_by_parameter_and_value(embedded_service, query, named):
    for path in ("/api/keys", "/api/applications"):
        await assert_error(await embedded_service.get(f"{path}?{query}", "admin"), 400, named)


@pytest.mark.parametrize(
    "body",
    [
        '{"name":"a","limits":{"requestsPerMinute":"x"},"limits":5}',
        '{"name":"a","limits":{"requestsPerMinute":"x"},"limits":[]}',
        '{"name":"a","limits":5,"limits":{}}',
        '{"name":5,"limits":1e999}',
        '{"name":5,"limits":nonsense',
        '{"name":5,"limits":"\\ud800"}',
        '{"name":5,"limits":' + "[" * 50_000,
        '{"retentionDays":"x","name":5',
        '{"retentionDays":0,"retentionDays":[{}]}',
    ],
)
async def test_body_that_says_a_thing_twice_or_breaks_off_is_a_400(embedded_service, body):
    response = await embedded_service.request(
        "POST", "/api/applications", data=body, headers={"Content-Type": "application/json"}
    )
    await assert_error(response, 400)


@pytest.mark.parametrize(
    "path", ["/api/keys", "/api/alerts", "/api/applications", "/api/jobs", "/health", "/nowhere"]
)
async def test_no_cache_keeps_an_answer(embedded_service, path):
    response = await embedded_service.request("GET", path)
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "header", [{"Content-Encoding": coding} for coding in ("gzip", "zstd", "br", "deflate", "x", "identity, gzip")]
)
async def test_encoded_body_is_refused_unread_whoever_sends_it(embedded_service, header):
    for key in ("admin", None):
        response = await embedded_service.request("POST", "/api/applications", key, data=b"x" * 100, headers=header)
        await assert_error(response, 415, "Content-Encoding", "identity")


@pytest.mark.parametrize("application_id", ["...", "-", "__", "theirs"])
async def test_id_that_cannot_be_had_is_refused_in_one_way_whoever_has_it(embedded_service, application_id):
    response = await embedded_service.request("POST", "/api/applications", json={"name": "A", "id": application_id})
    await assert_error(response, 400, application_id, "cannot be had: choose another, or leave it out")
