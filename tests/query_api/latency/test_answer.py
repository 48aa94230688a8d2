"""Distributions over a real engine, both ways, against counting by hand and against the timeseries."""

from __future__ import annotations

from collections import Counter

import pytest

from apimetry.query_api.latency.answer import MAX_CELLS, answer_latency
from apimetry.query_api.latency.params import RESOLUTIONS, parse_latency
from apimetry.query_api.planning.latency_buckets import bucket_of
from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import parse_timeseries
from apimetry.query_api.timeseries.reading import Limits
from apimetry.serving.errors import BadRequest
from tests.support.oracles.query_events import Event, insert_events, passes, random_events
from tests.support.services.query_service import assert_error

START = 1_413_295_200
HOUR, DAY = 3600, 86_400
RANGES = [(0, 2 * DAY), (1801, DAY + 59), (0, HOUR), (60, 7 * HOUR)]
FILTERS = [
    [],
    [("include", "route:/items/{id}")],
    [("include", "method:GET"), ("exclude", "status_code:404")],
    [("include", "status_class:5xx")],
    [("has", "url:items/1")],
    [("min_response_us", "40")],
]


def distribution(store, parameters=(), start=START, end=START + DAY):
    query = parse_latency([*parameters, ("start", str(start)), ("end", str(end))], end)
    return answer_latency(query, "shop", ask=store.ask, now=end)


def chosen_events(events, parameters, start, end, value):
    filters = parse_latency([*parameters, ("start", str(start)), ("end", str(end))], end).filters
    return [
        event
        for event in events
        if event.application == "shop"
        and start * 1_000_000 <= event.timestamp < end * 1_000_000
        and getattr(event, value) is not None
        and all(passes(event, filter_) for filter_ in filters)
    ]


def counted(events, value, resolution, size_s=None, start=START):
    """Weights by (start of the bucket of time, latency bucket)."""
    cells = Counter()
    for event in events:
        time = start if size_s is None else event.timestamp // (size_s * 1_000_000) * size_s
        cells[time, bucket_of(getattr(event, value)) * resolution // 18] += event.sample_weight
    return cells


def cells_of(answer):
    return {
        (time, bucket): requests
        for time, cells in zip(answer["times"], answer["counts"], strict=True)
        for bucket, requests in cells
    }


def test_every_cell_is_what_counting_finds_in_every_resolution(store):
    events = random_events(71, 2_000, START, START + 2 * DAY)
    for number in range(2):
        insert_events(store, events[number::2], token=str(number))
    for place, parameters in enumerate(FILTERS):
        for first, last in RANGES:
            start, end = START + first, START + last
            value = ("response_us", "ttfb_us", "request_bytes", "response_bytes")[place % 4]
            resolution = RESOLUTIONS[place % 4]
            size_s = (None, HOUR, 900, DAY)[place % 4]
            more = [("value", value), ("resolution", str(resolution))]
            more += [("granularity", str(size_s))] if size_s else []
            chosen = chosen_events(events, parameters, start, end, value)
            answer = distribution(store, [*parameters, *more], start, end)
            assert cells_of(answer) == counted(chosen, value, resolution, size_s, start), (parameters, more)
            assert answer["total"] == sum(event.sample_weight for event in chosen)
            values = [getattr(event, value) for event in chosen]
            assert (answer["min"], answer["max"]) == ((min(values), max(values)) if values else (None, None))


def test_the_bounds_hold_every_value_of_their_buckets(store):
    values = [0, 1, 2, 3, 9, 24, 25, 26, 99, 12_345, 10**6, 10**9]
    insert_events(store, [Event(timestamp=(START + n) * 1_000_000, response_us=us) for n, us in enumerate(values)])
    for resolution in RESOLUTIONS:
        answer = distribution(store, [("resolution", str(resolution))])
        bounds = answer["bounds"]
        assert bounds == sorted(bounds)
        for value in values:
            bucket = bucket_of(value) * resolution // 18
            assert bounds[bucket] <= value < bounds[bucket + 1]
            assert (START, bucket) in cells_of(answer)


def test_totals_and_percentiles_are_those_of_the_timeseries(store):
    insert_events(store, random_events(72, 1_000, START, START + 2 * DAY))
    estimates = set()
    for parameters in FILTERS[:4]:
        for end in (START + HOUR, START + 2 * DAY):
            answer = distribution(store, parameters, START, end)
            estimates.add(answer["estimated"])

            def series(aggregation, parameters=parameters, end=end):
                chosen = [*parameters, ("aggregation", aggregation)]
                query = parse_timeseries(str(START), str(end), chosen, max_groups=10)
                response = answer_timeseries(query, "shop", ask=store.ask, limits=Limits(10, 10))
                return response["groups"]["shop"][0][1]

            assert answer["max"] == series("max")
            assert answer["min"] == series("min")
            for level, value in answer["percentiles"].items():
                assert value == round(series(f"percentile_{level}")), (level, parameters)
    assert estimates == {True, False}


def test_the_earlier_period_has_the_same_buckets(store):
    insert_events(store, random_events(73, 500, START, START + 2 * DAY))
    answer = distribution(store, [("compare", "previous")], START + DAY, START + 2 * DAY)
    earlier = distribution(store, [], START, START + DAY)
    assert answer["previous"]["counts"] == earlier["counts"]
    assert answer["previous"]["total"] == earlier["total"]
    assert (answer["previous"]["start"], answer["previous"]["end"]) == (START, START + DAY)
    last = max(bucket for cells in [*answer["counts"], *earlier["counts"]] for bucket, _ in cells)
    assert len(answer["bounds"]) == last + 2


def test_the_earlier_period_has_its_own_figures_and_the_times_of_the_later_one(store):
    insert_events(store, random_events(74, 500, START, START + 3 * DAY))
    later = START + DAY + 1800
    answer = distribution(store, [("compare", "previous"), ("granularity", "hour")], later, later + 7 * HOUR)
    earlier = distribution(store, [], later - 7 * HOUR, later)
    assert answer["previous"]["times"] == sorted(answer["previous"]["times"])
    assert set(answer["previous"]["times"]) <= set(range(later - 1800, later + 7 * HOUR, HOUR))
    for name in ("total", "percentiles", "max", "min", "estimated"):
        assert answer["previous"][name] == earlier[name], name
    assert sum(cells_of(answer["previous"]).values()) == earlier["total"]


def test_cells_are_counted_before_they_are_fetched(embedded_store):
    embedded_store.command(
        "INSERT INTO events (application, timestamp, response_us, retention_days)"
        " SELECT 'shop', fromUnixTimestamp64Second(toInt64({start:Int64} + intDiv(number, 20))),"
        " toUInt64(exp2(number % 20)), 20000 FROM numbers({events:UInt64})",
        {"start": START, "events": 20 * 2 * HOUR},
    )
    fetched = []

    def ask(statement):
        fetched.append(embedded_store.ask(statement))
        return fetched[-1]

    query = parse_latency([("granularity", "second"), ("start", str(START)), ("end", str(START + 2 * HOUR))], 0)
    with pytest.raises(BadRequest, match=f"more than {MAX_CELLS:,} cells"):
        answer_latency(query, "shop", ask=ask, now=START + 2 * HOUR)
    assert [len(rows) for rows in fetched] == [MAX_CELLS + 1]


def test_without_a_known_value_there_is_no_cell(embedded_store):
    insert_events(embedded_store, [Event(timestamp=START * 1_000_000, response_us=None)])
    answer = distribution(embedded_store)
    assert (answer["times"], answer["counts"], answer["bounds"]) == ([], [], [])
    assert (answer["total"], answer["percentiles"], answer["max"], answer["min"]) == (0, {}, None, None)


def test_more_cells_than_an_answer_may_have_are_refused(embedded_store):
    with pytest.raises(BadRequest, match=f"more than {MAX_CELLS:,} cells"):
        distribution(embedded_store, [("granularity", "second")], START, START + 2 * DAY)


@pytest.mark.parametrize(
    ("parameter", "allowed"),
    [
        ("value=consumer_id", "response_us, ttfb_us"),
        ("resolution=4", "3, 6, 9, 18"),
        ("granularity=fortnight", "second, minute"),
        ("granularity=0", "1"),
        ("compare=never", "previous"),
        ("tz=UTC", "allowed"),
    ],
)
async def test_a_parameter_that_cannot_be_read_is_named(embedded_service, parameter, allowed):
    response = await embedded_service.get(f"/v1/latency?{parameter}")
    await assert_error(response, 400, parameter.partition("=")[0], allowed)


async def test_the_endpoint_answers_over_http(service):
    insert_events(service.accounts.store, [Event(timestamp=START * 1_000_000, response_us=5)])
    answer = await service.answer(f"/v1/latency?start={START}&end={START + HOUR}&granularity=hour")
    assert answer == {
        "value": "response_us",
        "bounds": [0, 1, 1, 1, 2, 3, 3, 5, 6],
        "times": [START],
        "counts": [[[7, 1]]],
        "total": 1,
        "percentiles": {"50": 5, "75": 5, "90": 5, "95": 5, "99": 5},
        "max": 5,
        "min": 5,
        "estimated": False,
    }
