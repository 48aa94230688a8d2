"""Answers a usage question: asks the store, and makes of its rows the shape of seed 002 (api.md, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

from apimetry.query_api import usage_sql as sql
from apimetry.query_api.buckets import Buckets
from apimetry.query_api.completeness import completeness
from apimetry.query_api.error_types import ErrorType, error_type
from apimetry.query_api.figures import Measures, iso_time, percent, rounded, scaled
from apimetry.query_api.usage_alerts import alerts, average_rates, limits_json, utilizations
from apimetry.query_api.usage_params import UsageQuery, Window
from apimetry.query_api.usage_sql import PERCENTILES, Dimension, Order, Scope, Statement
from apimetry.store.accounts import Application
from apimetry.web.errors import BadRequest

Rows = Sequence[tuple[Any, ...]]
Ask = Callable[[str, dict[str, object]], Rows]
"""Runs one statement, within the service's limits on time and memory; blocks."""

Json = dict[str, object]
Group = tuple[Any, Measures]
"""The value of a dimension, and what its requests add up to."""

MAX_ROWS = 100
"""Rows in each list (api.md, section 3.2)."""

MAX_SORTED_BUCKETS = 1_000_000
"""Buckets that are sorted by something else than time: nearly two years of minutes."""

# Every status there can be: the lists of errors are made of them, and must miss none.
_ALL_STATUSES = 65_536


def answer_usage(query: UsageQuery, application: Application, *, ask: Ask, now: int) -> Json:
    """Return the answer about `application` at `now`. Blocks while `ask` does.

    Raises:
        BadRequest: more buckets would have to be sorted than MAX_SORTED_BUCKETS.
    """
    scope = scope_of(query.window, application.id, ask)
    buckets = Buckets(query.granularity, scope.start, scope.end)
    series = series_rows(scope, buckets, query, ask)
    total, peaks = totals(scope, ask)
    statuses = groups(scope, "status_code", Order("requests", descending=True), ask, limit=_ALL_STATUSES)
    span_s = scope.end - scope.start
    utilization = utilizations(application.limits, total.requests, span_s)
    rates = average_rates(total.requests, span_s)
    answer: Json = {
        "success": True,
        "usage": _usage(total, rates, peaks),
        "timeSeries": points_json(buckets, series),
        "breakdown": _breakdown(scope, query.list_order, statuses, total, ask),
        "errors": _errors(scope, query.list_order, statuses, total, ask),
        "rateLimits": {"current": limits_json(application.limits), "usage": rates, "utilization": utilization},
        "alerts": alerts(total, utilization),
        "pagination": {
            "total": buckets.count,
            "limit": query.limit,
            "offset": query.offset,
            "hasMore": query.offset + query.limit < buckets.count,
        },
        "timestamp": iso_time(now),
    }
    if query.completeness:
        answer["completeness"] = completeness(application.id, scope.start, scope.end, ask=ask)
    return answer


def scope_of(window: Window, application: str, ask: Ask) -> Scope:
    """Return the events of `window`; from the second of the first one on where it has no start, if there is any."""
    start = window.start
    if start is None:
        first = asked(ask, sql.first_event(application))
        start = min(first[0][0] // 1_000_000, window.end) if first else window.end
    return Scope(application, start, window.end, window.filters)


def totals(scope: Scope, ask: Ask) -> tuple[Measures, tuple[int, int]]:
    """Return what all requests add up to, and the most of them in a clock minute and in a clock hour."""
    ((*measures, minute, hour),) = asked(ask, sql.totals(scope))
    return Measures(*measures), (minute, hour)


def groups(scope: Scope, dimension: Dimension, order: Order, ask: Ask, *, limit: int = MAX_ROWS) -> list[Group]:
    """Return the first `limit` groups of requests in `order`."""
    return _groups(asked(ask, sql.groups(scope, dimension, order, limit=limit)))


def series_rows(scope: Scope, buckets: Buckets, query: UsageQuery, ask: Ask) -> list[tuple[int, Measures]]:
    """Return the page of buckets that `query` asks for, each with its index: also the empty ones."""
    order, total = query.series_order, buckets.count
    rows = range(query.offset, query.offset + query.limit)
    if order.sort != "timestamp":
        if total > MAX_SORTED_BUCKETS:
            raise BadRequest(
                f"sortBy is {order.sort!r} and there are {total} buckets; at most {MAX_SORTED_BUCKETS} can be sorted:"
                " ask for a coarser granularity, a shorter range, or sortBy=timestamp"
            )
        indexes = range(total)
    else:
        # The page's own buckets are known: nothing else is read.
        indexes = range(total)[rows.start : rows.stop]
        if order.descending:
            indexes = range(max(0, total - rows.stop), max(0, total - rows.start))
        rows = range(len(indexes))
    if not indexes or rows.start >= total:
        return []
    return _groups(asked(ask, sql.series(scope, buckets, indexes, order, rows)))


def points_json(buckets: Buckets, series: Iterable[tuple[int, Measures]]) -> list[Json]:
    """Return the points of a series as they are shown."""
    return [_point(buckets.starts_at(index), measures) for index, measures in series]


def endpoints_json(scope: Scope, found: Sequence[Group], ask: Ask) -> list[Json]:
    """Return routes as rows of the answer, with the percentiles of their latency."""
    routes = [route for route, _ in found]
    percentiles: dict[str, Sequence[int]] = {
        route: found_us for route, found_us, *_ in (asked(ask, sql.percentiles(scope, routes)) if routes else ())
    }
    return [_endpoint(route, measures, percentiles.get(route, ())) for route, measures in found]


def counted_json(name: str, found: Iterable[Group], total: Measures) -> list[Json]:
    """Return groups as rows of the answer: how many requests, and their share."""
    return [
        {name: key, "requests": each.requests, "percentage": percent(each.requests, total.requests)}
        for key, each in found
    ]


def in_order(found: Iterable[Group], order: Order) -> list[Group]:
    """Return groups sorted as the store sorts them."""
    sign = -1 if order.descending else 1
    return sorted(found, key=lambda each: (sign * _weight(each[1], order), sign * each[1].requests, each[0]))


def asked(ask: Ask, statement: Statement) -> Rows:
    """Return the rows of one statement."""
    return ask(statement.sql, statement.parameters)


def _groups(rows: Rows) -> list[Group]:
    return [(key, Measures(*measures)) for key, *measures in rows]


def _weight(measures: Measures, order: Order) -> Fraction:
    if order.sort == "latency":
        return Fraction(measures.latency_us, measures.requests or 1)
    return Fraction(measures.errors if order.sort == "errors" else measures.requests)


def _usage(total: Measures, rates: dict[str, float], peaks: tuple[int, int]) -> Json:
    return {
        "totalRequests": total.requests,
        "successfulRequests": total.succeeded,
        "failedRequests": total.errors,
        "successRate": total.success_rate,
        "averageLatency": total.mean_ms,
        "peakLatency": total.peak_ms,
        **rates,
        "peakRequestsPerMinute": peaks[0],
        "peakRequestsPerHour": peaks[1],
        "dataTransferred": total.bytes,
        "averageDataPerRequest": scaled(total.bytes, total.requests, 1),
    }


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


def _breakdown(scope: Scope, order: Order, statuses: Sequence[Group], total: Measures, ask: Ask) -> Json:
    return {
        "byEndpoint": endpoints_json(scope, groups(scope, "route", order, ask), ask),
        "byMethod": counted_json("method", groups(scope, "method", order, ask), total),
        "byStatusCode": counted_json("statusCode", in_order(statuses, order)[:MAX_ROWS], total),
        "byKey": counted_json("keyId", groups(scope, "consumer_id", order, ask), total),
    }


def _endpoint(route: str, measures: Measures, percentiles_us: Sequence[int]) -> Json:
    return {
        "endpoint": route,
        "requests": measures.requests,
        "successRate": measures.success_rate,
        "averageLatency": measures.mean_ms,
        "dataTransferred": measures.bytes,
        "errors": measures.errors,
        # An event that came in between two statements may have no row in the second.
        **{f"p{p}": rounded(us, 1000, 1) for p, us in zip(PERCENTILES, percentiles_us or (0, 0, 0), strict=True)},
    }


def _errors(scope: Scope, order: Order, statuses: Sequence[Group], total: Measures, ask: Ask) -> Json:
    """Return the lists of failed requests, sorted by what the failed ones alone add up to."""
    failed = in_order(((status, each) for status, each in statuses if status >= 400), order)
    routes = _groups(asked(ask, sql.groups(scope, "route", order, limit=MAX_ROWS, failed=True))) if failed else []
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
            for route, each in routes
        ],
        "byStatusCode": [
            {"statusCode": status, "count": each.requests, "percentage": percent(each.requests, total.errors)}
            for status, each in failed[:MAX_ROWS]
        ],
    }


def _by_type(failed: Iterable[Group]) -> dict[ErrorType, Measures]:
    found: dict[ErrorType, Measures] = {}
    for status, measures in failed:
        kind = error_type(status)
        found[kind] = found.get(kind, Measures()).plus(measures)
    return found
