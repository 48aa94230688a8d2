"""Links over HTTP: whatever their viewers ask, they see what the link binds, and nothing else."""

from __future__ import annotations

import itertools
import logging
import random

import msgspec
import pytest

from apimetry.query_api.sharing.link_bodies import ShareInput
from tests.support.oracles.query_events import Event, insert_events
from tests.support.services.query_service import assert_error

START = 1_413_295_200
END = START + 7200
RANGE = f"start={START}&end={END}"
# Paths, and parameters of which each alone or together must not widen a link.
QUESTIONS = {
    "/v1/summary": [RANGE, f"{RANGE}&compare=previous"],
    f"/1/timeseries/{START}/{END}/": [
        "",
        "group=consumer_id&granularity=hour",
        "group=url&group=status_class&rest=1&limit=1",
    ],
    "/v1/breakdown": [
        f"{RANGE}&by=consumer_id",
        f"{RANGE}&by=url,source&measures=requests,share,timeShare,consumers,firstSeen,lastSeen",
        f"{RANGE}&by=consumer_id&having=new",
        f"{RANGE}&by=route&compare=previous&search=x",
    ],
    "/v1/latency": [RANGE, f"{RANGE}&granularity=hour"],
    "/v1/values": [f"{RANGE}&field=consumer_id", f"{RANGE}&field=url", f"{RANGE}&field=consumer_id&search=glob"],
    "/v1/versions": [RANGE],
    "/v1/explain": [f"start={START + 3600}&end={END}&metric={metric}" for metric in ("requests", "errorRate")],
    "/v1/events": [f"{RANGE}&limit=500", f"{RANGE}&order=asc&fields=consumer_id,url,data"],
}
NARROWER = ["include=status_code:5xx", "exclude=route:/b", "has=url:a", "min_response_us=500"]
WIDER = [
    "include=consumer_id:globex",
    "include=consumer_id:globex&include=consumer_id:acme",
    "exclude=consumer_id:acme",
    "has=consumer_id:globex",
    "include=url:/globex",
]


def events(seed=7):
    """Events of two consumers. All texts of the other one have its name."""
    chance = random.Random(seed)
    for number in range(200):
        consumer = chance.choice(["acme", "globex"])
        yield Event(
            timestamp=(START + chance.randrange(7200)) * 1_000_000 + number,
            consumer_id=consumer,
            url=f"/{consumer}/{chance.randrange(3)}",
            route=chance.choice(["/a", "/b"]) if consumer == "acme" else "/globex",
            source=f"web-{consumer}",
            version=f"1.{consumer}",
            status_code=chance.choice([200, 404, 500]),
            response_us=chance.randrange(1000),
            data={"of": consumer},
        )


async def link(service, **body):
    response = await service.request("POST", "/api/shares", "admin", json={"application": "shop", **body})
    assert response.status == 201, await response.text()
    created = await response.json()
    path, _, token = created["path"].partition("#")
    assert path == f"/s/{created['share']['id']}"
    return token, created


async def test_a_link_of_one_consumer_answers_as_its_filter_does_and_nothing_more(embedded_service):
    insert_events(embedded_service.accounts.store, list(events()))
    token, _ = await link(embedded_service, include=["consumer_id:acme"], hides=[], pages=["requests"])
    narrower, wider = itertools.cycle(NARROWER), itertools.cycle(WIDER)
    for path, question in [(path, question) for path, questions in QUESTIONS.items() for question in questions]:
        for more in ("", next(narrower)):
            target = f"{path}?{question}&{more}"
            answer = await embedded_service.answer(target, token)
            assert answer == await embedded_service.answer(f"{target}&include=consumer_id:acme"), target
            assert "globex" not in repr(answer), target
        for more in (next(wider), next(wider)):
            text = repr(await embedded_service.answer(f"{path}?{question}&{more}", token))
            assert "web-globex" not in text, (path, question, more)
            assert "/globex" not in text, (path, question, more)
            assert "acme" not in text or "include=consumer_id:acme" in more, (path, question, more)


async def test_an_event_of_another_consumer_or_of_before_is_not_found(embedded_service):
    insert_events(embedded_service.accounts.store, list(events()))
    page = (await embedded_service.answer(f"/v1/events?{RANGE}&limit=500"))["events"]
    ids = {row["consumer_id"]: row["id"] for row in page}
    token, _ = await link(embedded_service, include=["consumer_id:acme"], hides=["url", "data"], pages=["requests"])
    own = await embedded_service.answer(f"/v1/events/{ids['acme']}", token)
    assert own["consumer_id"] == "acme"
    assert not {"url", "data"} & set(own)
    await assert_error(await embedded_service.get(f"/v1/events/{ids['globex']}", token), 404)
    await assert_error(await embedded_service.get(f"/v1/events/{ids['acme']}?fields=url", token), 403, "url")
    late, _ = await link(embedded_service, notBefore=END, pages=["requests"])
    await assert_error(await embedded_service.get(f"/v1/events/{ids['acme']}", late), 404)
    exported = await (await embedded_service.get("/v1/export/events?limit=500", token)).text()
    rows = [msgspec.json.decode(line) for line in exported.splitlines()]
    assert len(rows) == len([row for row in page if row["consumer_id"] == "acme"])
    assert {row["consumer_id"] for row in rows} == {"acme"}
    assert not {"url", "data"} & set().union(*rows)
    for bad in ("?limit=10001", "", "?limit=5&fields=url", "?limit=5&include=url:/acme/1"):
        await assert_error(await embedded_service.get(f"/v1/export/events{bad}", token), 403, "This link")
    # A cursor of a wider question is no way around: it is a place, and the link's filters hold behind it.
    wide = (await embedded_service.answer(f"/v1/events?{RANGE}&limit=5"))["next"]
    rest = await embedded_service.answer(f"/v1/events?cursor={wide}&limit=500&fields=consumer_id", token)
    assert {row["consumer_id"] for row in rest["events"]} == {"acme"}


async def test_hidden_fields_and_times_before_are_refused_in_every_place(embedded_service):
    insert_events(embedded_service.accounts.store, list(events()))
    token, _ = await link(embedded_service)
    refused = [
        f"/v1/breakdown?{RANGE}&by=route,consumer_id",
        f"/v1/breakdown?{RANGE}&by=route&include=consumer_id:acme",
        f"/v1/summary?{RANGE}&exclude=url:/x",
        f"/v1/summary?{RANGE}&has=consumer_id:a",
        f"/v1/summary?{RANGE}&completeness=1",
        f"/v1/latency?{RANGE}&include=url:/x",
        f"/v1/summary?{RANGE}&include=user_agent:curl",
        f"/v1/breakdown?{RANGE}&by=user_agent",
        f"/v1/values?{RANGE}&field=client_ip",
        f"/v1/values?{RANGE}&field=url",
        f"/1/timeseries/{START}/{END}/?group=consumer_id",
        f"/1/timeseries/{START}/{END}/?completeness=1",
        f"/v1/events?{RANGE}",
        "/v1/events/x",
        "/v1/events/live",
        "/v1/export/events?limit=5",
        f"/v1/explain?{RANGE}&include=consumer_id:acme",
    ]
    for path in refused:
        await assert_error(await embedded_service.get(path, token), 403, "This link")
    later = f"/v1/explain?start={START + 3600}&end={END}&metric=requests"
    everything = await embedded_service.answer(later)
    assert {cause["slice"]["consumer_id"] for cause in everything["consumers"]} <= {"acme", "globex"}
    assert {name for cause in everything["causes"] for name in cause["slice"]} & {"route", "source", "version"}
    few, _ = await link(embedded_service, hides=["consumer_id", "route", "source", "version", "error_type"])
    shown = await embedded_service.answer(later, few)
    assert (shown["now"], shown["before"]) == (everything["now"], everything["before"])
    assert shown["consumers"] == []
    assert {name for cause in shown["causes"] for name in cause["slice"]} <= {"method", "status_code"}
    middle = START + 3600
    token, _ = await link(embedded_service, notBefore=middle, hides=[])
    for path in (f"/v1/summary?{RANGE}", f"/v1/breakdown?{RANGE}&by=route", f"/v1/latency?{RANGE}"):
        cut = await embedded_service.answer(path, token)
        assert cut == await embedded_service.answer(path.replace(f"start={START}", f"start={middle}"))
    series = await embedded_service.answer(f"/1/timeseries/{START}/{END}/?granularity=minute", token)
    assert min(time for points in series["groups"].values() for time, _ in points) >= middle
    for path in (
        f"/v1/summary?start={START}&end={middle}",
        f"/v1/summary?start={middle}&end={END}&compare=previous",
        f"/v1/summary?start={middle}&end={END}&compare={START}",
        f"/v1/breakdown?start={middle}&end={END}&by=route&compare=previous",
        f"/v1/breakdown?start={middle}&end={END}&by=consumer_id&having=new",
        f"/v1/latency?start={middle}&end={END}&compare=week",
        f"/v1/versions?start={middle}&end={END}",
        f"/v1/explain?start={middle}&end={END}",
        f"/1/timeseries/{middle}/{END}/?compare=previous",
    ):
        await assert_error(await embedded_service.get(path, token), 403, "nothing before")


async def test_a_link_knows_what_it_binds_and_not_what_it_hides(embedded_service, caplog):
    caplog.set_level(logging.DEBUG)
    insert_events(embedded_service.accounts.store, list(events()))
    token, created = await link(
        embedded_service,
        name="For Acme",
        include=["consumer_id:acme", "method:GET"],
        exclude=["url:/secret"],
        embedOrigins=["https://portal.example.com"],
    )
    me = await embedded_service.answer("/v1/me", token)
    assert me["fixed"] == {
        "include": ["method:GET"],
        "exclude": [],
        "notBefore": None,
        "until": created["share"]["expiresAt"],
        "hides": ["consumer_id", "url", "client_ip", "user_agent", "data"],
        "pages": ["overview"],
        "range": "7d",
        "oneConsumer": True,
    }
    (application,) = me["applications"]
    assert (application["firstEventAt"], application["lastEventAt"]) == (None, None)
    assert set(application["limits"].values()) == {None}
    listed = await embedded_service.answer("/api/shares", "admin")
    assert [row["id"] for row in listed["shares"]] == [created["share"]["id"]]
    assert token not in repr(listed)
    assert created["embedPath"] == f"/embed/{created['share']['id']}#{token}"
    assert token not in caplog.text


async def test_a_read_key_makes_links_to_its_application_and_sees_its_own_alone(embedded_service):
    made = await (await embedded_service.request("POST", "/api/shares", "read", json={"application": "shop"})).json()
    _, admins = await link(embedded_service)
    token = made["path"].partition("#")[2]
    assert (await embedded_service.get("/v1/summary", token)).status == 200
    other = await embedded_service.request("POST", "/api/shares", "read", json={"application": "second"})
    await assert_error(other, 403, "another application")
    listed = {
        key: [row["id"] for row in (await embedded_service.answer("/api/shares", key))["shares"]]
        for key in ("read", "admin")
    }
    own, foreign = made["share"]["id"], admins["share"]["id"]
    assert listed == {"read": [own], "admin": [own, foreign]}
    await assert_error(await embedded_service.request("DELETE", f"/api/shares/{foreign}", "read"), 404)
    session = (await (await embedded_service.request("POST", "/v1/session", "read")).json())["token"]
    assert (await embedded_service.request("DELETE", f"/api/shares/{own}", session)).status == 204
    await assert_error(await embedded_service.get("/v1/summary", token), 401)


async def test_a_revoked_link_shows_nothing_and_others_cannot_revoke_it(embedded_service):
    token, created = await link(embedded_service)
    path = f"/api/shares/{created['share']['id']}"
    await assert_error(await embedded_service.request("DELETE", path, "their admin"), 404)
    await assert_error(await embedded_service.request("DELETE", path.replace("shares", "sessions")), 404)
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    await assert_error(await embedded_service.get("/v1/me", changed), 401)
    assert (await embedded_service.get("/v1/me", token)).status == 200
    assert (await embedded_service.request("DELETE", path)).status == 204
    await assert_error(await embedded_service.get("/v1/me", token), 401)
    assert (await embedded_service.answer("/api/shares", "admin"))["shares"] == []
    await assert_error(await embedded_service.request("POST", "/api/shares", json={"application": "theirs"}), 404)


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "https://*.example.com",
        "https://a.example; script-src *",
        "https://a.example https://b.example",
        "https://a.example/path",
        "https://user@a.example",
        "javascript:alert(1)",
        "null",
        "https://a.example\n",
        "HTTPS://A.EXAMPLE",
        "https:// a.example",
        "data:text/html",
        "",
    ],
)
def test_an_origin_that_frames_is_one_host_and_nothing_that_ends_a_header(origin):
    body = msgspec.json.encode({"application": "shop", "embedOrigins": [origin]})
    with pytest.raises(msgspec.ValidationError, match="embedOrigins"):
        msgspec.json.decode(body, type=ShareInput)


@pytest.mark.parametrize("origin", ["https://portal.example.com", "http://localhost:8080", "http://[::1]:80"])
def test_an_origin_may_have_a_port(origin):
    body = msgspec.json.encode({"application": "shop", "embedOrigins": [origin]})
    assert msgspec.json.decode(body, type=ShareInput).as_fixed().embed_origins == (origin,)
