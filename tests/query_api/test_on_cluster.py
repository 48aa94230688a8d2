"""The query service over two shards answers as over one server, and says so when a shard is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import pytest

from apimetry.query_api.settings import QuerySettings
from apimetry.store import migrations
from apimetry.store.client import Store
from tests.support.engine.cluster import Cluster
from tests.support.oracles.query_events import insert_events, random_events
from tests.support.services.query_service import assert_error, running_query_service

NOW = 1_705_765_500
START = NOW - 9 * 86_400
RANGE = f"start={START}&end={NOW}"
SERIES = f"/1/timeseries/{START + 17}/{NOW - 5}/"
QUESTIONS = [
    SERIES,
    f"{SERIES}?include=consumer_id:alice",
    f"{SERIES}?granularity=day&group=route&fill=zero",
    *(f"{SERIES}?granularity=hour&aggregation={aggregation}" for aggregation in ("mean", "max", "percentile_95")),
    "/v1/developer/usage",
    "/v1/developer/usage?timeframe=7d&granularity=day&tz=Asia/Kolkata",
    "/v1/developer/usage?timeframe=30d&granularity=week&tz=America/St_Johns",
    f"/v1/breakdown?{RANGE}&by=route,method&sort=p95Ms",
    f"/v1/breakdown?{RANGE}&by=consumer_id&sort=errors&series=1&tz=Pacific/Chatham",
    f"/v1/summary?{RANGE}&compare=previous&completeness=1",
    f"/v1/latency?{RANGE}",
    f"/v1/values?{RANGE}&field=consumer_id",
    f"/v1/versions?{RANGE}",
    f"/v1/events?{RANGE}&limit=50",
    f"/v1/quality?{RANGE}",
    "/v1/developer/insights",
]
SETTINGS = QuerySettings(evaluate_alerts=False)
# Of 80 MB a shard, which no buffer on the way to the client holds: the export waits for the shard that dies.
MANY_EVENTS = """INSERT INTO events (application, timestamp, url, retention_days) SELECT
  'shop', fromUnixTimestamp({start:UInt32}) + number, randomPrintableASCII(400), 20000 FROM numbers(400000)"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    cluster.start()
    yield cluster
    cluster.close()


@contextmanager
def stores_of(cluster: Cluster, name: str) -> Iterator[list[Store]]:
    """One store through each node, of a migrated database of a test's own."""
    urls = [url.replace(cluster.database, f"{cluster.database}_{name}") for url in cluster.urls]
    stores = [Store(url, cluster=cluster.name) for url in urls]
    for store in stores:
        store.open()
    migrations.migrate(stores[0])
    yield stores
    for store in stores:
        store.close()


async def test_every_question_is_answered_as_by_one_server_whatever_its_time_zone(cluster, embedded_store):
    events = random_events(7, 1_500, START, NOW)
    with stores_of(cluster, "same") as stores:
        for number in range(3):
            piece = events[number * 500 : (number + 1) * 500]
            insert_events(stores[number % 2], piece, token=f"segment {number}")
            insert_events(embedded_store, piece, token=f"segment {number}")
        async with (
            running_query_service(stores[1], SETTINGS, clock=lambda: NOW) as sharded,
            running_query_service(embedded_store, SETTINGS, clock=lambda: NOW) as single,
        ):
            for question in QUESTIONS:
                assert await sharded.answer(question) == await single.answer(question), question
            path = f"/v1/export/events?{RANGE}&format=ndjson"
            lines = [sorted((await (await service.get(path)).text()).splitlines()) for service in (sharded, single)]
            assert lines[0] == lines[1]
            assert len(lines[0]) == sum(event.application == "shop" for event in events)


async def test_a_lost_shard_breaks_an_export_off_and_is_named_and_partial_answers_say_so(cluster):
    with stores_of(cluster, "lost") as stores:
        stores[0].command(MANY_EVENTS, {"start": START})
        shards = stores[0].query("SELECT count() FROM events GROUP BY _shard_num ORDER BY _shard_num")
        async with running_query_service(stores[0], SETTINGS, clock=lambda: NOW) as service:
            export = await service.get(f"/v1/export/events?{RANGE}&format=ndjson")
            await export.content.read(1000)
            cluster.nodes[1].kill()
            try:
                with pytest.raises(aiohttp.ClientError):
                    await export.read()
                await assert_lost(service, shards[0][0])
            finally:
                cluster.nodes[1].restart()
            answer = await service.answer(f"/1/timeseries/{START}/{NOW}/?partial=1")
            assert answer["groups"] == {"shop": [[START, 400_000]]}
            assert "missing_shards" not in answer


async def assert_lost(service, left):
    """Assert that questions are refused, and that partial answers hold the events that are left and say so."""
    timeseries = f"/1/timeseries/{START}/{NOW}/"
    for path in (timeseries, f"/v1/breakdown?{RANGE}&by=method", f"/v1/events?{RANGE}"):
        response = await service.get(path)
        await assert_error(response, 503, "Shard 2 of the store's cluster", "partial=1", missing_shards=[2])
        assert response.headers["Retry-After"] == "5"
    answer = await service.answer(f"{timeseries}?partial=1")
    assert (answer["groups"], answer["missing_shards"]) == ({"shop": [[START, left]]}, [2])
    answer = await service.answer(f"/v1/developer/usage?start={START}&end={NOW}&partial=1")
    assert (answer["usage"]["totalRequests"], answer["missing_shards"]) == (left, [2])
    answer = await service.answer(f"/v1/quality?start={START}&end={NOW}&partial=1")
    assert (answer["withoutReports"], answer["missing_shards"]) == (left, [2])
    # What is billed is never partial.
    overview = await service.get("/api/analytics/overview?partial=1", "admin")
    await assert_error(overview, 503, "Shard 2", missing_shards=[2])
    await assert_error(await service.get(f"{timeseries}?partial=2"), 400, "partial is '2'")
    assert (await service.get("/ready")).status == 200
