"""Makes the JSON of a usage response of a reading's figures. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from apimetry.query_api.http.json_values import Json, iso_time
from apimetry.query_api.planning.buckets import Buckets
from apimetry.query_api.planning.figures import Measures, percent, rounded, scaled
from apimetry.query_api.planning.period import change_percent
from apimetry.query_api.usage.error_types import ErrorType, error_type
from apimetry.query_api.usage.params import Order
from apimetry.query_api.usage.reading import MAX_ROWS, Breakdowns, Group
from apimetry.query_api.usage.sql import PERCENTILES
from apimetry.query_api.usage.warnings import average_rates


def totals_json(breakdowns: Breakdowns, span_s: int) -> Json:
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


def changes_json(now: Mapping[str, object], before: Mapping[str, object]) -> Json:
    """Return the change of each figure in percent, from `before` to `now`, both as in the response."""
    return {name: change_percent(Fraction(str(now[name])), Fraction(str(before[name]))) for name in now}


def points_json(buckets: Buckets, series: Iterable[tuple[int, Measures]]) -> list[Json]:
    """Return the points of a series."""
    return [_point(buckets.starts_at(index), measures) for index, measures in series]


def breakdown_json(breakdowns: Breakdowns, order: Order) -> Json:
    """Return the lists of all requests."""
    return {
        "byEndpoint": endpoints_json(breakdowns.routes.rows, breakdowns.percentiles),
        "byMethod": counted_json("method", breakdowns.methods.rows, breakdowns.total),
        "byStatusCode": counted_json("statusCode", in_order(breakdowns.statuses, order)[:MAX_ROWS], breakdowns.total),
        "byKey": counted_json("keyId", breakdowns.consumers.rows, breakdowns.total),
    }


def errors_json(breakdowns: Breakdowns, order: Order) -> Json:
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


def endpoints_json(groups: Iterable[Group], percentiles: Mapping[str, Sequence[int]]) -> list[Json]:
    """Return routes with the percentiles of their latency, from microseconds; null without a measured latency."""
    return [_endpoint(route, measures, percentiles.get(route, ())) for route, measures in groups]


def counted_json(name: str, groups: Iterable[Group], total: Measures) -> list[Json]:
    """Return groups with their requests, and their share of all requests."""
    return [
        {name: key, "requests": measures.requests, "percentage": percent(measures.requests, total.requests)}
        for key, measures in groups
    ]


def in_order(groups: Iterable[Group], order: Order) -> list[Group]:
    """Return groups sorted as the store sorts them."""
    sign = -1 if order.descending else 1
    return sorted(groups, key=lambda group: (sign * _weight(group[1], order), sign * group[1].requests, group[0]))


def _weight(measures: Measures, order: Order) -> Fraction:
    if order.sort == "latency":
        return Fraction(measures.latency_us, measures.timed or 1)
    return Fraction(measures.errors if order.sort == "errors" else measures.requests)


def _point(time_s: int, measures: Measures) -> Json:
    return {
        "timestamp": iso_time(time_s),
        "requests": measures.requests,
        "successfulRequests": measures.succeeded,
        "failedRequests": measures.errors,
        "averageLatency": measures.mean_ms,
        "peakLatency": measures.peak_ms,
        "dataTransferred": measures.bytes,
    }


def _percentiles(measures: Measures, percentiles_us: Sequence[int]) -> Json:
    names = [f"p{p}" for p in PERCENTILES]
    if not measures.timed:
        return dict.fromkeys(names)
    # Without a row: the route's first event came after the statement of the percentiles.
    return {name: rounded(us, 1000, 1) for name, us in zip(names, percentiles_us or (0, 0, 0), strict=True)}


def _endpoint(route: str, measures: Measures, percentiles_us: Sequence[int]) -> Json:
    return {
        "endpoint": route,
        "requests": measures.requests,
        "successRate": measures.success_rate,
        "averageLatency": measures.mean_ms,
        "dataTransferred": measures.bytes,
        "errors": measures.errors,
        **_percentiles(measures, percentiles_us),
    }


def _by_type(failed: Iterable[Group]) -> dict[ErrorType, Measures]:
    by_type: dict[ErrorType, Measures] = {}
    for status, measures in failed:
        kind = error_type(status)
        by_type[kind] = by_type.get(kind, Measures()).plus(measures)
    return by_type
