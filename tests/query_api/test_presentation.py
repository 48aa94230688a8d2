"""Answers as flat records, and times in milliseconds."""

from __future__ import annotations

import pytest
import pytest_asyncio

from apimetry.store import migrations
from apimetry.store.client import Store
from tests.support.oracles.query_events import Event, insert_events, random_events
from tests.support.services.query_service import assert_error, running_query_service

pytestmark = pytest.mark.asyncio(loop_scope="module")

START = 1_413_295_200
DAY = 86_400
SERIES = f"/1/timeseries/{START}/{START + DAY}/"
TABLE = f"/v1/breakdown?start={START}&end={START + DAY}"
LATER = START + 30 * DAY
EDGES = [Event(timestamp=LATER * 1_000_000 + us) for us in (1, 10_999_999, 11_000_000)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(tmp_path_factory):
    """A service with events in two days, and with three more a month later."""
    store = Store(f"chdb://{tmp_path_factory.mktemp('presentation')}/store")
    store.open()
    try:
        migrations.migrate(store)
        insert_events(store, [*random_events(51, 600, START - DAY, START + DAY), *EDGES])
        async with running_query_service(store) as running:
            yield running
    finally:
        store.close()


async def test_rows_of_a_timeseries_have_time_group_and_value(filled):
    parameters = "granularity=hour&group=route"
    nested = await filled.answer(f"{SERIES}?{parameters}")
    rows = await filled.answer(f"{SERIES}?{parameters}&format=rows")
    assert all(list(row) == ["time", "route", "value"] for row in rows)
    assert {(row["time"], row["route"]): row["value"] for row in rows} == {
        (time, route): value for route, points in nested["groups"].items() for time, value in points
    }


async def test_rows_without_a_group_have_time_and_value_alone(filled):
    nested = await filled.answer(f"{SERIES}?granularity=day&fill=zero")
    rows = await filled.answer(f"{SERIES}?granularity=day&fill=zero&format=rows")
    assert rows == [{"time": time, "value": value} for time, value in nested["groups"]["shop"]]


async def test_several_aggregations_and_groups_are_columns_of_their_own(filled):
    parameters = "group=method&group=status_class&aggregation=count&aggregation=percentile_99.9"
    rows = await filled.answer(f"{SERIES}?{parameters}&format=rows")
    nested = await filled.answer(f"{SERIES}?{parameters}")
    assert all(list(row) == ["time", "method", "status_class", "count", "percentile_99.9"] for row in rows)
    assert {
        f'["{row["method"]}","{row["status_class"]}"]': [list(row.values())[i] for i in (0, 3, 4)] for row in rows
    } == {key: point for key, (point,) in nested["groups"].items()}


async def test_the_earlier_period_and_the_rest_are_rows_too(filled):
    parameters = "granularity=hour&group=method&limit=1&rest=1&compare=previous"
    nested = await filled.answer(f"{SERIES}?{parameters}")
    rows = await filled.answer(f"{SERIES}?{parameters}&format=rows")
    ((method, points),) = nested["groups"].items()
    for name, series, before in [
        (method, points, nested["previous"]["groups"][method]),
        (None, nested["rest"], nested["previous"]["rest"]),
    ]:
        own = [row for row in rows if row["method"] == name]
        assert {row["time"]: row["value"] for row in own if row["value"] is not None} == dict(series)
        assert {row["time"]: row["previous_value"] for row in own if row["previous_value"] is not None} == dict(
            before
        )
        assert [row["time"] for row in own] == sorted({time for time, _ in (*series, *before)})


async def test_rows_of_a_breakdown_have_dimensions_and_measures_by_name(filled):
    parameters = "by=route,status_class&measures=requests,errorRate,p95Ms,lastSeen&compare=previous&limit=5"
    nested = await filled.answer(f"{TABLE}&{parameters}")
    rows = await filled.answer(f"{TABLE}&{parameters}&format=rows")
    names = ("requests", "errorRate", "p95Ms")
    assert rows == [
        {
            "route": row["key"][0],
            "status_class": row["key"][1],
            **{name: row[name] for name in (*names, "lastSeen")},
            **{f"previous_{name}": row["previous"][name] for name in names},
        }
        for row in nested["rows"]
    ]


@pytest.mark.parametrize(
    "parameters",
    ["granularity=hour&group=route&limit=1&rest=1&compare=previous", "granularity=day&tz=Asia/Tokyo", ""],
)
async def test_times_in_milliseconds_are_those_in_seconds(filled, parameters):
    in_s = await filled.answer(f"{SERIES}?{parameters}")
    in_ms = await filled.answer(f"/1/timeseries/{START}000/{START + DAY}000/?unit=ms&{parameters}")

    def scaled(part):
        points = {key: [[1000 * time, value] for time, value in series] for key, series in part["groups"].items()}
        rest = {"rest": [[1000 * time, value] for time, value in part["rest"]]} if "rest" in part else {}
        return {**part, **rest, "groups": points, "start": 1000 * part["start"], "end": 1000 * part["end"]}

    previous = {"previous": scaled(in_s["previous"])} if "previous" in in_s else {}
    assert in_ms == {**scaled(in_s), **previous}
    rows_in_s = await filled.answer(f"{SERIES}?{parameters}&format=rows")
    rows_in_ms = await filled.answer(f"/1/timeseries/{START}000/{START + DAY}000/?unit=ms&format=rows&{parameters}")
    assert rows_in_ms == [{**row, "time": 1000 * row["time"]} for row in rows_in_s]


async def test_parts_of_a_second_count_as_whole_seconds(filled):
    answer = await filled.answer(f"/1/timeseries/{LATER}999/{LATER + 10}001/?unit=ms")
    assert answer["groups"] == {"shop": [[LATER * 1000, 2]]}
    assert (answer["start"], answer["end"]) == (LATER * 1000, (LATER + 11) * 1000)


async def test_breakdowns_and_summaries_take_milliseconds(filled):
    parameters = f"compare={START - 3600}"
    table = await filled.answer(f"{TABLE}&by=method&series=4&{parameters}")
    in_ms = await filled.answer(
        f"/v1/breakdown?by=method&series=4&unit=ms&start={START}000&end={START + DAY}000&compare={START - 3600}000"
    )
    assert in_ms["seriesStarts"] == [1000 * time for time in table["seriesStarts"]]
    assert in_ms["rows"] == table["rows"]
    assert [in_ms["start"], in_ms["previous"]["start"]] == [1000 * START, 1000 * (START - 3600)]
    summary = await filled.answer(f"/v1/summary?start={START}&end={START + DAY}&{parameters}")
    in_ms = await filled.answer(
        f"/v1/summary?unit=ms&start={START}000&end={START + DAY}000&compare={START - 3600}000"
    )
    assert in_ms["previous"]["start"] == 1000 * (START - 3600)
    assert {**in_ms, "start": 0, "end": 0, "previous": 0} == {**summary, "start": 0, "end": 0, "previous": 0}


REFUSED = [
    (f"{SERIES}?format=csv", ("format is 'csv'; allowed: nested, rows",)),
    (f"{SERIES}?unit=us", ("unit is 'us'; allowed: s, ms",)),
    (f"{SERIES}?format=rows&completeness=1", ("completeness is '1'", "without format=rows")),
    (f"{TABLE}&by=route&series=3&format=rows", ("series is '3'", "without format=rows")),
    ("/1/timeseries/1.5/99/?unit=ms", ("start is '1.5'; allowed: whole milliseconds since the epoch",)),
    ("/1/timeseries/0/99999999999999/?unit=ms", ("end is '99999999999999'", "9999999999000")),
    (f"{SERIES}?compare=99999999999999&unit=ms", ("compare is '99999999999999'", "milliseconds")),
    (f"{SERIES}?compare={START}000", (f"compare is '{START}000'", "not milliseconds")),
]


@pytest.mark.parametrize(("path", "parts"), REFUSED)
async def test_what_has_no_place_in_rows_or_no_meaning_is_refused(filled, path, parts):
    await assert_error(await filled.get(path), 400, *parts)
