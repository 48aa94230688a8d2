"""A summary's figures over a real engine, both ways, against counting by hand and against the timeseries."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from fractions import Fraction

import pytest

from apimetry.query_api.planning.latency_buckets import bounds_of, bucket_of
from apimetry.query_api.summary import answer as summary_answer
from apimetry.query_api.summary.answer import answer_summary
from apimetry.query_api.summary.params import parse_summary
from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import parse_timeseries
from apimetry.query_api.timeseries.reading import Limits
from apimetry.store.accounts.accounts import Application, RequestLimits
from tests.support.oracles.query_events import Event, insert_events, passes, percentile, random_events
from tests.support.oracles.query_usage import half_up
from tests.support.services.query_service import assert_error

START = 1_413_295_200
HOUR, DAY = 3600, 86_400
SHOP = Application(
    "shop", "org", "Shop", 20_000, RequestLimits(), datetime(2014, 1, 1, tzinfo=timezone.utc), target_ms=300
)
FILTERS = [
    [],
    [("include", "route:/items/{id}")],
    [("include", "method:GET"), ("exclude", "status_code:404")],
    [("include", "status_class:5xx")],
    [("include", "source:api")],
    [("include", "consumer_id:alice"), ("include", "consumer_id:")],
    [("has", "url:items/1")],
    [("min_response_us", "40")],
    [("include", "method:NONE")],
]


def summary(store, parameters=(), start=START, end=START + DAY, application=SHOP, now=None):
    query = parse_summary([*parameters, ("start", str(start)), ("end", str(end))], now or end)
    return answer_summary(query, application, ask=store.ask, now=now or end)


def chosen_events(events, parameters, start, end):
    filters = parse_summary(parameters, end).filters
    return [
        e
        for e in events
        if e.application == "shop"
        and start * 1_000_000 <= e.timestamp < end * 1_000_000
        and all(passes(e, filter_) for filter_ in filters)
    ]


def total(events):
    return sum(e.sample_weight for e in events)


def expected_counts(events, start, end):
    """The figures that are exact, however they are read."""
    timed = [e for e in events if e.response_us is not None]
    minutes = Counter()
    for e in events:
        minutes[e.timestamp // 60_000_000] += e.sample_weight
    errors = total([e for e in events if e.status_code >= 400])
    spent = sum(e.response_us * e.sample_weight for e in timed)
    return {
        "start": start,
        "end": end,
        "requests": total(events),
        "errors": errors,
        "errorRate": half_up(Fraction(100 * errors, total(events))) if events else 0.0,
        "clientErrors": total([e for e in events if 400 <= e.status_code < 500]),
        "serverErrors": total([e for e in events if e.status_code >= 500]),
        "meanMs": half_up(Fraction(spent, 1000 * total(timed))) if timed else None,
        "maxMs": half_up(Fraction(max(e.response_us for e in timed), 1000)) if timed else None,
        "requestBytes": sum((e.request_bytes or 0) * e.sample_weight for e in events),
        "responseBytes": sum((e.response_bytes or 0) * e.sample_weight for e in events),
        "requestsPerMinute": half_up(Fraction(60 * total(events), end - start)),
        "peakRequestsPerMinute": max(minutes.values(), default=0),
        "consumers": len({e.consumer_id for e in events} - {""}),
    }


def expected_latencies(events, target_us):
    timed = [e for e in events if e.response_us is not None]
    if not timed:
        return dict.fromkeys(("p50Ms", "p95Ms", "p99Ms", "withinTarget", "apdex"))
    weighted = [(e.response_us, e.sample_weight) for e in timed]
    within = Fraction(total([e for e in timed if e.response_us <= target_us]), total(timed))
    tolerated = Fraction(total([e for e in timed if e.response_us <= 4 * target_us]), total(timed))
    return {
        **{f"p{p}Ms": half_up(Fraction(percentile(weighted, p), 1000)) for p in (50, 95, 99)},
        "withinTarget": half_up(100 * within),
        "apdex": half_up((within + tolerated) / 2, 2),
    }


RANGES = [(0, DAY), (1801, DAY + 59), (0, HOUR), (60, 2 * DAY), (1, 120)]


def test_every_figure_is_what_counting_finds(store):
    events = random_events(41, 2_000, START, START + 2 * DAY)
    for number in range(2):
        insert_events(store, events[number::2], token=str(number))
    rng, exact = random.Random(42), set()
    for parameters in FILTERS:
        for first, last in rng.sample(RANGES, 3):
            start, end = START + first, START + last
            exact.add(assert_counted(summary(store, parameters, start, end), events, parameters)["estimated"])
    assert exact == {True, False}


def assert_counted(answer, events, parameters):
    """Compare all figures of an answer with those of the events, and return the answer."""
    start, end = answer["start"], answer["end"]
    chosen = chosen_events(events, parameters, start, end)
    counts, latencies = expected_counts(chosen, start, end), expected_latencies(chosen, 300_000)
    assert {name: answer[name] for name in counts} == counts, parameters
    if not answer["estimated"] or latencies["p50Ms"] is None:
        assert {name: answer[name] for name in latencies} == latencies, parameters
    else:
        for name in ("p50Ms", "p95Ms", "p99Ms"):
            assert answer[name] == pytest.approx(latencies[name], rel=0.02, abs=0.051), (name, parameters)
    assert set(answer) == {*counts, *latencies, "estimated"}
    return answer


@pytest.mark.parametrize(("lacks", "exact_requests"), [("nothing", 0), ("rows", 0), ("nothing", 100_000)])
def test_every_figure_of_recent_hours_is_what_counting_finds(store, monkeypatch, lacks, exact_requests):
    monkeypatch.setattr(summary_answer, "EXACT_REQUESTS", exact_requests)
    now = int(time.time())
    events = random_events(45, 2_000, now - 26 * HOUR, now)
    for number in range(2):
        insert_events(store, events[number::2], token=str(number))
    if lacks == "rows":
        # What an upgrade leaves: events answer.
        store.command("TRUNCATE TABLE minute_totals")
        store.command(f"INSERT INTO whole_minutes VALUES ({now + 60})")
    rng = random.Random(46)
    for parameters in FILTERS:
        for back, span in rng.sample([(0, HOUR), (600, DAY), (7, 700), (20, HOUR + 2000), (1900, 3 * HOUR)], 3):
            answer = summary(store, parameters, now - back - span, now - back, now=now)
            assert_counted(answer, events, parameters)
            assert span > 2 * HOUR or not exact_requests or not answer["estimated"]


def test_a_consumer_of_the_same_hour_beyond_the_range_is_not_counted(store):
    hour = START // HOUR * HOUR
    inside = [Event(timestamp=(hour + n * HOUR) * 1_000_000, consumer_id=f"c{n}") for n in range(5)]
    late = hour + 5 * HOUR - 20
    beyond = [Event(timestamp=late * 1_000_000, consumer_id=name, sample_weight=3) for name in ("c4", "late", "late")]
    insert_events(store, inside + beyond)
    assert summary(store, start=hour, end=late, now=late + 20)["consumers"] == 5
    assert summary(store, start=hour, end=late + 1, now=late + 20)["consumers"] == 6


def test_counts_and_percentiles_are_those_of_the_timeseries(store):
    insert_events(store, random_events(43, 1_000, START, START + 2 * DAY))
    for parameters in FILTERS[:5]:
        answer = summary(store, parameters, START, START + 2 * DAY)

        def series(aggregation, parameters=parameters):
            query = parse_timeseries(
                str(START), str(START + 2 * DAY), [*parameters, ("aggregation", aggregation)], max_groups=10
            )
            answer = answer_timeseries(query, "shop", ask=store.ask, limits=Limits(10, 10))
            return answer["groups"]["shop"][0][1]

        assert answer["requests"] == series("count")
        assert answer["maxMs"] == half_up(Fraction(series("max"), 1000))
        for number in (50, 95, 99):
            assert answer[f"p{number}Ms"] == half_up(Fraction(round(series(f"percentile_{number}")), 1000)), (
                parameters
            )


def test_what_keeps_the_target_is_divided_within_its_bucket_alone(embedded_store):
    target_us = 300_000
    lowest, highest = bounds_of(bucket_of(target_us))
    assert lowest < target_us < highest
    values = [(lowest - 1, 50), (lowest, 10), (highest, 10), (highest + 1, 20), (4 * target_us + 100_000, 10)]
    insert_events(
        embedded_store,
        [
            Event(timestamp=(START + n * 7200) * 1_000_000, response_us=value, sample_weight=weight)
            for n, (value, weight) in enumerate(values)
        ],
    )
    answer = summary(embedded_store)
    share = Fraction(target_us - lowest + 1, highest - lowest + 1)
    assert answer["estimated"]
    assert answer["withinTarget"] == half_up(50 + 20 * share)
    assert answer["apdex"] == half_up((Fraction(50) + 20 * share + 90) / 200, 2)


def test_the_parameter_comes_before_the_applications_target_and_without_either_there_is_none(embedded_store):
    insert_events(embedded_store, [Event(timestamp=START * 1_000_000, response_us=us) for us in (100_000, 200_000)])
    end = START + HOUR
    assert summary(embedded_store, [("target_ms", "100")], end=end)["withinTarget"] == 50.0
    assert summary(embedded_store, end=end)["withinTarget"] == 100.0
    none = summary(embedded_store, end=end, application=replace(SHOP, target_ms=None))
    assert (none["withinTarget"], none["apdex"]) == (None, None)


def test_no_events_and_no_known_times_have_their_figures(embedded_store):
    assert summary(embedded_store) | {"start": 0, "end": 0} == {
        **expected_counts([], 0, 60),
        **expected_latencies([], 1),
        "start": 0,
        "end": 0,
        "estimated": True,
    }
    insert_events(embedded_store, [Event(timestamp=START * 1_000_000, response_us=None)])
    for end in (START + 60, START + DAY):
        answer = summary(embedded_store, end=end)
        assert (answer["requests"], answer["p99Ms"], answer["maxMs"], answer["apdex"]) == (1, None, None, None)


@pytest.mark.parametrize(
    ("compare", "earlier"),
    [("previous", START - DAY), ("week", START - 7 * DAY), (str(START - 12_345), START - 12_345)],
)
def test_the_earlier_period_has_the_figures_of_a_summary_of_its_own(embedded_store, compare, earlier):
    insert_events(embedded_store, random_events(44, 800, START - 8 * DAY, START + DAY))
    parameters = [("include", "method:GET")]
    answer = summary(embedded_store, [*parameters, ("compare", compare)])
    assert answer["previous"] == summary(embedded_store, parameters, earlier, earlier + DAY)


REFUSED = [
    ("compare=next", ("compare is 'next'; allowed: previous, week, or the start of another period in seconds",)),
    (f"start={START}&end={START + 8 * DAY}&compare=week", ("compare is 'week'", "604800 seconds")),
    ("start=10&end=60&compare=previous", ("before 1970",)),
    ("target_ms=0", ("target_ms is '0'", "1 to 3600000")),
    ("start=9&end=9", ("start must be before end",)),
    ("status=4", ("'status'", "target_ms")),
]


@pytest.mark.parametrize(("query", "parts"), REFUSED)
async def test_a_bad_parameter_is_refused(embedded_service, query, parts):
    await assert_error(await embedded_service.get(f"/v1/summary?{query}"), 400, *parts)


async def test_the_service_answers_for_the_last_day_with_its_applications_target(embedded_service):
    answer = await embedded_service.answer("/v1/summary?completeness=1&compare=week")
    assert answer["end"] - answer["start"] == DAY
    assert answer["previous"]["start"] == answer["start"] - 7 * DAY
    assert set(answer["previous"]) == set(answer) - {"previous", "completeness"}
    assert answer["completeness"]["captured"] == 0
