"""The organization at a glance, its buckets, and its plan, over a real engine both ways."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone

import pytest

from apimetry.query_api.settings import QuerySettings
from tests.query_api.usage.asking import shape, within_bounds
from tests.support.oracles.query_events import Event, insert_events, random_events
from tests.support.oracles.query_usage import (
    chosen_events,
    expected_breakdown,
    expected_series,
    expected_totals,
    iso,
    weight,
)
from tests.support.services.query_service import assert_error, running_query_service

# 2026-03-02 10:00 UTC: a day and ten hours into a month.
NOW = round(datetime(2026, 3, 2, 10, tzinfo=timezone.utc).timestamp())
DAY = 86_400
MARCH = NOW - 34 * 3600
OVERVIEW = "/api/analytics/overview"
SEED = json.loads(
    """{"overview": {"organization": {"_id": "", "name": ""}, "totals": {"buckets": 5, "dataSources": 12,
    "dataPoints": 1523456, "alertRules": 8, "apiKeys": 15}, "usage": {"apiCallsThisMonth": 45230,
    "apiCallsLimit": 1000000, "apiCallsPercentage": 4.5, "storageUsedBytes": 52428800,
    "storageUsedFormatted": "50 MB"}, "plan": {"name": "Pro", "maxBuckets": 25, "maxRetentionDays": 365,
    "maxApiCalls": 1000000}, "recentActivity": {"lastDataIngestion": "2024-01-15T14:30:00Z",
    "lastAlertTriggered": "2024-01-15T10:15:00Z", "dataPointsLast24h": 12543, "alertsTriggeredLast24h": 3}}}"""
)


def at(second, application="shop", **fields):
    return Event(application, second * 1_000_000, **fields)


@pytest.fixture
async def march(embedded_store):
    """The service in March."""
    async with running_query_service(embedded_store, clock=lambda: NOW) as running:
        yield running


@pytest.fixture
async def march_both_ways(store):
    """The same, embedded and over HTTP."""
    async with running_query_service(store, clock=lambda: NOW) as running:
        yield running


async def overview(service, key="admin"):
    return (await service.answer(OVERVIEW, key))["overview"]


async def patched(service, **body):
    response = await service.request("PATCH", "/api/organization", json=body)
    assert response.status == 200, await response.text()
    return (await response.json())["organization"]


async def test_every_documented_field_is_there_with_its_type(march):
    insert_events(march.accounts.store, [at(NOW - 5)])
    plan = {"name": "Pro", "maxBuckets": 25, "maxRetentionDays": 365, "maxApiCalls": 1_000_000}
    await patched(march, plan=plan)
    answer = await march.answer(OVERVIEW, "admin")
    shapes = shape(answer)
    # No alert was triggered yet.
    assert shapes.pop(".overview.recentActivity.lastAlertTriggered") == "null"
    assert shapes == {p: kind for p, kind in shape(SEED).items() if not p.endswith("lastAlertTriggered")}
    assert answer["overview"]["plan"] == plan
    assert re.fullmatch("[0-9a-f]{24}", answer["overview"]["organization"]["_id"])


async def test_an_organization_without_events_has_zeros_and_nulls(march):
    assert await overview(march, "their admin") == {
        "organization": {"_id": march.their_organization_id, "name": "Theirs"},
        "totals": {"buckets": 1, "dataSources": 0, "dataPoints": 0, "alertRules": 0, "apiKeys": 2},
        "usage": {
            "apiCallsThisMonth": 0,
            "apiCallsLimit": None,
            "apiCallsPercentage": 0,
            "storageUsedBytes": 0,
            "storageUsedFormatted": "0 B",
        },
        "plan": {"name": "self-hosted", "maxBuckets": None, "maxRetentionDays": None, "maxApiCalls": None},
        "recentActivity": {
            "lastDataIngestion": None,
            "lastAlertTriggered": None,
            "dataPointsLast24h": 0,
            "alertsTriggeredLast24h": 0,
        },
    }


async def test_everything_counts_weights_and_no_other_organization(march_both_ways):
    insert_events(
        march_both_ways.accounts.store,
        [
            at(MARCH - 1, source="old", sample_weight=7),
            at(MARCH, source="web", sample_weight=20),
            at(NOW - DAY - 1, source="web"),
            at(NOW - DAY, source="web"),
            at(NOW - 1, source="worker", sample_weight=2),
            at(NOW - 1, "theirs", source="theirs", sample_weight=1000),
        ],
    )
    await patched(march_both_ways, plan={"name": "Tiny", "maxApiCalls": 1000})
    answer = await overview(march_both_ways)
    assert answer["totals"] == {"buckets": 1, "dataSources": 3, "dataPoints": 31, "alertRules": 0, "apiKeys": 3}
    usage = answer["usage"]
    assert (usage["apiCallsThisMonth"], usage["apiCallsLimit"], usage["apiCallsPercentage"]) == (24, 1000, 2.4)
    assert answer["recentActivity"]["lastDataIngestion"] == iso(NOW - 1)
    assert answer["recentActivity"]["dataPointsLast24h"] == 3
    everything = await march_both_ways.answer("/1/timeseries/0/9999999999/")
    assert everything["groups"] == {"shop": [[0, answer["totals"]["dataPoints"]]]}


async def test_what_is_stored_and_the_last_day_are_what_counting_finds_at_any_second(embedded_store):
    now = NOW + 1801
    events = random_events(21, 1500, now - 3 * DAY, now + 3600)
    insert_events(embedded_store, events)
    shop_events = [event for event in events if event.application == "shop"]
    async with running_query_service(embedded_store, clock=lambda: now) as service:
        answer = await overview(service)
        listed = await service.answer("/api/buckets", "admin")
        everything = await service.answer("/1/timeseries/0/9999999999/")
    assert answer["totals"]["dataPoints"] == listed["buckets"][0]["dataPoints"] == weight(shop_events)
    assert everything["groups"]["shop"] == [[0, weight(shop_events)]]
    assert answer["recentActivity"]["dataPointsLast24h"] == weight(chosen_events(shop_events, "shop", now - DAY, now))


async def test_the_month_and_the_sources_survive_retention_deletion_and_the_bucket(march):
    store = march.accounts.store
    insert_events(store, [at(NOW - 60, source="web", sample_weight=5), at(NOW - 60, "theirs")])
    await march.request("POST", "/api/applications", json={"name": "Blog", "id": "blog"})
    insert_events(store, [at(NOW - 50, "blog", source="cms", sample_weight=3)], token="blog")
    before = await overview(march)
    assert (before["totals"]["dataSources"], before["usage"]["apiCallsThisMonth"]) == (2, 8)
    await march.deleted(f"/api/applications/shop/events?start=0&end={NOW}")
    after = await overview(march)
    assert (after["totals"]["dataPoints"], after["totals"]["dataSources"]) == (3, 2)
    assert after["usage"]["apiCallsThisMonth"] == 8
    assert after["recentActivity"]["lastDataIngestion"] == iso(NOW - 50)
    assert (await march.request("DELETE", "/api/applications/blog")).status == 204
    after_deletion = await overview(march)
    assert (
        after_deletion["totals"]["buckets"],
        after_deletion["totals"]["dataPoints"],
        after_deletion["totals"]["dataSources"],
    ) == (1, 0, 1)
    assert after_deletion["usage"]["apiCallsThisMonth"] == 8


async def test_a_senders_clock_ahead_of_ours_is_no_ingestion_in_the_future(march):
    insert_events(march.accounts.store, [at(NOW + 3600)])
    assert (await overview(march))["recentActivity"]["lastDataIngestion"] == iso(NOW)


async def test_storage_is_shared_by_rows(march):
    store = march.accounts.store
    insert_events(store, [at(NOW - 5, url=f"/{i}") for i in range(300)])
    insert_events(store, [at(NOW - 5, "theirs", url=f"/{i}") for i in range(100)], token="theirs")
    shop_bytes, foreign_bytes = [
        (await overview(march, key))["usage"]["storageUsedBytes"] for key in ("admin", "their admin")
    ]
    assert shop_bytes == pytest.approx(3 * foreign_bytes, rel=0.2)
    ((size,),) = store.query(
        "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = {d:String}", {"d": store.database}
    )
    assert shop_bytes + foreign_bytes == pytest.approx(size, rel=0.2)


async def test_keys_count_until_they_are_revoked(march):
    response = await march.request("POST", "/api/keys", json={"kind": "read", "application": "shop"})
    key = (await response.json())["key"]
    assert (await overview(march))["totals"]["apiKeys"] == 4
    await march.request("DELETE", f"/api/keys/{key['id']}")
    assert (await overview(march))["totals"]["apiKeys"] == 3


async def test_only_admin_keys_see_the_organization(embedded_service):
    for key in ("read", "write"):
        body = await assert_error(await embedded_service.get(OVERVIEW, key), 403)
        assert body == {"error": "Forbidden", "message": "Only Admin keys can access organization analytics"}
    await assert_error(await embedded_service.get(f"{OVERVIEW}?period=7d", "admin"), 400, "'period'")
    assert (await embedded_service.get(f"{OVERVIEW}?period=", "admin")).status == 200


async def test_buckets_come_in_pages_with_what_is_in_them(march):
    store = march.accounts.store
    for name in ("blog", "docs"):
        await march.request("POST", "/api/applications", json={"name": name.title(), "id": name})
    insert_events(
        store,
        [at(NOW - 9, source="a", sample_weight=4), at(NOW - 5, source="b"), at(NOW - 7, "docs"), at(NOW, "theirs")],
    )
    answer = await march.answer("/api/buckets", "admin")
    rows = [
        (row["_id"], row["name"], row["dataSources"], row["dataPoints"], row["lastDataIngestion"])
        for row in answer["buckets"]
    ]
    assert rows == [
        ("shop", "Shop", 2, 5, iso(NOW - 5)),
        ("blog", "Blog", 0, 0, None),
        ("docs", "Docs", 1, 1, iso(NOW - 7)),
    ]
    assert answer["pagination"] == {"total": 3, "limit": 100, "offset": 0, "hasMore": False}
    page = await march.answer("/api/buckets?limit=1&offset=1", "admin")
    assert page["buckets"] == [answer["buckets"][1]]
    assert page["pagination"] == {"total": 3, "limit": 1, "offset": 1, "hasMore": True}
    await assert_error(await march.get("/api/buckets?limit=0", "admin"), 400, "limit is '0'")


@pytest.mark.parametrize(
    ("period", "days", "granularity"), [("24h", 1, "hour"), ("7d", 7, "day"), ("90d", 90, "day")]
)
async def test_a_buckets_analytics_are_what_counting_finds(march, period, days, granularity):
    events = random_events(11, 800, NOW - 91 * DAY, NOW)
    insert_events(march.accounts.store, events)
    answer = (await march.answer(f"/api/analytics/buckets/shop?period={period}"))["analytics"]
    start = NOW - days * DAY
    chosen = chosen_events(events, "shop", start, NOW)
    assert (answer["bucket"], answer["period"]) == ({"_id": "shop", "name": "Shop"}, period)
    assert (answer["start"], answer["end"]) == (iso(start), iso(NOW))
    assert answer["series"] == expected_series(chosen, granularity, start, NOW)
    totals, expected = answer["totals"], expected_totals(chosen, days * DAY)
    assert totals["dataPoints"] == expected["totalRequests"] == weight(chosen)
    for name in ("successfulRequests", "failedRequests", "successRate", "averageLatency", "dataTransferred"):
        assert totals[name] == expected[name]
    breakdown = within_bounds(expected_breakdown(chosen, "requests", True))
    assert answer["topRoutes"] == breakdown["byEndpoint"][:10]
    assert answer["topConsumers"] == breakdown["byKey"][:10]
    assert answer["methods"] == breakdown["byMethod"]
    assert answer["statusCodes"] == breakdown["byStatusCode"]
    assert {row["source"] for row in answer["dataSources"]} == {event.source for event in chosen}
    assert sum(row["requests"] for row in answer["dataSources"]) == totals["dataPoints"]


async def test_a_bucket_is_seen_by_its_own_keys_and_its_organizations_admin(embedded_service):
    path = "/api/analytics/buckets/shop"
    for key in ("read", "admin"):
        answer = await embedded_service.answer(path, key)
        assert answer["analytics"]["period"] == "24h"
        assert answer["analytics"]["topRoutes"] == []
        assert len(answer["analytics"]["series"]) in (24, 25)
    for key in ("their read", "their admin"):
        await assert_error(await embedded_service.get(path, key), 404, "'shop'")
    await embedded_service.request("POST", "/api/applications", json={"name": "Blog", "id": "blog"})
    await assert_error(await embedded_service.get("/api/analytics/buckets/blog"), 404, "'blog'")
    await assert_error(await embedded_service.get(f"{path}?period=1y"), 400, "period is '1y'; allowed: 24h, 7d")
    await assert_error(await embedded_service.get(f"{path}?peroid=7d"), 400, "'peroid'")
    assert (await embedded_service.get(f"{path}?period=")).status == 200


async def test_an_organization_is_shown_renamed_and_given_another_plan(embedded_service):
    shown = (await embedded_service.answer("/api/organization", "admin"))["organization"]
    assert shown == {
        "id": embedded_service.organization_id,
        "name": "Ours",
        "plan": {"name": "small", "maxBuckets": 3, "maxRetentionDays": 365, "maxApiCalls": None},
        "createdAt": shown["createdAt"],
    }
    assert await patched(embedded_service, name="  Ours Ltd ") == {**shown, "name": "Ours Ltd"}
    plan = {"name": "one", "maxBuckets": 1, "maxRetentionDays": None, "maxApiCalls": 5}
    assert (await patched(embedded_service, plan=plan))["plan"] == plan
    response = await embedded_service.request("POST", "/api/applications", json={"name": "Second"})
    await assert_error(response, 403, "'one' allows 1 applications")
    # A limit that is left out is none.
    assert (await patched(embedded_service, plan={"name": "free"}))["plan"] == {**dict.fromkeys(plan), "name": "free"}
    assert (await overview(embedded_service))["organization"]["name"] == "Ours Ltd"
    assert (await overview(embedded_service, "their admin"))["organization"]["name"] == "Theirs"


async def test_a_service_run_for_others_keeps_plans_to_itself(embedded_store):
    async with running_query_service(embedded_store, QuerySettings(plan_changes=False)) as service:
        response = await service.request("PATCH", "/api/organization", json={"name": "x", "plan": {"name": "big"}})
        await assert_error(response, 403, "whoever runs this service")
        assert (await patched(service, name="Renamed"))["plan"]["name"] == "small"


BAD_ORGANIZATIONS = [
    ({}, "name, plan"),
    ({"name": ""}, "name"),
    ({"name": 3}, "name is 3; allowed: a text"),
    ({"id": "x"}, "`id`; allowed: name, plan"),
    ({"plan": {}}, "plan.name is missing from the body"),
    ({"plan": {"name": ""}}, "name"),
    ({"plan": {"name": "x", "maxBuckets": 0}}, "plan.maxBuckets is 0; allowed: a whole number >= 1"),
    ({"plan": {"name": "x", "maxBuckets": 2**32}}, f"plan.maxBuckets is {2**32}"),
    ({"plan": {"name": "x", "maxRetentionDays": 9999}}, "plan.maxRetentionDays is 9999"),
    ({"plan": {"name": "x", "maxApiCalls": -1}}, "plan.maxApiCalls is -1"),
    ({"plan": {"name": "x", "price": 1}}, "price"),
]


async def test_a_bad_organization_is_refused_by_the_member_that_is_wrong(embedded_service):
    for body, named in BAD_ORGANIZATIONS:
        await assert_error(await embedded_service.request("PATCH", "/api/organization", json=body), 400, named)
