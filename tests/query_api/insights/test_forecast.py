"""Trends between halves, and what they cost and need if they go on."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimetry.query_api.insights.forecast import Halves, Prices, Trend, capacity, costs, projected_utilization, trends
from apimetry.query_api.planning.figures import Measures

DAY = 86_400
SEED_PRICES = Prices("0.001", "1e-06")


def halves(first, second, span_s=DAY):
    return Halves(first, second, span_s // 2, span_s - span_s // 2)


def trend(first, second):
    return Trend(None if first is None else Fraction(first), None if second is None else Fraction(second))


@pytest.mark.parametrize(
    ("first", "second", "name", "percent"),
    [
        (100, 110, "stable", 10.0),
        (1000, 1101, "increasing", 10.1),
        (100, 90, "stable", -10.0),
        (1000, 899, "decreasing", -10.1),
        (100, 0, "decreasing", -100.0),
        (0, 5, "increasing", None),
        (0, 0, "stable", None),
        (None, 5, "stable", None),
        (5, None, "stable", None),
    ],
)
def test_a_change_of_more_than_a_tenth_is_a_trend(first, second, name, percent):
    forecast = trend(first, second).as_json()
    assert (forecast["trend"], forecast["changePercent"]) == (name, percent)


def test_figures_of_halves_are_by_the_hour_and_in_milliseconds():
    forecasts = trends(halves(Measures(1200, 12, 9 * 50_000, timed=9), Measures(2400, 0, 2400 * 25_000, timed=2400)))
    assert forecasts["requests"].as_json() == {
        "trend": "increasing",
        "changePercent": 100.0,
        "firstHalf": 100.0,
        "secondHalf": 200.0,
    }
    assert forecasts["latency"].as_json() == {
        "trend": "decreasing",
        "changePercent": -50.0,
        "firstHalf": 50.0,
        "secondHalf": 25.0,
    }
    assert (forecasts["errors"].first, forecasts["errors"].second) == (1, 0)


def test_a_half_that_is_a_second_longer_makes_no_trend():
    assert trends(Halves(Measures(10), Measures(11), 10, 11))["requests"].change == 0


def test_the_costs_of_a_sample():
    half = Measures(requests=7710, errors=170, bytes=62_500_000)
    answer = costs(half.plus(half), halves(half, half), SEED_PRICES, cacheable=8500)
    assert answer == {
        "prices": {"perRequest": 0.001, "perByte": 0.000001},
        "current": {"requests": 15.42, "data": 125.0, "total": 140.42},
        "projected": {
            "monthlyGrowthPercent": 0.0,
            "nextMonth": 4212.6,
            "nextQuarter": 4212.6,
            "nextYear": 4212.6,
        },
        "savings": {"failedRequests": 0.34, "cacheableRequests": 8.5},
    }


@pytest.mark.parametrize(
    ("days", "second", "percent"),
    [(1, 1500, 50.0), (60, 1500, 50.0), (120, 4000, 100.0), (120, 2250, 50.0), (1, 9000, 100.0), (1, 0, -100.0)],
)
def test_growth_between_halves_is_a_months_unless_they_are_longer(days, second, percent):
    answer = costs(Measures(1000 + second), halves(Measures(1000), Measures(second), days * DAY), SEED_PRICES, 0)
    projected = answer["projected"]
    assert projected["monthlyGrowthPercent"] == percent
    monthly = (1000 + second) * 0.001 * 30 / days
    growth = 1 + percent / 100
    assert projected["nextMonth"] == pytest.approx(monthly * growth, abs=1e-4)
    assert projected["nextYear"] == pytest.approx(monthly * growth**12, abs=1e-4)


def test_what_is_shown_adds_up():
    current = costs(Measures(1, bytes=1), halves(Measures(), Measures()), Prices("0.00005", "0.00005"), 0)["current"]
    assert current == {"requests": 0.0001, "data": 0.0001, "total": 0.0002}


def test_nothing_costs_nothing_and_needs_nothing():
    answer = costs(Measures(), halves(Measures(), Measures(), 0), SEED_PRICES, 0)
    assert set(answer["current"].values()) | set(answer["projected"].values()) == {0}
    assert capacity(Measures(), trends(halves(Measures(), Measures())))["projected"] == {
        "requests": 0,
        "latency": 0,
        "errors": 0,
    }


def test_capacity_is_the_next_window_if_the_trends_go_on():
    first, second = Measures(1000, 10, 500 * 100_000, timed=500), Measures(1500, 10, 750 * 105_000, timed=750)
    forecasts = trends(halves(first, second))
    assert capacity(first.plus(second), forecasts) == {
        "current": {"requests": 2500, "latency": 103.0, "errors": 20},
        "projected": {"requests": 3750, "latency": 103.0, "errors": 20},
    }
    used = {"requestsPerMinute": None, "requestsPerHour": 64.25, "requestsPerDay": 154.2}
    assert projected_utilization(used, forecasts["requests"]) == {
        "requestsPerMinute": None,
        "requestsPerHour": 96.38,
        "requestsPerDay": 231.3,
    }


@given(*[st.integers(0, 10**12)] * 4, st.integers(0, 10**10))
def test_any_two_halves_have_finite_figures(first, second, first_bytes, second_bytes, span_s):
    pair = halves(Measures(first, bytes=first_bytes), Measures(second, bytes=second_bytes), span_s)
    total = pair.first.plus(pair.second)
    answer = costs(total, pair, SEED_PRICES, first)
    assert all(cost >= 0 for cost in (*answer["current"].values(), answer["projected"]["nextYear"]))
    assert capacity(total, trends(pair))["projected"]["requests"] >= 0
