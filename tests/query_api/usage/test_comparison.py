"""Usage beside the period before it, and parts that agree while events come in."""

from __future__ import annotations

import itertools
from contextlib import contextmanager

import pytest

from apimetry.query_api.planning.figures import Measures
from apimetry.query_api.usage.answer import answer_usage
from apimetry.query_api.usage.lists import Groups
from apimetry.query_api.usage.params import parse_usage
from apimetry.query_api.usage.reading import MOST_READS, Breakdowns, Reading, until_agreed
from tests.query_api.usage.asking import DAY, NOW, START, UNLIMITED, at, usage, within_bounds
from tests.support.oracles.query_events import insert_events, random_events
from tests.support.oracles.query_usage import (
    chosen_events,
    expected_breakdown,
    expected_errors,
    expected_series,
    expected_totals,
    iso,
)
from tests.support.services.query_service import assert_error


def test_two_days_beside_each_other_have_the_figures_that_counting_by_hand_gives(store):
    insert_events(
        store,
        [
            # Yesterday: 40 requests, 10 of them failed, 100 ms on average.
            at(START - DAY, sample_weight=30, response_us=80_000, response_bytes=100, consumer_id="acme"),
            at(START - 1, sample_weight=10, response_us=160_000, status_code=500, route="/old"),
            # Today: 50 requests, 5 of them failed, 95 ms on average.
            at(START, sample_weight=45, response_us=100_000, response_bytes=40, consumer_id="acme"),
            at(NOW - 1, sample_weight=5, response_us=50_000, status_code=404),
            # Neither.
            at(START - DAY - 1, sample_weight=1000),
            at(NOW, sample_weight=1000),
        ],
    )
    answer = usage(store, ("compare", "previous"))
    previous = answer["previous"]
    assert (previous["start"], previous["end"]) == (iso(START - DAY), iso(START))
    assert answer["usage"]["totalRequests"] == 50
    assert previous["usage"] == {
        "totalRequests": 40,
        "successfulRequests": 30,
        "failedRequests": 10,
        "successRate": 75.0,
        "averageLatency": 100.0,
        "peakLatency": 160.0,
        "requestsPerMinute": 0.0,
        "requestsPerHour": 1.7,
        "requestsPerDay": 40.0,
        "peakRequestsPerMinute": 30,
        "peakRequestsPerHour": 30,
        "dataTransferred": 3000,
        "averageDataPerRequest": 75,
    }
    assert previous["changePercent"] == {
        "totalRequests": 25.0,
        "successfulRequests": 50.0,
        "failedRequests": -50.0,
        "successRate": 20.0,
        "averageLatency": -5.0,
        "peakLatency": -37.5,
        "requestsPerMinute": None,
        "requestsPerHour": 23.5,
        "requestsPerDay": 25.0,
        "peakRequestsPerMinute": 50.0,
        "peakRequestsPerHour": 50.0,
        "dataTransferred": -40.0,
        "averageDataPerRequest": -52.0,
    }
    assert [row["endpoint"] for row in previous["breakdown"]["byEndpoint"]] == ["/", "/old"]
    assert previous["breakdown"]["byKey"] == [
        {"keyId": "acme", "requests": 30, "percentage": 75.0},
        {"keyId": "", "requests": 10, "percentage": 25.0},
    ]
    assert previous["errors"]["byStatusCode"] == [{"statusCode": 500, "count": 10, "percentage": 100.0}]
    # The first and the last of 25 clock hours, both in part.
    assert [point["timestamp"] for point in previous["timeSeries"]] == [p["timestamp"] for p in answer["timeSeries"]]
    assert [point["requests"] for point in previous["timeSeries"]] == [30, *[0] * 23, 10]
    assert [point["requests"] for point in answer["timeSeries"]] == [45, *[0] * 23, 5]


@pytest.mark.parametrize(
    ("span", "granularity", "sort"),
    [
        (20 * DAY, "hour", "requests"),
        (21 * DAY, "day", None),
        (15 * DAY + 3600, "week", None),
        (40 * DAY, "month", "latency"),
        (9 * DAY + 17, "month", None),
        (5 * DAY + 1801, "hour", None),
        (7200, "minute", "errors"),
    ],
)
def test_every_figure_of_the_period_before_is_what_counting_finds(embedded_store, span, granularity, sort):
    start = NOW - span
    events = random_events(5, 900, start - span, NOW) + random_events(6, 300, NOW - 4 * 3600, NOW)
    insert_events(embedded_store, events)
    parameters = [("start", str(start)), ("end", str(NOW)), ("granularity", granularity), ("limit", "1000")]
    answer = usage(embedded_store, *parameters, ("compare", "previous"), *([("sortBy", sort)] if sort else []))
    previous, chosen = answer["previous"], chosen_events(events, "shop", start - span, start)
    assert previous["usage"] == expected_totals(chosen, span)
    assert previous["breakdown"] == within_bounds(expected_breakdown(chosen, sort or "requests", True))
    for row in previous["errors"]["byType"]:
        row.pop("description")
    assert previous["errors"] == expected_errors(chosen, sort or "requests", True)
    moved = [type(e)(**{**vars(e), "timestamp": e.timestamp + span * 1_000_000}) for e in chosen]
    series = {point["timestamp"]: point for point in expected_series(moved, granularity, start, NOW)}
    assert previous["timeSeries"] == [series[point["timestamp"]] for point in answer["timeSeries"]]


@pytest.mark.parametrize("compare", ["week", "start"])
def test_a_week_or_any_earlier_start_is_compared_figure_by_figure(embedded_store, compare):
    span, earlier = 3 * DAY, NOW - 3 * DAY - (7 * DAY if compare == "week" else 100_000)
    start = NOW - span
    events = random_events(7, 600, earlier, NOW)
    insert_events(embedded_store, events)
    answer = usage(
        embedded_store, ("start", str(start)), ("end", str(NOW)),
        ("compare", "week" if compare == "week" else str(earlier)),
    )  # fmt: skip
    chosen = chosen_events(events, "shop", earlier, earlier + span)
    assert answer["previous"]["usage"] == expected_totals(chosen, span)
    moved = [type(e)(**{**vars(e), "timestamp": e.timestamp + (start - earlier) * 1_000_000}) for e in chosen]
    assert answer["previous"]["timeSeries"] == expected_series(moved, "hour", start, NOW)


def test_a_page_of_the_series_is_compared_with_its_counterparts_alone(embedded_store):
    insert_events(embedded_store, [at(START - DAY + 3600 * hour, sample_weight=hour + 1) for hour in range(48)])
    for parameters in [(("offset", "5"),), (("sortBy", "requests"), ("offset", "20"), ("order", "asc"))]:
        answer = usage(embedded_store, ("compare", "previous"), ("limit", "3"), *parameters)
        pairs = zip(answer["timeSeries"], answer["previous"]["timeSeries"], strict=True)
        assert [now["requests"] - before["requests"] for now, before in pairs] == [24, 24, 24]
    assert usage(embedded_store, ("compare", "previous"), ("offset", "99"))["previous"]["timeSeries"] == []


async def test_what_cannot_be_compared_is_refused(embedded_service):
    for query, parts in [
        ("compare=next", ("compare is 'next'", "previous")),
        ("compare=previous&timeframe=all", ("compare", "'all'")),
        ("compare=previous&start=10&end=60", ("before 1970",)),
        ("compare=week&timeframe=30d", ("compare is 'week'", "604800 seconds")),
    ]:
        response = await embedded_service.get(f"/v1/developer/usage?{query}")
        await assert_error(response, 400, *parts, success=False)
    assert "previous" not in await embedded_service.answer("/v1/developer/usage?compare=")


def assert_adds_up(answer):
    total = answer["usage"]["totalRequests"]
    for rows in (answer["timeSeries"], *answer["breakdown"].values()):
        assert sum(row["requests"] for row in rows) == total
    for name, count in (("byType", "count"), ("byStatusCode", "count"), ("byEndpoint", "errors")):
        assert sum(row[count] for row in answer["errors"][name]) == answer["usage"]["failedRequests"]


def test_the_parts_of_an_answer_agree_whichever_statements_an_insert_comes_between(embedded_store):
    insert_events(embedded_store, random_events(8, 200, START, NOW))
    numbers = itertools.count()
    statements = 0

    def ask_interrupted(after):
        statement_numbers = itertools.count(1)

        def ask(statement):
            nonlocal statements
            rows = embedded_store.ask(statement)
            number_of_statement = next(statement_numbers)
            statements = max(statements, number_of_statement)
            if number_of_statement == after:
                number = next(numbers)
                late = at(START + 50 * number, route=f"/new/{number}", status_code=503, consumer_id=f"c{number}")
                insert_events(embedded_store, [late], token=f"late {number}")
            return rows

        return ask

    query = parse_usage([], NOW)
    answer_usage(query, UNLIMITED, ask=ask_interrupted(0), now=NOW)
    for after in range(1, statements + 1):
        answer = answer_usage(query, UNLIMITED, ask=ask_interrupted(after), now=NOW)
        assert_adds_up(answer)


def reading(series, total):
    row = ("GET", Measures(total))
    lists = Groups((row,), total)
    breakdowns = Breakdowns(
        Measures(total), (0, 0), ((200, Measures(total)),), lists, {"GET": ()}, lists, lists, Groups()
    )
    return Reading(breakdowns, ((0, Measures(series)),), is_whole=True)


def test_reading_ends_with_the_first_that_agrees_or_that_is_as_before_or_after_some_times():
    again = []

    @contextmanager
    def counted():
        again.append(True)
        yield

    def read_of(readings):
        taken = iter(readings)
        again.clear()
        result, left = until_agreed(lambda: next(taken), counted), list(taken)
        assert len(again) == len(readings) - len(left) - 1
        return result, left

    agreed, off, further_off = reading(5, 5), reading(4, 5), reading(4, 6)
    assert read_of([agreed, off]) == (agreed, [off])
    assert read_of([off, agreed, off]) == (agreed, [off])
    assert read_of([off, off, agreed]) == (off, [agreed])
    changing = [off, further_off] * 9
    assert read_of(changing) == (changing[MOST_READS - 1], changing[MOST_READS:])
