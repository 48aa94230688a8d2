"""`GET /v1/me`: who asks, and what is stored of the applications."""

from __future__ import annotations

import random
from datetime import datetime, timezone

import pytest

from apimetry.query_api.me.figures import KEPT_NEW_S, KEPT_S, NEW_S
from apimetry.query_api.settings import QuerySettings
from tests.support.oracles.query_events import Event, insert_events, random_events
from tests.support.services.query_service import assert_error, running_query_service

NOW = round(datetime(2026, 3, 2, 10, tzinfo=timezone.utc).timestamp())
HOUR = 3600


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def me_service(embedded_store, clock):
    async with running_query_service(embedded_store, clock=clock) as running:
        yield running


@pytest.fixture
async def both_ways(store, clock):
    async with running_query_service(store, clock=clock) as running:
        yield running


def iso(time_us):
    return datetime.fromtimestamp(time_us // 1_000_000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def expected(events):
    """First and last event and the texts, by counting; all events lie in one week and the last hour has few."""
    last_hour = max(e.timestamp for e in events) // (HOUR * 1_000_000)
    newest = [e for e in events if e.timestamp // (HOUR * 1_000_000) == last_hour]
    return {
        "firstEventAt": iso(min(e.timestamp for e in events)),
        "lastEventAt": iso(max(e.timestamp for e in events)),
        "recorded": {
            "consumers": any(e.consumer_id for e in events),
            "versions": any(e.version for e in events),
            "errorTypes": any(e.error_type for e in events),
            "urls": any(e.url for e in newest),
            "sampled": any(e.sample_weight > 1 for e in newest),
        },
    }


async def application_of(service, key="read"):
    (application,) = (await service.answer("/v1/me", key))["applications"]
    return application


async def test_a_read_key_learns_its_application_and_that_nothing_is_stored(both_ways):
    service = both_ways
    key = next(k for k in service.accounts.keys(service.organization_id) if k.kind == "read")
    assert await service.answer("/v1/me") == {
        "kind": "read",
        "keyId": key.id,
        "expiresAt": None,
        "organization": {"id": service.organization_id, "name": "Ours"},
        "applications": [
            {
                "id": "shop",
                "name": "Shop",
                "retentionDays": 365,
                "limits": {"requestsPerMinute": None, "requestsPerHour": None, "requestsPerDay": None},
                "firstEventAt": None,
                "lastEventAt": None,
                "recorded": {
                    "consumers": False,
                    "versions": False,
                    "errorTypes": False,
                    "urls": False,
                    "sampled": False,
                },
            }
        ],
        "fixed": None,
        "collectorUrl": None,
        "traceUrl": None,
        "version": (await service.answer("/health"))["version"],
        "now": NOW,
    }


async def test_an_admin_key_learns_of_every_application_of_its_organization_and_no_other(me_service):
    for name in ("blog", "api"):
        body = {"name": name.title(), "id": name, "limits": {"requestsPerHour": 1000}, "retentionDays": 30}
        assert (await me_service.request("POST", "/api/applications", json=body)).status == 201
    insert_events(me_service.accounts.store, [Event("blog", NOW * 1_000_000), Event("theirs", NOW * 1_000_000)])
    answer = await me_service.answer("/v1/me", "admin")
    assert (answer["kind"], answer["organization"]["name"]) == ("admin", "Ours")
    assert [
        (a["id"], a["retentionDays"], a["limits"]["requestsPerHour"], a["lastEventAt"])
        for a in answer["applications"]
    ] == [("shop", 365, None, None), ("blog", 30, 1000, iso(NOW * 1_000_000)), ("api", 30, 1000, None)]


async def test_a_key_that_ends_says_when(me_service):
    created = await me_service.request("POST", "/api/keys", json={"kind": "read", "application": "shop"})
    created = await created.json()
    rotation = await me_service.request("POST", f"/api/keys/{created['key']['id']}/rotate", json={"overlapS": 3600})
    assert rotation.status == 201
    listed = (await me_service.answer("/api/keys", "admin"))["keys"]
    (end,) = [key["expiresAt"] for key in listed if key["id"] == created["key"]["id"]]
    assert end
    assert (await me_service.answer("/v1/me", created["secret"]))["expiresAt"] == end


@pytest.mark.parametrize("seed", range(4))
async def test_first_and_last_event_and_texts_are_those_of_the_stored_events(both_ways, seed):
    week = NOW - 10 * 86400
    rng = random.Random(seed)
    events = random_events(seed, 40, week, week + rng.choice([HOUR, 86400]))
    # Some texts are missing everywhere.
    missing = {name: "" for name in ("consumer_id", "version", "error_type", "url") if rng.random() < 0.5}
    events = [Event(**{**vars(event), **missing}) for event in events]
    insert_events(both_ways.accounts.store, events)
    shop_events = [event for event in events if event.application == "shop"]
    application = await application_of(both_ways)
    assert {name: application[name] for name in ("firstEventAt", "lastEventAt", "recorded")} == expected(shop_events)


async def test_texts_are_those_of_the_newest_week_with_events(me_service):
    old = Event(timestamp=(NOW - 30 * 86400) * 1_000_000, consumer_id="acme", version="1", error_type="E", url="/x")
    new = Event(timestamp=(NOW - 8 * 86400) * 1_000_000, version="2", url="")
    insert_events(me_service.accounts.store, [old, new])
    assert (await application_of(me_service))["recorded"] == {
        "consumers": False,
        "versions": True,
        "errorTypes": False,
        "urls": False,
        "sampled": False,
    }


async def test_a_clock_that_runs_ahead_moves_the_last_event_no_further_than_now(me_service):
    insert_events(me_service.accounts.store, [Event(timestamp=(NOW + 5 * HOUR) * 1_000_000)])
    application = await application_of(me_service)
    assert application["firstEventAt"] == application["lastEventAt"] == iso(NOW * 1_000_000)


async def test_what_was_deleted_is_not_there_any_more(me_service, clock):
    insert_events(me_service.accounts.store, [Event(timestamp=(NOW - 7) * 1_000_000)])
    assert (await application_of(me_service))["lastEventAt"] == iso((NOW - 7) * 1_000_000)
    await me_service.deleted(f"/api/applications/shop/events?start={NOW - 100}&end={NOW}")
    clock.now += KEPT_S
    assert (await application_of(me_service))["lastEventAt"] is None


@pytest.mark.parametrize(("first_s", "kept_s"), [(NOW - NEW_S + 20, KEPT_NEW_S), (NOW - NEW_S - 20, KEPT_S)])
async def test_events_show_a_second_later_and_in_an_application_that_is_not_new_after_ten(
    me_service, clock, first_s, kept_s
):
    def insert(second):
        insert_events(me_service.accounts.store, [Event(timestamp=second * 1_000_000)], token=str(second))

    assert (await application_of(me_service))["lastEventAt"] is None
    insert(first_s)
    assert (await application_of(me_service))["lastEventAt"] is None
    clock.now += KEPT_NEW_S
    assert (await application_of(me_service))["lastEventAt"] == iso(first_s * 1_000_000)
    insert(first_s + 1)
    clock.now += kept_s - 1
    assert (await application_of(me_service))["lastEventAt"] == iso(first_s * 1_000_000)
    clock.now += 1
    assert (await application_of(me_service))["lastEventAt"] == iso((first_s + 1) * 1_000_000)


async def test_the_addresses_of_the_collector_and_of_traces_are_those_of_the_settings(embedded_store):
    collector_url, trace_url = "https://collect.example.com", "https://traces.example.com/{trace_id}"
    settings = QuerySettings(evaluate_alerts=False, collector_url=collector_url, trace_url=trace_url)
    async with running_query_service(embedded_store, settings) as service:
        answer = await service.answer("/v1/me")
        assert (answer["collectorUrl"], answer["traceUrl"]) == (collector_url, trace_url)


async def test_parameters_and_write_keys_are_refused(me_service):
    await assert_error(await me_service.get("/v1/me?limit=1"), 400, "'limit'")
    await assert_error(
        await me_service.get("/v1/me", "write"), 403, "Only Read and Admin keys can ask about themselves"
    )
