"""Answer what the usage means: trends, bottlenecks, costs, capacity, and what to improve."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from apimetry.query_api.http.json_values import iso_time
from apimetry.query_api.insights import advice, sql
from apimetry.query_api.insights.forecast import DAY_S, Halves, Prices, capacity, costs, projected_utilization, trends
from apimetry.query_api.insights.response import MAX_CANDIDATES, Insights, InsightsOverview, Optimization
from apimetry.query_api.planning.figures import Measures
from apimetry.query_api.planning.filters import UNMATCHED_ROUTES, Filter
from apimetry.query_api.usage.lists import Group, groups
from apimetry.query_api.usage.params import Order, Sort, Window
from apimetry.query_api.usage.reading import scope_of, totals, with_day_under_way
from apimetry.query_api.usage.sql import Scope
from apimetry.query_api.usage.warnings import alerts, limits_json, utilizations
from apimetry.store.accounts.accounts import Application
from apimetry.store.statement import Ask, Rows

# RFC 9110, section 9.2.3: what a cache may answer.
_READS = ("GET", "HEAD")
_SORTS: tuple[Sort, ...] = ("requests", "errors", "latency")


def answer_insights(window: Window, application: Application, *, prices: Prices, ask: Ask, now: int) -> Insights:
    """Return the answer about `application` at `now`. Blocks while `ask` does."""
    scope = with_day_under_way(scope_of(window, application.id, ask), ask, now)
    total, (peak_minute, peak_hour) = totals(scope, ask)
    halves = _halves(scope, ask)
    by_figure = trends(halves)
    utilization = utilizations(application.limits, total.requests, scope.end - scope.start)
    alarms = alerts(total, utilization)
    cacheable = advice.caching(_reads(scope, ask), total)
    optimization: Optimization = {
        "caching": advice.caching_json(cacheable, total),
        "batching": advice.batching_json(_chatty(scope, ask)),
        "rateLimiting": advice.rate_limiting_json(
            limits_json(application.limits), {"requestsPerMinute": peak_minute, "requestsPerHour": peak_hour}
        ),
    }
    projected = projected_utilization(utilization, by_figure["requests"])
    return {
        "success": True,
        "insights": {
            "overview": _overview(total, peak_minute),
            "trends": {
                "requestsPerHour": by_figure["requests"].as_json(),
                "latency": by_figure["latency"].as_json(),
                "errorsPerHour": by_figure["errors"].as_json(),
            },
            "bottlenecks": advice.bottlenecks(_endpoints(scope, ask), utilization),
            "alerts": alarms,
            "costs": costs(total, halves, prices, sum(measures.requests for _, measures in cacheable)),
            "capacity": {
                **capacity(total, by_figure),
                "utilization": utilization,
                "projectedUtilization": projected,
            },
            "optimization": optimization,
            "recommendations": advice.recommendations(alarms, by_figure, projected, optimization),
        },
        "timestamp": iso_time(now),
    }


def _overview(total: Measures, peak_minute: int) -> InsightsOverview:
    return {
        "totalRequests": total.requests,
        "successRate": total.success_rate,
        "averageLatency": total.mean_ms,
        "peakRequests": peak_minute,
    }


def _halves(scope: Scope, ask: Ask) -> Halves:
    middle = (scope.start + scope.end) // 2
    statement = sql.halves(scope, middle)
    by_half = {half: Measures(*measures) for half, *measures in ask(statement)}
    return Halves(by_half.get(0, Measures()), by_half.get(1, Measures()), middle - scope.start, scope.end - middle)


def _endpoints(scope: Scope, ask: Ask) -> list[Group]:
    """Return the endpoints with the most requests, the most errors, and the longest times: a hundred of each."""
    by_route: dict[str, Measures] = {}
    for sort in _SORTS:
        by_route.update(groups(scope, "route", Order(sort, descending=True), ask))
    return _of_endpoints(by_route.items())


def _of_endpoints(by_route: Iterable[Group]) -> list[Group]:
    """Return the groups that are an endpoint's: there is nothing to mend or to cache where no route matched."""
    return [(route, measures) for route, measures in by_route if route not in UNMATCHED_ROUTES]


def _reads(scope: Scope, ask: Ask) -> list[Group]:
    only = replace(scope, filters=(*scope.filters, Filter("method", _READS)))
    return _of_endpoints(groups(only, "route", Order("requests", descending=True), ask))


def _chatty(scope: Scope, ask: Ask) -> Rows:
    """Return who could batch requests, of a day at most: no rollup has the minutes of a consumer."""
    day = scope.within(max(scope.start, scope.end - DAY_S), scope.end)
    busiest = groups(day, "consumer_id", Order("requests", descending=True), ask)
    consumers = [consumer for consumer, _ in busiest if consumer]
    if not consumers:
        return []
    statement = sql.chatty_consumers(
        day, consumers, least_per_minute=advice.BATCH_REQUESTS_PER_MINUTE, limit=MAX_CANDIDATES
    )
    return ask(statement)
