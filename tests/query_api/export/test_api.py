"""Your data out: every event, exactly, or an error that cannot be taken for a file."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
from itertools import product

import aiohttp
import pyarrow.parquet
import pytest

from apimetry.query_api.export.pace import Pace
from apimetry.query_api.planning.event_fields import FIELDS
from apimetry.query_api.settings import QuerySettings
from tests.support.oracles.query_events import Event, insert_events, random_events
from tests.support.services.query_service import assert_error, running_query_service

START = 1_413_295_200
START_US = START * 1_000_000
NASTY = "a\"b'c\\d/," + "".join(map(chr, range(32))) + "\x7f\u2028ü😀</script>{x:Int}"
BEGINNINGS = {"ndjson": "SELECT concat('{", "csv": "SELECT toDecimal64", "parquet": "SELECT timestamp,"}
EVENTS = [
    Event(
        "shop",
        START_US + 1,
        url=NASTY,
        response_us=None,
        data={NASTY: NASTY, "": ""},
        user_agent=NASTY,
        sample_weight=7,
    ),
    Event(timestamp=START_US + 123_456, request_bytes=2**53, response_us=2**40 - 1, consumer_id="acme", source="a:b"),
    Event(timestamp=START_US + 2_000_000, status_code=599, error_type="E", ttfb_us=0, response_bytes=0, version="1"),
    Event("theirs", START_US + 3),
]
OURS = EVENTS[:3]


def as_object(event):
    values = {name: getattr(event, name) for name in FIELDS}
    return {**values, "timestamp": event.timestamp / 1_000_000}


async def test_ndjson_is_every_event_of_the_application_with_all_its_fields(service):
    insert_events(service.accounts.store, EVENTS)
    response = await service.get("/v1/export/events?start=1413295200&end=1413295203")
    assert response.headers["Content-Type"] == "application/x-ndjson; charset=utf-8"
    assert response.headers["Content-Disposition"] == (
        'attachment; filename="shop-events-20141014T140000Z-20141014T140003Z.ndjson"'
    )
    assert response.headers["X-Apimetry-Retention-Days"] == "365"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    lines = (await response.text()).split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == [as_object(event) for event in OURS]
    assert [list(json.loads(line)) for line in lines] == [list(FIELDS)] * 3


async def test_csv_is_every_event_with_a_heading(service):
    insert_events(service.accounts.store, EVENTS)
    response = await service.get("/v1/export/events?format=csv")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'attachment; filename="shop-events.csv"'
    rows = list(csv.DictReader(io.StringIO((await response.read()).decode(), newline="")))
    assert [json.loads(row["data"]) for row in rows] == [event.data for event in OURS]
    assert [row["url"] for row in rows] == [event.url for event in OURS]
    assert [row["timestamp"] for row in rows] == ["1413295200.000001", "1413295200.123456", "1413295202"]
    assert [row["ttfb_us"] for row in rows] == ["", "", "0"]
    assert [row["response_us"] for row in rows] == ["", str(2**40 - 1), "0"]


async def test_parquet_is_every_event_with_its_types(service):
    insert_events(service.accounts.store, EVENTS)
    response = await service.get("/v1/export/events?format=parquet", headers={"Accept-Encoding": "gzip"})
    assert response.content_type == "application/vnd.apache.parquet"
    assert "Content-Encoding" not in response.headers
    table = pyarrow.parquet.read_table(io.BytesIO(await response.read()))
    assert table.column_names == list(FIELDS)
    assert [int(time.timestamp() * 1e6 + 0.5) for time in table["timestamp"].to_pylist()] == [
        event.timestamp for event in OURS
    ]
    assert [dict(pairs) for pairs in table["data"].to_pylist()] == [event.data for event in OURS]
    for name in ("url", "response_us", "ttfb_us"):
        assert table[name].to_pylist() == [getattr(event, name) for event in OURS]


@pytest.mark.parametrize("form", ["ndjson", "csv", "parquet"])
async def test_without_events_the_file_is_empty_and_whole(service, form):
    body = await (await service.get(f"/v1/export/events?format={form}")).read()
    if form == "parquet":
        assert pyarrow.parquet.read_table(io.BytesIO(body)).num_rows == 0
    else:
        assert body.decode().splitlines() == ([",".join(FIELDS)] if form == "csv" else [])


@pytest.mark.parametrize("form", ["ndjson", "csv"])
async def test_a_client_that_accepts_gzip_gets_it_and_another_one_does_not(embedded_service, form):
    insert_events(embedded_service.accounts.store, EVENTS)
    plain, packed, refused = [
        await embedded_service.client.get(
            f"/v1/export/events?format={form}",
            headers={"X-API-Key": embedded_service.keys["read"], "Accept-Encoding": accepted},
            auto_decompress=False,
        )
        for accepted in ("identity", "br, GZIP;q=0.8", "gzip;q=0.0, identity")
    ]
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in {**plain.headers, **refused.headers}
    body = await plain.read()
    assert gzip.decompress(await packed.read()) == body == await refused.read()


async def test_fields_and_filters_narrow_what_is_exported(service):
    insert_events(service.accounts.store, EVENTS)
    response = await service.get("/v1/export/events?include=source:a:b&fields=consumer_id,timestamp")
    assert await response.text() == '{"consumer_id":"acme","timestamp":1413295200.123456}\n'
    response = await service.get("/v1/export/events?exclude=status_code:200&fields=timestamp,status_code&format=csv")
    assert await response.text() == 'timestamp,status_code\n1413295202,"599"\n'


async def test_many_events_come_all_and_in_the_order_of_time(service):
    events = [
        event for event in random_events(7, 20_000, 1_413_295_200, 1_413_900_000) if event.application == "shop"
    ]
    for part in range(3):
        insert_events(service.accounts.store, events[part::3], f"part {part}")
    lines = (await (await service.get("/v1/export/events?fields=timestamp")).text()).splitlines()
    times = [round(json.loads(line)["timestamp"] * 1_000_000) for line in lines]
    assert times == sorted(event.timestamp for event in events)


@pytest.mark.parametrize("form", ["ndjson", "csv", "parquet"])
async def test_limit_takes_the_first_events_of_the_order_in_every_format(service, form):
    events = [event for event in random_events(8, 3000, START, START + 500_000) if event.application == "shop"]
    insert_events(service.accounts.store, events)
    times = sorted(event.timestamp for event in events)
    for order, expected in [("desc", times[::-1]), ("asc", times)]:
        query = f"/v1/export/events?fields=timestamp,url&format={form}&order={order}"
        for limit in (1, 700, 1_000_000):
            body = await body_of(service, f"{query}&limit={limit}")
            assert times_in(body, form) == expected[:limit]
        assert times_in(await body_of(service, query), form) == expected


def times_in(body, form):
    if form == "parquet":
        return [round(time.timestamp() * 1e6) for time in pyarrow.parquet.read_table(io.BytesIO(body))[0].to_pylist()]
    if form == "csv":
        return [
            round(float(row["timestamp"]) * 1e6) for row in csv.DictReader(io.StringIO(body.decode(), newline=""))
        ]
    return [round(json.loads(line)["timestamp"] * 1e6) for line in body.splitlines()]


FORMULAS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\rx", "\nx", " =1", "'=1", '"=1+1"', "\u201c=1", "\uff1d1", "\uff0b1",
    "\uff0d1", "\uff20x", "\u22121", "\u00a0=1", "\ufeff=1", "\u3000=1", "\0=1", "`=1", "''=1",
]  # fmt: skip
HARMLESS = ["", "/a=b", "1+1", "a-b", "me@example.com", "'quoted'", "é=1", "\uff0c=", "{=1}", "100%", "|x"]


async def test_csv_for_a_spreadsheet_has_no_formulas_and_plain_csv_has_what_was_sent(service):
    texts = [*FORMULAS, *HARMLESS]
    events = [Event(timestamp=START_US + i, url=t, consumer_id=t, user_agent=t) for i, t in enumerate(texts)]
    insert_events(service.accounts.store, events)
    for query, mark in [("", ""), ("&csv=plain", ""), ("&csv=spreadsheet", "'")]:
        content = await body_of(service, f"/v1/export/events?format=csv&fields=url,consumer_id,user_agent{query}")
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        expected = [mark + text for text in FORMULAS] + HARMLESS
        for field in ("url", "consumer_id", "user_agent"):
            assert [row[field] for row in rows] == expected
    whole = (await body_of(service, "/v1/export/events?format=csv&csv=spreadsheet")).decode()
    assert len(list(csv.DictReader(io.StringIO(whole, newline="")))) == len(texts)


async def test_csv_is_a_parameter_of_csv_alone(embedded_service):
    path = "/v1/export/events?csv=spreadsheet"
    await assert_error(await embedded_service.get(path), 400, "csv is 'spreadsheet'", "format is 'ndjson'")
    await assert_error(await embedded_service.get(f"{path[:-4]}&format=csv"), 400, "csv", "plain, spreadsheet")


async def test_a_bad_parameter_is_a_400(embedded_service):
    await assert_error(await embedded_service.get("/v1/export/events?format=xls"), 400, "format", "xls", "parquet")


async def test_an_admin_key_names_the_application(embedded_service):
    await assert_error(await embedded_service.get("/v1/export/events", "admin"), 400, "?application=ID")
    assert (await embedded_service.get("/v1/export/events?application=shop", "admin")).status == 200


LARGE = QuerySettings(max_exports=1, max_export_queue_time_s=0.05, max_export_behind_s=0.5)


def fill(store):
    """Insert more events than fit in the sockets' buffers: 60 MB."""
    store.command(
        "INSERT INTO events (application, timestamp, url, response_us, retention_days)"
        " SELECT 'shop', fromUnixTimestamp64Micro(toInt64(1413295200000000 + number)), randomPrintableASCII(1000), 1,"
        " 20000"
        " FROM numbers(60000)"
    )


@pytest.fixture
async def large(embedded_store):
    """A service that allows one export at a time, over many events."""
    fill(embedded_store)
    async with running_query_service(embedded_store, LARGE) as running:
        yield running


async def test_one_export_more_than_allowed_is_refused_and_a_question_is_not(large):
    response = await large.get("/v1/export/events")
    refused = await large.get("/v1/export/events")
    assert refused.headers["Retry-After"]
    await assert_error(refused, 503, "No slot was free", "0.05 s")
    assert (await large.answer("/1/timeseries/1413295200/1413295201/"))["groups"] == {"shop": [[1413295200, 60_000]]}
    assert (await response.read()).count(b"\n") == 60_000
    assert (await large.get("/v1/export/events?fields=url")).status == 200


async def test_two_readers_of_one_key_who_take_nothing_leave_room_for_another_organization(embedded_store):
    async with running_query_service(embedded_store, QuerySettings(max_export_queue_time_s=0.05)) as service:
        fill(embedded_store)
        held = [await service.get("/v1/export/events") for _ in range(2)]
        assert [response.status for response in held] == [200, 200]
        await assert_error(await service.get("/v1/export/events"), 503, "No slot was free")
        assert (await service.get("/v1/export/events?application=shop", "admin")).status == 200
        foreign = await service.get("/v1/export/events", "their read")
        assert (foreign.status, await foreign.read()) == (200, b"")
        for response in held:
            response.close()


async def until_free(service):
    """Return the first export that is not refused."""
    for _ in range(400):
        response = await service.get("/v1/export/events?fields=timestamp")
        if response.status == 200:
            return response
        await asyncio.sleep(0.05)
    raise AssertionError("the export's place was never free again")


async def test_a_client_that_leaves_ends_its_export(large):
    response = await large.get("/v1/export/events")
    await response.content.readexactly(100_000)
    response.close()
    assert (await (await until_free(large)).read()).count(b"\n") == 60_000


async def test_a_client_that_takes_nothing_is_cut_off_which_is_logged_and_counted(large, caplog):
    response = await large.get("/v1/export/events")
    assert (await (await until_free(large)).read()).count(b"\n") == 60_000
    with pytest.raises(aiohttp.ClientError):
        await response.read()
    assert (
        "an export of application shop was cut off: its reader fell 0.5 s behind 16384 bytes a second" in caplog.text
    )
    assert "apimetry_query_slow_readers_total 1.0" in await (await large.client.get("/metrics")).text()


async def test_a_client_that_reads_slowly_and_steadily_gets_the_whole_file(embedded_store):
    # Ten times as fast as it must be, and a hundred times as slow as it could: it is never behind.
    settings = QuerySettings(min_export_bytes_per_s=1_000_000, max_export_behind_s=1.0)
    fill(embedded_store)
    async with running_query_service(embedded_store, settings) as service:
        response = await service.get("/v1/export/events")
        read = 0
        async for piece in response.content.iter_chunked(64 * 1024):
            read += piece.count(b"\n")
            await asyncio.sleep(len(piece) / 12_000_000)
    assert read == 60_000


@pytest.mark.parametrize(
    ("steps", "behind_s"),
    [
        # Bytes taken, and seconds that were waited for them, at 100 bytes a second.
        ([(100, 1.0), (100, 1.0)], 0.0),
        ([(100, 2.0)] * 5, 5.0),
        ([(100, 3.0), (100, 0.5), (100, 0.5)], 1.0),
        # Nothing is saved up.
        ([(100_000, 0.0), (100, 4.0)], 3.0),
    ],
)
def test_what_a_reader_is_behind_is_waited_time_beyond_the_smallest_rate(steps, behind_s):
    pace = Pace(100, 10.0)
    for size, waited_s in steps:
        pace.record(size, waited_s)
    assert pace.behind_s == pytest.approx(behind_s)
    assert pace.patience_s(500) == pytest.approx(15.0 - behind_s)


async def body_of(service, path, **arguments):
    response = await service.get(path, **arguments)
    response.raise_for_status()
    return await response.read()


async def test_an_error_in_the_middle_is_not_the_end_of_a_file(clickhouse_server, server_store):
    insert_events(server_store, random_events(3, 500, 1_413_295_200, 1_413_300_000))
    async with running_query_service(server_store) as service:
        for form, encoding in product(("ndjson", "csv", "parquet"), ("identity", "gzip")):
            clickhouse_server.fault("broken", statement=BEGINNINGS[form])
            with pytest.raises(aiohttp.ClientError):
                await body_of(service, f"/v1/export/events?format={form}", headers={"Accept-Encoding": encoding})


async def test_an_error_in_the_middle_resets_a_connection_of_http_1_0(clickhouse_server, server_store):
    insert_events(server_store, random_events(3, 500, 1_413_295_200, 1_413_300_000))
    async with running_query_service(server_store) as service:
        clickhouse_server.fault("broken", statement=BEGINNINGS["ndjson"])
        reader, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
        writer.write(f"GET /v1/export/events HTTP/1.0\r\nX-API-Key: {service.keys['read']}\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_an_error_before_the_first_event_is_an_answer(clickhouse_server, server_store):
    async with running_query_service(server_store) as service:
        clickhouse_server.fault("status", status=503, code=203, statement="SELECT toDecimal64")
        await assert_error(await service.get("/v1/export/events?format=csv"), 503, "store is not available")
