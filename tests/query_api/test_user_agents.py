"""User agents are filtered and grouped by their family; the texts are shown as they were sent. Addresses likewise."""

from __future__ import annotations

import pytest

from apimetry.query_api.settings import LiveLimits, QuerySettings
from tests.support.oracles.query_events import Event, insert_events
from tests.support.services.event_stream import EventStream
from tests.support.services.query_service import running_query_service

START = 1_413_295_200
AGENTS = [("curl/8.4.0", "curl"), ("curl/7.1", "curl"), ("Mozilla/5.0 Firefox/1", "Firefox"), ("old/1", ""), ("", "")]
EVENTS = [
    Event(timestamp=(START + n) * 1_000_000, user_agent=text, user_agent_family=name, client_ip=f"192.0.2.{n % 2}")
    for n, (text, name) in enumerate(AGENTS)
]
RANGE = f"{START}/{START + 10}/"
SPAN = f"start={START}&end={START + 10}"


@pytest.fixture
async def filled(service):
    insert_events(service.accounts.store, EVENTS)
    return service


async def test_every_endpoint_about_events_takes_both_as_filters_and_groups(filled):
    async def counts(query):
        groups = (await filled.answer(f"/1/timeseries/{RANGE}?{query}"))["groups"]
        return {key: points[0][1] for key, points in groups.items()}

    assert await counts("group=user_agent") == {"curl": 2, "Firefox": 1, "": 2}
    assert await counts("group=client_ip") == {"192.0.2.0": 3, "192.0.2.1": 2}
    assert await counts("include=user_agent:curl") == {"shop": 2}
    assert await counts("exclude=user_agent:curl&include=client_ip:192.0.2.0") == {"shop": 2}
    rows = (await filled.answer(f"/v1/breakdown?by=user_agent,client_ip&{SPAN}"))["rows"]
    assert sorted((*row["key"], row["requests"]) for row in rows) == [
        ("", "192.0.2.0", 1),
        ("", "192.0.2.1", 1),
        ("Firefox", "192.0.2.0", 1),
        ("curl", "192.0.2.0", 1),
        ("curl", "192.0.2.1", 1),
    ]
    usage = await filled.answer(f"/v1/developer/usage?{SPAN}&include=user_agent:curl")
    assert usage["usage"]["totalRequests"] == 2
    page = await filled.answer(f"/v1/events?{SPAN}&include=user_agent:curl")
    assert [event["user_agent"] for event in page["events"]] == ["curl/7.1", "curl/8.4.0"]
    assert "user_agent_family" not in page["events"][0]
    exported = await filled.get(f"/v1/export/events?{SPAN}&include=user_agent:Firefox&fields=user_agent")
    assert await exported.text() == '{"user_agent":"Mozilla/5.0 Firefox/1"}\n'


async def test_a_live_stream_takes_them_too(embedded_store):
    settings = QuerySettings(evaluate_alerts=False, live=LiveLimits(poll_s=0.01))
    async with running_query_service(embedded_store, settings, clock=lambda: START + 20) as service:
        response = await service.get("/v1/events/live?include=user_agent:curl&exclude=client_ip:192.0.2.1")
        await embedded_store.run_reserved(insert_events, embedded_store, EVENTS)
        (message,) = await EventStream(response).requests(1)
    assert message.data["user_agent"] == "curl/8.4.0"
    assert "user_agent_family" not in message.data
