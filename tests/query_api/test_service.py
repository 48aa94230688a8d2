"""The service around its answers: timeseries requests, errors, other origins, the log, load, and its pages."""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from aiohttp import web

from apimetry.query_api.app import create_app
from apimetry.query_api.engine import Engine
from apimetry.query_api.queueing.askers import Client
from apimetry.query_api.queueing.fair_queue import Asker
from apimetry.query_api.settings import QuerySettings
from apimetry.serving.errors import BadRequest, Unavailable
from apimetry.store.errors import QueryLimitExceeded
from tests.support.oracles.query_events import Event, insert_events
from tests.support.services.query_service import assert_error, running_query_service

START, END = 1_412_605_036, 1_412_691_436
BASE = f"/1/timeseries/{START}/{END}/"
HOUR = START // 3600 * 3600


def at(second, **fields):
    return Event(timestamp=second * 1_000_000, **fields)


async def test_timeseries_requests_have_their_answers(service):
    insert_events(
        service.accounts.store,
        [
            at(START, method="GET", consumer_id="actorlist", function="list", response_us=100),
            at(START + 10, method="POST", consumer_id="actorlist", function="make", response_us=300),
            at(HOUR + 3600, method="GET", consumer_id="", function="list", response_us=200, sample_weight=3),
            at(END, method="GET"),
        ],
    )
    first, second, whole = HOUR, HOUR + 3600, {"start": START, "end": END}
    hourly = {**whole, "granularity": 3_600_000}
    assert await service.answer(BASE) == {"groups": {"shop": [[START, 5]]}, **whole, "granularity": 86_400_000}
    assert await service.answer(BASE.rstrip("/")) == await service.answer(BASE)
    for query, groups in [
        ("?granularity=hour", {"shop": [[first, 2], [second, 3]]}),
        ("?granularity=hour&group=consumer_id", {"actorlist": [[first, 2]], "": [[second, 3]]}),
        (
            "?granularity=hour&group=consumer_id&aggregation=percentile_95",
            {"actorlist": [[first, 300]], "": [[second, 200]]},
        ),
        (
            "?granularity=hour&group=function&aggregation=mean",
            {"list": [[first, 100.0], [second, 200.0]], "make": [[first, 300.0]]},
        ),
        ("?granularity=hour&include=method:GET", {"shop": [[first, 1], [second, 3]]}),
    ]:
        assert await service.answer(BASE + query) == {"groups": groups, **hourly}


async def test_the_requests_of_the_original_dashboard_are_understood(embedded_service):
    query = "?value=&group=status_code&granularity=&aggregation=&include=&_=1412691436000"
    assert (await embedded_service.answer(BASE + query))["groups"] == {}


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/1/timeseries/5/5/", "start is 5, end is 5"),
        ("/1/timeseries/x/5/", "start is 'x'"),
        ("/1/timeseries/0/1412605036000/", "milliseconds"),
        ("/1/timeseries/0/5/?group=url%27)--", 'group is "url\')--"'),
        ("/1/timeseries/0/5/?group=%00", "group is '\\x00'"),
        ("/1/timeseries/0/5/?grupo=url", "'grupo'"),
        ("/1/timeseries/0/5/?include=%ff:x", "include"),
        ("/1/timeseries/0/999999999/?granularity=second&fill=zero", "999999999 points"),
    ],
)
async def test_a_bad_question_is_a_400_that_names_the_value(embedded_service, path, named):
    await assert_error(await embedded_service.get(path), 400, named)


async def test_every_refusal_has_the_one_shape(embedded_service):
    await assert_error(await embedded_service.get("/nowhere"), 404, "/nowhere")
    response = await embedded_service.request("PUT", "/api/keys")
    await assert_error(response, 405, "PUT")
    assert response.headers["Allow"]
    response = await embedded_service.request("OPTIONS", "/api/keys")
    await assert_error(response, 405)


async def test_a_store_that_is_away_is_a_503_and_unready(server_store, clickhouse_server):
    async with running_query_service(server_store) as service:
        clickhouse_server.fault("refuse", count=1000, statement="SELECT")
        response = await service.get(BASE)
        await assert_error(response, 503)
        assert int(response.headers["Retry-After"]) > 0
        response = await service.client.get("/ready")
        assert (response.status, (await response.json())["ready"]) == (503, False)
        assert (await service.client.get("/health")).status == 200
        clickhouse_server.clear_faults()
        assert (await service.client.get("/ready")).status == 200


async def test_a_question_over_the_memory_limit_is_a_400_that_says_what_to_do(embedded_store):
    embedded_store.command(
        "INSERT INTO events (application, timestamp, url, retention_days) SELECT 'shop',"
        f" toDateTime64({START}, 6, 'UTC'), toString(number), 20000 FROM numbers(300000)"
    )
    settings = QuerySettings(max_query_memory_bytes=2 * 1024**2)
    async with running_query_service(embedded_store, settings) as service:
        await assert_error(await service.get(f"{BASE}?group=url&limit=3"), 400, "2 MiB", "shorter range")


PREFLIGHT = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-api-key,authorization"}


async def test_any_page_may_read_with_a_key_and_change_nothing(embedded_service):
    origin = {"Origin": "https://page.example"}
    response = await embedded_service.client.options(BASE, headers={**origin, **PREFLIGHT})
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    allowed = {name.strip().lower() for name in response.headers["Access-Control-Allow-Headers"].split(",")}
    assert allowed == {"x-api-key", "authorization", "x-auth-user", "x-auth-key", "content-type"}
    assert response.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
    assert "Access-Control-Allow-Credentials" not in response.headers
    # A page reads refusals too.
    for path, status in [(BASE, 200), ("/nowhere", 404), (f"{BASE}?fill=x", 400)]:
        response = await embedded_service.get(path, headers=origin)
        assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (status, "*")


async def test_named_origins_may_change_things_and_others_may_not_even_read(embedded_store):
    settings = QuerySettings(allowed_origins=("https://ours.example",))
    async with running_query_service(embedded_store, settings) as service:
        for origin, header in [("https://ours.example", "https://ours.example"), ("https://page.example", None)]:
            preflight = await service.client.options("/api/keys", headers={"Origin": origin, **PREFLIGHT})
            response = await service.get(BASE, headers={"Origin": origin})
            for answer in (preflight, response):
                assert answer.headers.get("Access-Control-Allow-Origin") == header
                assert answer.headers["Vary"] == "Origin"
            assert ("DELETE" in preflight.headers.get("Access-Control-Allow-Methods", "")) is (header is not None)


async def test_the_log_has_the_route_and_neither_key_nor_query_string_nor_address(embedded_service, caplog):
    with caplog.at_level(logging.DEBUG):
        await embedded_service.get(f"{BASE}?include=consumer_id:secret-consumer")
        await embedded_service.get(f"{BASE}?include=secret-consumer")
        await embedded_service.get("/secret-path")
    messages = [r.getMessage() for r in caplog.records if r.name.startswith("apimetry")]
    assert any(re.fullmatch(r"GET /1/timeseries/\{start\}/\{end\}/ 200 \d+\.\d ms", line) for line in messages)
    assert any(line.startswith("GET (unmatched) 404 ") for line in messages)
    # aiohttp's own access log writes paths and addresses; whoever starts the service leaves it off.
    for word in ("secret", "apimetry_r_", "127.0.0.1"):
        assert not [line for line in messages if word in line]


async def test_metrics_count_by_route_and_carry_no_value(embedded_service):
    await embedded_service.get(f"{BASE}?include=consumer_id:secret")
    text = await (await embedded_service.client.get("/metrics")).text()
    line = 'apimetry_query_http_requests_total{route="/1/timeseries/{start}/{end}/",status="200"} 1.0'
    assert line in text
    assert "secret" not in text


async def test_long_answers_are_compressed_for_clients_that_accept_it(embedded_service):
    long = f"{BASE}?granularity=minute&fill=zero"
    plain = await embedded_service.get(long, headers={"Accept-Encoding": "identity"})
    packed = await embedded_service.get(long, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"]) / 3
    assert await packed.json() == await plain.json()
    short = await embedded_service.get(BASE, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in short.headers


async def test_many_questions_at_once_each_get_their_own_answer(service):
    events = [at(START + i, consumer_id=f"c{i % 20}", sample_weight=1 + i % 20) for i in range(400)]
    insert_events(service.accounts.store, events)

    async def ask(number):
        answer = await service.answer(f"{BASE}?include=consumer_id:c{number}")
        assert answer["groups"] == {"shop": [[START, 20 * (1 + number)]]}

    await asyncio.gather(*(ask(number % 20) for number in range(60)))


class SlowStore:
    """A store whose calls wait for `may_end`."""

    threads = 1
    embedded = False
    inserts = SimpleNamespace(delayed=nullcontext)

    def __init__(self):
        self.may_end = asyncio.Event()

    async def run(self, function, *args):
        await self.may_end.wait()
        return function(*args)


async def test_more_questions_than_may_wait_are_refused_at_once_and_leave_no_trace():
    store, client = SlowStore(), Client(Asker("o", "k"), has_left=lambda: False)
    engine = Engine(store, QuerySettings(max_waiting_queries=4))

    def number(_ask, text):
        return int(text)

    waiting = [asyncio.create_task(engine.run(client, number, "1")) for _ in range(2)]
    for _ in range(3):
        await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="1 requests of this key are waiting") as refusal:
        await engine.run(client, number, "1")
    assert refusal.value.headers["Retry-After"] == "2"
    store.may_end.set()
    assert await asyncio.gather(*waiting) == [1, 1]
    assert (engine.queue.running, engine.queue.waiting) == (0, 0)
    with pytest.raises(ValueError, match="x"):
        await engine.run(client, number, "x")
    assert await engine.run(client, number, "2") == 2


class HangingStore:
    """A store that never answers."""

    threads = 1
    embedded = False

    def query(self, sql):
        raise AssertionError("never reached")

    async def run_reserved(self, function, *args):
        await asyncio.Event().wait()


async def test_a_store_that_hangs_makes_the_service_unready_in_time():
    engine = Engine(HangingStore(), QuerySettings(max_ready_time_s=0.01))
    assert await engine.unready_reasons() == ["the store did not answer within 0.01 s"]


async def test_a_question_that_takes_too_long_is_the_askers_to_change():
    store = SlowStore()
    store.may_end.set()

    def slow(_ask):
        raise QueryLimitExceeded("TIMEOUT_EXCEEDED (code 159)")

    with pytest.raises(BadRequest, match=r"30 s or 2048 MiB .* shorter range"):
        await Engine(store, QuerySettings()).run(Client(Asker("o", "k"), lambda: False), slow)


async def test_a_question_with_too_many_bytes_of_rows_is_the_askers_to_change(embedded_store):
    insert_events(embedded_store, [at(START + i, route=f"/{i}") for i in range(500)])
    settings = QuerySettings(evaluate_alerts=False, max_query_result_bytes=2000)
    async with running_query_service(embedded_store, settings) as service:
        await service.answer(BASE)
        response = await service.get(f"{BASE}?group=route")
        await assert_error(response, 400, "shorter range")


async def test_the_reference_has_each_operation_once_with_its_other_paths_and_address(embedded_service):
    text = await (await embedded_service.client.get("/docs")).text()
    document = await (await embedded_service.client.get("/openapi.json")).json()
    described = re.findall(r'<span class="method">(\w+)</span><h3><code>([^<]+)</code>', text)
    assert len(set(described)) == len(described)
    paths = [path for _, path in described]
    assert paths.count("/1/event/") == 1
    assert {"/1/event", "/1/events/", "/1/events", "/1/timeseries/{start}/{end}"}.isdisjoint(paths)
    assert "The same at <code>/1/event</code>, <code>/1/events/</code>, <code>/1/events</code>." in text
    assert "The same at <code>/1/timeseries/{start}/{end}</code>." in text
    # Every path of the document is on the page, described or named.
    assert all(f"<code>{path}</code>" in text for path in document["paths"])
    assert "At the collector, by default <code>http://127.0.0.1:7998</code>." in text
    shown = re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL)
    assert "`" not in shown


async def test_pages_load_nothing_run_nothing_and_fit_their_policy(embedded_service):
    for path in ("/", "/docs"):
        response = await embedded_service.client.get(path)
        text = await response.text()
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "<script" not in text
        # Addresses may stand in the text, as examples; none may be in an attribute, which the browser would follow.
        assert not re.findall(r"""\son\w+=|style=|src=|url\(|@import|<[^>]+["']https?://""", text)
        links = set(re.findall(r'<a href="([^"]+)"', text))
        assert "/docs" in links
        for link in links:
            assert (await embedded_service.client.get(link)).status == 200


async def test_the_first_question_of_the_start_page_is_one_that_works(embedded_service):
    text = await (await embedded_service.client.get("/")).text()
    queries = [query.replace("&amp;", "&") for query in re.findall(r"<td><code>([^<]+)</code></td>", text)]
    assert len(queries) >= 4
    for query in [*queries, "granularity=hour"]:
        await embedded_service.answer(f"{BASE}?{query}")


async def test_the_service_needs_no_store_to_be_made(embedded_store):
    async with running_query_service(embedded_store) as service:
        assert isinstance(create_app(embedded_store, service.directory, QuerySettings()), web.Application)


@pytest.mark.parametrize("name", ["max_points", "max_groups", "max_waiting_queries", "max_body_bytes"])
def test_limits_of_nothing_are_refused(name):
    with pytest.raises(ValueError, match=name):
        QuerySettings(**{name: 0})
