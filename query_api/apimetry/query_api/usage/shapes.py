"""The JSON of a usage answer, made of what was read. Pure."""

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


def totals_json(found: Breakdowns, span_s: int) -> Json:
    """Return the totals of `span_s` seconds."""
    total = found.total
    return {
        "totalRequests": total.requests,
        "successfulRequests": total.succeeded,
        "failedRequests": total.errors,
        "successRate": total.success_rate,
        "averageLatency": total.mean_ms,
        "peakLatency": total.peak_ms,
        **average_rates(total.requests, span_s),
        "peakRequestsPerMinute": found.peaks[0],
        "peakRequestsPerHour": found.peaks[1],
        "dataTransferred": total.bytes,
        "averageDataPerRequest": scaled(total.bytes, total.requests, 1),
    }


def changes_json(now: Mapping[str, object], before: Mapping[str, object]) -> Json:
    """Return by how many percent each figure of `now`, as it is shown, differs from the same of `before`."""
    return {name: change_percent(Fraction(str(now[name])), Fraction(str(before[name]))) for name in now}


def points_json(buckets: Buckets, series: Iterable[tuple[int, Measures]]) -> list[Json]:
    """Return the points of a series."""
    return [_point(buckets.starts_at(index), measures) for index, measures in series]


def breakdown_json(found: Breakdowns, order: Order) -> Json:
    """Return the lists of all requests."""
    return {
        "byEndpoint": endpoints_json(found.routes.rows, found.percentiles),
        "byMethod": counted_json("method", found.methods.rows, found.total),
        "byStatusCode": counted_json("statusCode", in_order(found.statuses, order)[:MAX_ROWS], found.total),
        "byKey": counted_json("keyId", found.consumers.rows, found.total),
    }


def errors_json(found: Breakdowns, order: Order) -> Json:
    """Return the lists of failed requests, sorted by what the failed ones alone add up to."""
    failed, total = in_order(((status, each) for status, each in found.statuses if status >= 400), order), found.total
    return {
        "totalErrors": total.errors,
        "errorRate": total.error_rate,
        "byType": [
            {
                "type": kind.name,
                "count": each.requests,
                "percentage": percent(each.requests, total.errors),
                "description": kind.description,
            }
            for kind, each in in_order(_by_type(failed).items(), order)
        ],
        "byEndpoint": [
            {"endpoint": route, "errors": each.requests, "percentage": percent(each.requests, total.errors)}
            for route, each in found.failed_routes.rows
        ],
        "byStatusCode": [
            {"statusCode": status, "count": each.requests, "percentage": percent(each.requests, total.errors)}
            for status, each in failed[:MAX_ROWS]
        ],
    }


def endpoints_json(found: Iterable[Group], percentiles: Mapping[str, Sequence[int]]) -> list[Json]:
    """Return routes with the percentiles of their latency, given in microseconds; null where none was measured."""
    return [_endpoint(route, measures, percentiles.get(route, ())) for route, measures in found]


def counted_json(name: str, found: Iterable[Group], total: Measures) -> list[Json]:
    """Return groups: how many requests, and their share."""
    return [
        {name: key, "requests": each.requests, "percentage": percent(each.requests, total.requests)}
        for key, each in found
    ]


def in_order(found: Iterable[Group], order: Order) -> list[Group]:
    """Return groups sorted as the store sorts them."""
    sign = -1 if order.descending else 1
    return sorted(found, key=lambda each: (sign * _weight(each[1], order), sign * each[1].requests, each[0]))


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
    # An event that came in between two statements may have no row in the second.
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
    found: dict[ErrorType, Measures] = {}
    for status, measures in failed:
        kind = error_type(status)
        found[kind] = found.get(kind, Measures()).plus(measures)
    return found
