"""When usage alarms, how urgently, and in which words."""

from __future__ import annotations

import pytest

from apimetry.query_api.planning.figures import Measures
from apimetry.query_api.usage.warnings import alerts, average_rates, utilizations
from apimetry.store.accounts.records import RequestLimits

NONE = {"requestsPerMinute": None, "requestsPerHour": None, "requestsPerDay": None}


def of(errors=0, mean_ms=0):
    """A thousand requests."""
    return Measures(requests=1000, errors=errors, latency_us=round(mean_ms * 1000) * 900, timed=900)


@pytest.mark.parametrize(
    ("total", "utilization", "expected"),
    [
        (of(), {}, []),
        (Measures(), {}, []),
        (of(), {"requestsPerDay": 80.0}, []),
        (of(), {"requestsPerDay": 80.01}, ["medium: Daily rate limit is 80.01% utilized"]),
        (of(), {"requestsPerHour": 90.0}, ["medium: Hourly rate limit is 90% utilized"]),
        (of(), {"requestsPerMinute": 90.5}, ["high: Per-minute rate limit is 90.5% utilized"]),
        (of(errors=10), {}, []),
        (of(errors=11), {}, ["medium: Error rate is 1.1%, above recommended 1%"]),
        (of(errors=50), {}, ["medium: Error rate is 5%, above recommended 1%"]),
        (of(errors=51), {}, ["high: Error rate is 5.1%, above recommended 1%"]),
        (of(mean_ms=500), {}, []),
        (of(mean_ms=500.1), {}, ["medium: Average latency is 500.1 ms, above recommended 500 ms"]),
        (of(mean_ms=1000), {}, ["medium: Average latency is 1000 ms, above recommended 500 ms"]),
        (of(mean_ms=1000.1), {}, ["high: Average latency is 1000.1 ms, above recommended 500 ms"]),
        # The most urgent first; among equals limits by how far they are used, then errors, then latency.
        (
            of(errors=20, mean_ms=2000),
            {"requestsPerMinute": 81.0, "requestsPerHour": 95.0, "requestsPerDay": 200.0},
            [
                "high: Daily rate limit is 200% utilized",
                "high: Hourly rate limit is 95% utilized",
                "high: Average latency is 2000 ms, above recommended 500 ms",
                "medium: Per-minute rate limit is 81% utilized",
                "medium: Error rate is 2%, above recommended 1%",
            ],
        ),
    ],
)
def test_alerts(total, utilization, expected):
    warnings = alerts(total, {**NONE, **utilization})
    assert [f"{alert['priority']}: {alert['message']}" for alert in warnings] == expected
    assert all(alert["recommendation"] for alert in warnings)


def test_utilization_is_of_the_rounded_average_and_null_without_a_limit():
    limits = RequestLimits(100, 1000, None)
    assert average_rates(15_420, 86_400) == {
        "requestsPerMinute": 10.7,
        "requestsPerHour": 642.5,
        "requestsPerDay": 15_420.0,
    }
    assert utilizations(limits, 15_420, 86_400) == {
        "requestsPerMinute": 10.7,
        "requestsPerHour": 64.25,
        "requestsPerDay": None,
    }


def test_no_time_has_no_rate():
    assert set(average_rates(0, 0).values()) == {0}
