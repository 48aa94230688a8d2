"""Make the JSON of a usage response of a reading's figures. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, cast

from apimetry.query_api.http.json_values import iso_time
from apimetry.query_api.planning.figures import Measures, percent, rounded, scaled
from apimetry.query_api.planning.period import change_percent
from apimetry.query_api.planning.time_buckets import Buckets
from apimetry.query_api.usage.error_types import ErrorType, error_type
from apimetry.query_api.usage.lists import Group, in_order
from apimetry.query_api.usage.params import Order
from apimetry.query_api.usage.reading import Breakdowns
from apimetry.query_api.usage.response import (
    MAX_ROWS,
    Endpoint,
    UsageBreakdown,
    UsageChange,
    UsageErrors,
    UsagePoint,
    UsageTotals,
)
from apimetry.query_api.usage.warnings import average_rates


def totals_json(breakdowns: Breakdowns, span_s: int) -> UsageTotals:
    """Return the totals of `span_s` seconds."""
    total = breakdowns.total
    return {
        "totalRequests": total.requests,
        "successfulRequests": total.succeeded,
        "failedRequests": total.errors,
        "successRate": total.success_rate,
        "averageLatency": total.mean_ms,
        "peakLatency": total.peak_ms,
        **average_rates(total.requests, span_s),
        "peakRequestsPerMinute": breakdowns.peaks[0],
        "peakRequestsPerHour": breakdowns.peaks[1],
        "dataTransferred": total.bytes,
        "averageDataPerRequest": scaled(total.bytes, total.requests, 1),
    }


def changes_json(now: UsageTotals, before: UsageTotals) -> UsageChange:
    """Return the change of each figure in percent, from `before` to `now`, both as in the response."""
    later: Mapping[str, object] = now
    earlier: Mapping[str, object] = before
    changes = {name: change_percent(Fraction(str(later[name])), Fraction(str(earlier[name]))) for name in later}
    # A change has the members of the totals.
    return cast("UsageChange", changes)


def points_json(buckets: Buckets, series: Iterable[tuple[int, Measures]]) -> list[UsagePoint]:
    """Return the points of a series."""
    return [_point(buckets.starts_at(index), measures) for index, measures in series]


def breakdown_json(breakdowns: Breakdowns, order: Order) -> UsageBreakdown:
    """Return the lists of all requests."""
    total = breakdowns.total
    statuses = in_order(breakdowns.statuses, order)[:MAX_ROWS]
    return {
        "byEndpoint": endpoints_json(breakdowns.routes.rows, breakdowns.percentiles),
        "byMethod": [
            {"method": method, "requests": requests, "percentage": percentage}
            for method, requests, percentage in with_shares(breakdowns.methods.rows, total)
        ],
        "byStatusCode": [
            {"statusCode": status, "requests": requests, "percentage": percentage}
            for status, requests, percentage in with_shares(statuses, total)
        ],
        "byKey": [
            {"keyId": consumer, "requests": requests, "percentage": percentage}
            for consumer, requests, percentage in with_shares(breakdowns.consumers.rows, total)
        ],
    }


def errors_json(breakdowns: Breakdowns, order: Order) -> UsageErrors:
    """Return the lists of failed requests, sorted by the sums over failed requests alone."""
    total = breakdowns.total
    failed = in_order(((status, measures) for status, measures in breakdowns.statuses if status >= 400), order)
    return {
        "totalErrors": total.errors,
        "errorRate": total.error_rate,
        "byType": [
            {
                "type": kind.name,
                "count": measures.requests,
                "percentage": percent(measures.requests, total.errors),
                "description": kind.description,
            }
            for kind, measures in in_order(_by_type(failed).items(), order)
        ],
        "byEndpoint": [
            {"endpoint": route, "errors": measures.requests, "percentage": percent(measures.requests, total.errors)}
            for route, measures in breakdowns.failed_routes.rows
        ],
        "byStatusCode": [
            {"statusCode": status, "count": measures.requests, "percentage": percent(measures.requests, total.errors)}
            for status, measures in failed[:MAX_ROWS]
        ],
    }


def endpoints_json(groups: Iterable[Group], percentiles: Mapping[str, Sequence[int]]) -> list[Endpoint]:
    """Return routes with the percentiles of their latency, from microseconds; null without a measured latency."""
    return [_endpoint(route, measures, percentiles.get(route, ())) for route, measures in groups]


def with_shares(groups: Iterable[Group], total: Measures) -> Iterator[tuple[Any, int, float]]:
    """Return the values of groups, their requests, and their share of all requests in percent."""
    for key, measures in groups:
        yield key, measures.requests, percent(measures.requests, total.requests)


def _point(time_s: int, measures: Measures) -> UsagePoint:
    if not measures.requests:
        return {
            "timestamp": iso_time(time_s),
            "requests": 0,
            "successfulRequests": 0,
            "failedRequests": 0,
            "averageLatency": 0.0,
            "peakLatency": 0.0,
            "dataTransferred": 0,
        }
    return {
        "timestamp": iso_time(time_s),
        "requests": measures.requests,
        "successfulRequests": measures.succeeded,
        "failedRequests": measures.errors,
        "averageLatency": measures.mean_ms,
        "peakLatency": measures.peak_ms,
        "dataTransferred": measures.bytes,
    }


def _percentiles_ms(measures: Measures, percentiles_us: Sequence[int]) -> Sequence[float | None]:
    """Return the latency at each of `usage.sql.PERCENTILES`; None for all without a measured latency."""
    if not measures.timed:
        return None, None, None
    # Without a row: the route's first event came after the statement of the percentiles.
    return [rounded(us, 1000, 1) for us in percentiles_us or (0, 0, 0)]


def _endpoint(route: str, measures: Measures, percentiles_us: Sequence[int]) -> Endpoint:
    p50, p95, p99 = _percentiles_ms(measures, percentiles_us)
    return {
        "endpoint": route,
        "requests": measures.requests,
        "successRate": measures.success_rate,
        "averageLatency": measures.mean_ms,
        "dataTransferred": measures.bytes,
        "errors": measures.errors,
        "p50": p50,
        "p95": p95,
        "p99": p99,
    }


def _by_type(failed: Iterable[Group]) -> dict[ErrorType, Measures]:
    by_type: dict[ErrorType, Measures] = {}
    for status, measures in failed:
        kind = error_type(status)
        by_type[kind] = by_type.get(kind, Measures()).plus(measures)
    return by_type
