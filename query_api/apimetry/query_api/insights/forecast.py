"""Trends between the halves of a window, and what they cost and need if they go on. Pure.

The sample client of the developer usage API compares buckets, although the first and the last are cut off, and
multiplies by the growth of a single bucket. Here halves are halves of the time, and only a trend grows: a change
within ±10 % is stable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from apimetry.query_api.insights import response
from apimetry.query_api.planning.figures import Measures, rounded, scaled
from apimetry.query_api.usage.response import LimitName, Utilization

DAY_S = 86_400
MONTH_S = 30 * DAY_S
# As in that client: a change of more than a tenth is a trend.
_STABLE = Fraction(1, 10)
# More than a doubling each month is a launch, not a rate to multiply by twelve times.
_MAX_MONTHLY_GROWTH = 1.0
_MONEY_DIGITS = 4
_MONEY_SCALE = 10**_MONEY_DIGITS


@dataclass(frozen=True)
class Halves:
    """What the requests of the two halves of a window add up to, and how long each half is."""

    first: Measures
    second: Measures
    first_s: int
    second_s: int


@dataclass(frozen=True)
class Trend:
    """A figure in both halves; None where it has no value."""

    first: Fraction | None
    second: Fraction | None

    @property
    def change(self) -> Fraction | None:
        """Return the change as a part of the first half's value; None where that is nothing."""
        if not self.first or self.second is None:
            return None
        return (self.second - self.first) / self.first

    @property
    def name(self) -> response.Direction:
        """Return `increasing`, `decreasing` or `stable`."""
        if self.change is None:
            return "increasing" if self.first == 0 and self.second else "stable"
        if abs(self.change) <= _STABLE:
            return "stable"
        return "increasing" if self.change > 0 else "decreasing"

    @property
    def growth(self) -> Fraction:
        """Return the change, where it is one that may go on: nothing while stable, nor from nothing."""
        return self.change if self.change is not None and abs(self.change) > _STABLE else Fraction(0)

    def as_json(self) -> response.Trend:
        """Return the trend as it is shown: one decimal."""
        return {
            "trend": self.name,
            "changePercent": None if self.change is None else _decimal(100 * self.change, 1),
            "firstHalf": None if self.first is None else _decimal(self.first, 1),
            "secondHalf": None if self.second is None else _decimal(self.second, 1),
        }


@dataclass(frozen=True)
class Prices:
    """What a request and a byte cost, as decimal numbers in text, so that no binary fraction comes in."""

    per_request: str
    per_byte: str

    def of(self, measures: Measures) -> tuple[Fraction, Fraction]:
        """Return what the requests and what their bytes cost."""
        return measures.requests * Fraction(self.per_request), measures.bytes * Fraction(self.per_byte)


def trends(halves: Halves) -> dict[str, Trend]:
    """Return the trends of requests and errors an hour, and of the mean latency in milliseconds."""

    def hourly(first: int, second: int) -> Trend:
        return Trend(_per(3600 * first, halves.first_s), _per(3600 * second, halves.second_s))

    return {
        "requests": hourly(halves.first.requests, halves.second.requests),
        "latency": Trend(
            _per(halves.first.latency_us, 1000 * halves.first.timed),
            _per(halves.second.latency_us, 1000 * halves.second.timed),
        ),
        "errors": hourly(halves.first.errors, halves.second.errors),
    }


def costs(total: Measures, halves: Halves, prices: Prices, cacheable: int) -> response.Costs:
    """Return what the window cost, what a month will cost, and what of it could be saved.

    `cacheable` is how many requests a cache could answer.
    """
    requests, data = prices.of(total)
    span_s = halves.first_s + halves.second_s
    monthly = float((requests + data) * MONTH_S / span_s) if span_s else 0.0
    growth = _monthly_growth(halves, prices)
    # Rounded before they are added, so that what is shown adds up.
    parts = [scaled(cost.numerator, cost.denominator, _MONEY_SCALE) for cost in (requests, data)]
    price = Fraction(prices.per_request)
    return {
        "prices": {"perRequest": float(prices.per_request), "perByte": float(prices.per_byte)},
        "current": {
            "requests": parts[0] / _MONEY_SCALE,
            "data": parts[1] / _MONEY_SCALE,
            "total": sum(parts) / _MONEY_SCALE,
        },
        "projected": {
            "monthlyGrowthPercent": _decimal(Fraction(100 * growth), 1),
            "nextMonth": _money(monthly * (1 + growth)),
            "nextQuarter": _money(monthly * (1 + growth) ** 3),
            "nextYear": _money(monthly * (1 + growth) ** 12),
        },
        "savings": {
            "failedRequests": _decimal(total.errors * price, _MONEY_DIGITS),
            "cacheableRequests": _decimal(cacheable * price, _MONEY_DIGITS),
        },
    }


def projected_utilization(utilization: Utilization, requests: Trend) -> Utilization:
    """Return the utilization of limits in the next window, should the trend of requests go on."""
    growth = 1 + requests.growth

    def projected(name: LimitName) -> float | None:
        used = utilization[name]
        return None if used is None else _decimal(Fraction(str(used)) * growth, 2)

    return {
        "requestsPerMinute": projected("requestsPerMinute"),
        "requestsPerHour": projected("requestsPerHour"),
        "requestsPerDay": projected("requestsPerDay"),
    }


def capacity(total: Measures, trends_by_name: Mapping[str, Trend]) -> response.CapacityForecast:
    """Return the figures of the window and those of the next one of its length, should the trends go on."""
    growth = {name: 1 + trend.growth for name, trend in trends_by_name.items()}
    mean_ms = _per(total.latency_us, 1000 * total.timed) or Fraction(0)
    return {
        "current": {"requests": total.requests, "latency": total.mean_ms, "errors": total.errors},
        "projected": {
            "requests": math.ceil(total.requests * growth["requests"]),
            "latency": _decimal(mean_ms * growth["latency"], 1),
            "errors": math.ceil(total.errors * growth["errors"]),
        },
    }


def _per(numerator: int, denominator: int) -> Fraction | None:
    return Fraction(numerator, denominator) if denominator else None


def _decimal(value: Fraction, digits: int) -> float:
    return rounded(value.numerator, value.denominator, digits)


def _money(value: float) -> float:
    return _decimal(Fraction(value), _MONEY_DIGITS)


def _monthly_growth(halves: Halves, prices: Prices) -> float:
    """Return the growth of the costs by the month: that between the halves, or a month's part of it in long ones."""
    trend = Trend(
        _cost_per_second(halves.first, halves.first_s, prices),
        _cost_per_second(halves.second, halves.second_s, prices),
    )
    growth = float(trend.growth)
    if halves.second_s > MONTH_S:
        growth = (1 + growth) ** (MONTH_S / halves.second_s) - 1
    return min(growth, _MAX_MONTHLY_GROWTH)


def _cost_per_second(measures: Measures, seconds: int, prices: Prices) -> Fraction | None:
    requests, data = prices.of(measures)
    return (requests + data) / seconds if seconds else None
