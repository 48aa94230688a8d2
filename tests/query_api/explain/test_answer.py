"""What changed, over a real engine, both ways: figures are those of the events, causes those that were put in."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace

import pytest

from apimetry.query_api.explain.answer import answer_explain
from apimetry.query_api.explain.params import DIMENSIONS, parse_explain
from tests.support.oracles.query_breakdown import iso
from tests.support.oracles.query_events import Event, insert_events, random_events

HOUR, DAY = 3600, 86_400
START = 1_413_295_200 // DAY * DAY
"""A midnight."""

METRICS = {
    "requests": lambda events: sum(e.sample_weight for e in events),
    "errors": lambda events: sum(e.sample_weight for e in events if e.status_code >= 400),
    "errorRate": lambda events: 100 * METRICS["errors"](events) / METRICS["requests"](events),
    "meanMs": lambda events: (
        sum(e.sample_weight * e.response_us for e in timed(events)) / METRICS["requests"](timed(events)) / 1000
    ),
}


def timed(events):
    return [event for event in events if event.response_us is not None]


@pytest.fixture
def application(request):
    """The id of an application of the test's own."""
    return f"a{zlib.crc32(request.node.nodeid.encode())}"


@pytest.fixture
def ask(shared_store, application):
    """Stores events and answers: `ask(events, start, end, …)`, hours after START."""

    def answered(events, start, end, **parameters):
        if events:
            insert_events(shared_store, [replace(e, application=application) for e in events], token=application)
        times = [("start", str(int(START + start * HOUR))), ("end", str(int(START + end * HOUR)))]
        query = parse_explain([*times, *parameters.items()], 0)
        return answer_explain(query, application, ask=shared_store.ask)

    return answered


def between(events, start, end):
    return [e for e in events if START + start * HOUR <= e.timestamp / 1e6 < START + end * HOUR]


def in_slice(events, values):
    return [e for e in events if all(str(getattr(e, name)) == value for name, value in values.items())]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("hours", [1, 12])
def test_figures_are_those_of_the_events(ask, metric, hours):
    events = [e for e in random_events(hours, 3000, START, START + 2 * hours * HOUR) if e.application == "shop"]
    answer = ask(events, hours, 2 * hours, metric=metric, limit="50")
    now, before = between(events, hours, 2 * hours), between(events, 0, hours)
    assert answer["now"] == pytest.approx(METRICS[metric](now), abs=0.06)
    assert answer["before"] == pytest.approx(METRICS[metric](before), abs=0.06)
    assert answer["causes"]
    for cause in (*answer["causes"], *answer["consumers"]):
        own_now, own_before = (in_slice(part, cause["slice"]) for part in (now, before))
        assert cause["requests"] == METRICS["requests"](own_now)
        for member, own in (("now", own_now), ("before", own_before)):
            expected = METRICS[metric](own) if own and (metric != "meanMs" or timed(own)) else cause[member]
            assert cause[member] == pytest.approx(expected, abs=0.06), cause
        if metric in ("requests", "errors"):
            change = METRICS[metric](now) - METRICS[metric](before)
            difference = METRICS[metric](own_now) - METRICS[metric](own_before)
            assert cause["contribution"] == pytest.approx(difference / change, abs=1e-4)


def traffic(rng, count, start, end, **fields):
    """Requests of a shop, of which some always fail."""
    for _ in range(count):
        route, source = rng.choice(["/items", "/cart", "/search"]), rng.choice(["web-1", "web-2"])
        values = {"route": route, "source": source, "version": "2.4", "consumer_id": rng.choice("abcd")}
        values |= {"status_code": 404 if rng.random() < 0.02 else 200, "response_us": 30_000}
        yield Event(timestamp=rng.randrange(start * 10**6, end * 10**6), **{**values, **fields})


def test_a_deploy_that_breaks_a_route_is_the_first_cause_with_its_time(ask):
    rng = random.Random(5)
    broken = {"route": "/checkout", "method": "POST", "error_type": "UpstreamError", "consumer_id": "c"}
    events = [
        *traffic(rng, 4000, START, START + 2 * HOUR),
        *traffic(rng, 200, START, START + HOUR, route="/checkout", method="POST"),
        *traffic(rng, 200, START + HOUR, START + 2 * HOUR, route="/checkout", method="POST", version="2.5"),
        *traffic(rng, 300, START + 5400, START + 2 * HOUR, version="2.5", status_code=502, **broken),
    ]
    answer = ask(events, 1, 2)
    first = answer["causes"][0]
    assert first["slice"].items() >= {"status_code": "502"}.items() or "error_type" in first["slice"]
    assert set(first["slice"].items()) <= {
        *(("route", "/checkout"), ("method", "POST"), ("status_code", "502")),
        *(("version", "2.5"), ("error_type", "UpstreamError")),
    }
    assert (first["before"], first["now"]) == (0, 300)
    assert first["contribution"] == pytest.approx(1, abs=0.15)
    failures = [e.timestamp for e in events if e.status_code == 502]
    assert first["since"] == iso(min(failures))
    assert answer["consumers"][0]["slice"] == {"consumer_id": "c"}
    assert answer["explained"] > 0.8


def test_a_rate_that_rises_as_other_requests_leave_is_another_mix(ask):
    rng = random.Random(7)
    events = [
        *traffic(rng, 2000, START, START + HOUR, route="/healthy", status_code=200),
        *traffic(rng, 500, START, START + 2 * HOUR, route="/flaky", status_code=500),
        *traffic(rng, 500, START, START + 2 * HOUR, route="/flaky", status_code=200),
    ]
    answer = ask(events, 1, 2, metric="errorRate")
    causes = [cause for cause in answer["causes"] if cause["slice"].get("route") == "/healthy"]
    assert causes
    for cause in causes:
        assert cause["byMix"] == pytest.approx(cause["contribution"])
        assert cause["byRate"] == 0
        assert cause["since"] is None


def test_nothing_changed_and_nothing_stored_have_no_causes(ask):
    events = [
        replace(event, timestamp=event.timestamp + later * HOUR * 10**6)
        for event in traffic(random.Random(9), 100, START, START + HOUR)
        for later in (0, 1)
    ]
    unchanged = ask(events, 1, 2)
    assert unchanged["now"] == unchanged["before"]
    assert (unchanged["causes"], unchanged["consumers"], unchanged["explained"]) == ([], [], None)
    empty = ask([], 50, 51, metric="meanMs")
    assert (empty["now"], empty["before"], empty["causes"], empty["explained"]) == (None, None, [], None)


def test_told_slices_share_few_requests_and_no_value_that_all_requests_have(ask):
    rng = random.Random(11)
    events = [
        *traffic(rng, 2000, START, START + 2 * HOUR, method="GET"),
        *traffic(rng, 300, START + HOUR, START + 2 * HOUR, method="GET", route="/cart", status_code=500),
        *traffic(rng, 200, START + HOUR, START + 2 * HOUR, method="GET", route="/search", status_code=503),
    ]
    answer = ask(events, 1, 2)
    assert 0.9 < answer["explained"] <= 1
    slices = [cause["slice"] for cause in answer["causes"]]
    assert {"/cart", "/search"} <= {values.get("route") for values in slices[:2]}
    assert all("method" not in values and "version" not in values for values in slices)
    now = [e for e in between(events, 1, 2) if e.status_code >= 400]
    sets = [{id(e) for e in in_slice(now, values)} for values in slices]
    for number, own in enumerate(sets):
        for other in sets[:number]:
            assert len(own & other) <= 0.2 * min(len(own), len(other))


def test_filters_hold_for_both_ranges(ask):
    rng = random.Random(13)
    events = [
        *traffic(rng, 300, START, START + 2 * HOUR),
        *traffic(rng, 100, START + HOUR, START + 2 * HOUR, status_code=500, source="web-1"),
    ]
    answer = ask(events, 1, 2, include="source:web-2", metric="requests")
    of_source = [e for e in events if e.source == "web-2"]
    assert answer["now"] == len(between(of_source, 1, 2))
    assert answer["before"] == len(between(of_source, 0, 1))


def test_dimensions_of_slices_are_fields_of_filters(ask):
    rng = random.Random(15)
    events = [
        *traffic(rng, 300, START, START + HOUR),
        *traffic(rng, 900, START + HOUR, START + 2 * HOUR, function="f"),
    ]
    answer = ask(events, 1, 2, metric="requests", limit="50")
    for cause in answer["causes"]:
        assert cause["slice"].keys() <= set(DIMENSIONS)
        for name, value in cause["slice"].items():
            narrowed = ask([], 1, 2, metric="requests", include=f"{name}:{value}")
            assert narrowed["now"] >= cause["now"]
