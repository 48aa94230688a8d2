"""`GET /v1/events/live` over HTTP: what is stored arrives once, for as long as the key is valid."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import replace

import pytest

from apimetry.query_api.events.feed import Feed
from apimetry.query_api.events.positions import position_of_id
from apimetry.query_api.queueing.askers import Client
from apimetry.query_api.queueing.fair_queue import Asker
from apimetry.query_api.settings import LiveLimits, QuerySettings
from tests.support.oracles.query_events import Event, insert_events, random_events
from tests.support.services.event_stream import EventStream
from tests.support.services.query_service import assert_error, running_query_service

PATH = "/v1/events/live"
QUICK = LiveLimits(poll_s=0.01)


def settings(**limits):
    return QuerySettings(evaluate_alerts=False, live=replace(QUICK, **limits))


@pytest.fixture
async def live(embedded_store):
    async with running_query_service(embedded_store, settings()) as service:
        yield service


async def opened(service, query="", **headers):
    """The messages of a stream that has begun."""
    response = await service.get(f"{PATH}{query}", headers=headers)
    assert response.status == 200, await response.text()
    return EventStream(response)


def now_us():
    return time.time_ns() // 1000


async def insert(service, events, token):
    await service.accounts.store.run_reserved(insert_events, service.accounts.store, events, token)


async def test_each_stored_event_arrives_once_at_each_client_whose_filters_it_passes(store):
    async with running_query_service(store, settings(events_per_s=10**6)) as service:
        await insert(service, [Event(timestamp=now_us(), url="/before")], "before")
        everything = await opened(service)
        failures = await opened(service, "?include=status_code:5xx&fields=status_code,url")
        foreign = EventStream(await service.get(PATH, "their read"))
        rng, sent = random.Random(3), []
        for part in range(6):
            events = [
                replace(event, application="shop", timestamp=now_us() - rng.choice([0, 5, 9_000_000]))
                for event in random_events(part, 30, 1, 2)
            ]
            # Equal events are events of their own.
            sent += [*events, events[0], events[0]]
            await insert(service, [*events, events[0], events[0]], f"part {part}")
        await insert(service, [Event("theirs", now_us(), url="/theirs")], "theirs")
        received = await everything.requests(len(sent))
        stored = (await service.answer("/v1/events?limit=500"))["events"]
        assert sorted(message.id for message in received) == sorted(e["id"] for e in stored if e["url"] != "/before")
        by_id = {event.pop("id"): event for event in stored}
        assert all(message.data == by_id[message.id] for message in received)
        failed = await failures.requests(sum(event.status_code >= 500 for event in sent))
        assert all(list(message.data) == ["status_code", "url"] for message in failed)
        assert sorted(m.id for m in failed) == sorted(m.id for m in received if m.data["status_code"] >= 500)
        assert [message.data["url"] for message in await foreign.requests(1)] == ["/theirs"]


async def test_the_answer_is_a_stream_that_nothing_on_the_way_may_keep(live):
    stream = await opened(live)
    await insert(live, [Event(timestamp=now_us())], "one")
    await stream.requests(1)
    headers = stream.response.headers
    assert stream.retry_ms == 2000
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Accel-Buffering"] == "no"
    assert "Content-Encoding" not in headers


async def test_a_client_that_comes_back_gets_what_it_missed(live):
    stream = await opened(live)
    await insert(live, [Event(timestamp=now_us() + number, url=f"/{number}") for number in range(3)], "first")
    first = await stream.requests(3)
    stream.response.close()
    await insert(live, [Event(timestamp=now_us(), url="/missed")], "second")
    back = await opened(live, **{"Last-Event-ID": first[1].id})
    assert [message.data["url"] for message in await back.requests(2)] == ["/2", "/missed"]
    # A process that knows nothing of the client goes by the time.
    other = await opened(live, **{"Last-Event-ID": first[2].id[:-2] + "AA"})
    assert [message.data["url"] for message in await other.requests(1)] == ["/missed"]
    fresh = await opened(live, **{"Last-Event-ID": "no id"})
    await insert(live, [Event(timestamp=now_us(), url="/new")], "third")
    assert [message.data["url"] for message in await fresh.requests(1)] == ["/new"]


async def test_one_stream_more_than_allowed_is_refused_until_one_has_left(embedded_store):
    async with running_query_service(embedded_store, settings(streams=2)) as service:
        streams = [await opened(service) for _ in range(2)]
        refused = await service.get(PATH)
        assert refused.headers["Retry-After"] == "30"
        await assert_error(refused, 503, "2 live streams are open already")
        assert "apimetry_query_live_streams 2.0" in await (await service.client.get("/metrics")).text()
        streams[0].response.close()
        for _ in range(1000):
            response = await service.get(PATH)
            if response.status == 200:
                break
            await asyncio.sleep(0.01)
        assert response.status == 200


async def test_an_organization_leaves_a_quarter_of_the_streams_to_others_and_its_links_half_of_its_own(
    embedded_store,
):
    async with running_query_service(embedded_store, settings(streams=4)) as service:
        token = await link_token(service)
        streams = [EventStream(await service.get(PATH, token))]
        await assert_error(await service.get(PATH, token), 503, "1 of this organization's links' live streams")
        streams += [await opened(service) for _ in range(2)]
        await assert_error(await service.get(PATH), 503, "3 of this organization's live streams")
        foreign = EventStream(await service.get(PATH, "their read"))
        await assert_error(await service.get(PATH, "their read"), 503, "4 live streams are open already")
        for stream in (*streams, foreign):
            stream.response.close()


async def test_there_are_no_more_feeds_than_streams(embedded_store):
    async with running_query_service(embedded_store, settings(streams=2)) as service:
        (live,) = [
            route.handler.__self__ for route in service.app.router.routes() if route.resource.canonical == PATH
        ]
        for number in range(2):
            service.accounts.create_application(
                service.organization_id, f"App {number}", application_id=f"app-{number}"
            )
        await service.directory.refresh()
        held = await opened(service)
        for number in range(2):
            stream = EventStream(await service.get(f"{PATH}?application=app-{number}", "admin"))
            assert len(live._feeds) == 2
            assert {feed._kept_bytes for feed in live._feeds.values()} == {QUICK.kept_bytes // 2}
            assert "shop" in live._feeds
            stream.response.close()
            for _ in range(1000):
                if len(live._streams) == 1:
                    break
                await asyncio.sleep(0.01)
        held.response.close()


async def test_a_revoked_key_ends_its_stream(live):
    stream, admin = await opened(live), EventStream(await live.get(f"{PATH}?application=shop", "admin"))
    keys = live.accounts.keys(live.organization_id)
    (key_id,) = [key.id for key in keys if key.kind.value == "read"]
    response = await live.request("DELETE", f"/api/keys/{key_id}")
    assert response.status == 204
    await live.directory.refresh()
    message = await stream.next()
    assert (message.kind, message.data) == ("end", {"reason": "the key is not valid any more"})
    assert await stream.next() is None
    await insert(live, [Event(timestamp=now_us())], "one")
    await admin.requests(1)


async def link_token(service, **body):
    response = await service.request(
        "POST", "/api/shares", json={"application": "shop", "pages": ["requests"], **body}
    )
    return (await response.json())["path"].partition("#")[2]


async def test_a_link_streams_what_it_shows_until_it_ends(live):
    token = await link_token(live, include=["consumer_id:acme"], hides=["url", "data"])
    stream = EventStream(await live.get(f"{PATH}?has=route:a", token))
    assert stream.response.status == 200
    events = [
        Event(timestamp=now_us() + number, consumer_id=consumer, route=route, url=f"/{number}")
        for number, (consumer, route) in enumerate([("globex", "/a"), ("acme", "/b"), ("acme", "/a")])
    ]
    await insert(live, events, "one")
    (message,) = await stream.requests(1)
    assert (message.data["consumer_id"], message.data["route"]) == ("acme", "/a")
    assert not {"url", "data"} & set(message.data)
    await assert_error(await live.get(f"{PATH}?include=url:/1", token), 403, "This link does not show url")
    (shared,) = (await live.answer("/api/shares", "admin"))["shares"]
    assert (await live.request("DELETE", f"/api/shares/{shared['id']}")).status == 204
    assert (await stream.next()).kind == "end"
    late = await link_token(live, notBefore=int(time.time()))
    await assert_error(await live.get(PATH, late), 403, "nothing before")


async def test_streams_end_when_the_service_stops(embedded_store):
    async with running_query_service(embedded_store, settings()) as service:
        streams = [await opened(service) for _ in range(3)]
        stopping = asyncio.ensure_future(service.app.shutdown())
        for stream in streams:
            message = await stream.next()
            assert (message.kind, message.data) == ("end", {"reason": "the service stops"})
            assert await stream.next() is None
        await stopping
        late = await opened(service)
        assert (await late.next()).data == {"reason": "the service stops"}


async def test_a_client_that_takes_nothing_is_cut_off_which_is_counted(embedded_store):
    limits = settings(patience_s=0.2, events_per_s=10**6)
    async with running_query_service(embedded_store, limits) as service:
        stream = await opened(service)
        large = {"text": "x" * 100_000}
        for number in range(40):
            events = [Event(timestamp=now_us() + n, data=large) for n in range(20)]
            await insert(service, events, str(number))
            metrics = await (await service.client.get("/metrics")).text()
            if "apimetry_query_live_cut_off_total 1.0" in metrics:
                break
        else:
            for _ in range(1000):
                metrics = await (await service.client.get("/metrics")).text()
                if "apimetry_query_live_cut_off_total 1.0" in metrics:
                    break
                await asyncio.sleep(0.01)
        assert "apimetry_query_live_cut_off_total 1.0" in metrics
        stream.response.close()


async def test_a_bad_parameter_is_a_400(live):
    await assert_error(await live.get(f"{PATH}?fields=id"), 400, "fields is 'id'")
    await assert_error(await live.get(f"{PATH}?start=1"), 400, "a parameter's name is 'start'")


class OneByOne:
    """Stand in for the engine: run each poll at once, and count it."""

    def __init__(self, store):
        self._store = store
        self.clients = []
        self.polls = asyncio.Queue()

    async def run(self, client, query, *args):
        self.clients.append(client)
        self.polls.put_nowait(client)
        return query(self._store.ask, *args)


class Taker:
    def __init__(self, name):
        self.client = Client(Asker("ours", name), lambda: False)
        self.batches = []

    def take(self, batch):
        self.batches.append(batch)


async def test_readers_of_one_application_share_each_poll(embedded_store):
    engine = OneByOne(embedded_store)
    feed = Feed("shop", engine, time.time, LiveLimits(poll_s=3600))
    readers = [Taker("a"), Taker("b"), Taker("c")]
    async with contextlib.AsyncExitStack() as stack:
        for reader in readers:
            await stack.enter_async_context(feed.read_by(reader, None))
        assert len(engine.clients) == 1
        insert_events(embedded_store, [Event(timestamp=now_us())])
        await feed.poll(readers[1].client)
        assert len(engine.clients) == 2
    assert [len(reader.batches) for reader in readers] == [1, 1, 1]


async def test_a_feed_without_readers_polls_no_more_and_is_idle_after_a_minute(embedded_store):
    now = [time.time()]
    engine = OneByOne(embedded_store)
    feed = Feed("shop", engine, lambda: now[0], LiveLimits(poll_s=0.001))
    async with feed.read_by(Taker("a"), None):
        for _ in range(3):
            await asyncio.wait_for(engine.polls.get(), 30)
        assert not feed.is_idle
    polls = len(engine.clients)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(engine.clients) == polls
    assert not feed.is_idle
    now[0] += 60
    assert feed.is_idle


async def test_what_feeds_keep_for_clients_that_come_back_is_bounded_in_bytes(embedded_store):
    limits = LiveLimits(poll_s=3600, kept_bytes=500_000)
    feed, reader = Feed("shop", OneByOne(embedded_store), time.time, limits), Taker("a")
    async with feed.read_by(reader, None):
        for number in range(3):
            url = "\U0001f600" + "x" * 2000
            insert_events(embedded_store, [Event(timestamp=now_us(), url=url) for _ in range(30)], f"feed-{number}")
            await feed.poll(reader.client)
            assert 0 < sum(batch.size for batch in feed._batches) <= 500_000
        assert sum(len(batch.events) for batch in reader.batches) == 90
        feed.hold_to(100_000)
        assert sum(batch.size for batch in feed._batches) <= 100_000


async def test_the_id_of_a_live_event_is_the_id_of_the_stored_one(live):
    stream = await opened(live, "?fields=url")
    await insert(live, [Event(timestamp=now_us(), url="/x")] * 2, "two")
    messages = await stream.requests(2)
    assert [position_of_id(message.id).copies for message in messages] == [1, 2]
    for message in messages:
        assert (await live.answer(f"/v1/events/{message.id}"))["url"] == "/x"
