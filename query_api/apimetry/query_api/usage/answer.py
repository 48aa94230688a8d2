"""Answer a usage query (docs/api.md, "Developer usage API")."""

from __future__ import annotations

from contextlib import nullcontext

from apimetry.query_api.http.json_values import iso_time
from apimetry.query_api.planning.completeness import completeness
from apimetry.query_api.planning.period import compared_period
from apimetry.query_api.planning.time_buckets import Buckets
from apimetry.query_api.usage.params import Order, UsageQuery
from apimetry.query_api.usage.reading import (
    Again,
    Reading,
    read_usage,
    read_usage_before,
    scope_of,
    series_page,
    with_day_under_way,
)
from apimetry.query_api.usage.response import PreviousUsage, Usage
from apimetry.query_api.usage.shapes import breakdown_json, changes_json, errors_json, points_json, totals_json
from apimetry.query_api.usage.sql import Scope
from apimetry.query_api.usage.warnings import alerts, average_rates, limits_json, utilizations
from apimetry.store.accounts.accounts import Application
from apimetry.store.statement import Ask


def answer_usage(
    query: UsageQuery, application: Application, *, ask: Ask, now: int, again: Again = nullcontext
) -> Usage:
    """Return the response about `application` at `now`; parts that disagree are read within `again`.

    Blocks while `ask` does.

    Raises:
        BadRequest: more buckets would have to be sorted than MAX_SORTED_BUCKETS, or the earlier period would begin
            before 1970.
    """
    scope = with_day_under_way(scope_of(query.window, application.id, ask), ask, now)
    before = scope.within(*compared_period(query.compare, scope.start, scope.end)) if query.compare else None
    page = series_page(query, scope.start, scope.end)
    reading = read_usage(scope, page, query.list_order, ask, again=again)
    total, span_s = reading.breakdowns.total, scope.end - scope.start
    utilization = utilizations(application.limits, total.requests, span_s)
    answer: Usage = {
        "success": True,
        "usage": totals_json(reading.breakdowns, span_s),
        "timeSeries": points_json(page.buckets, reading.series),
        "breakdown": breakdown_json(reading.breakdowns, query.list_order),
        "errors": errors_json(reading.breakdowns, query.list_order),
        "granularity": page.buckets.granularity,
        "rateLimits": {
            "current": limits_json(application.limits),
            "usage": average_rates(total.requests, span_s),
            "utilization": utilization,
        },
        "alerts": alerts(total, utilization),
        "pagination": {
            "total": page.buckets.count,
            "limit": len(page.rows),
            "offset": page.rows.start,
            "hasMore": page.rows.stop < page.buckets.count,
        },
        "timestamp": iso_time(now),
    }
    if before is not None:
        answer["previous"] = _previous(before, reading, page.buckets, query.list_order, ask, again=again)
    if query.completeness:
        answer["completeness"] = completeness(application.id, scope.start, scope.end, ask=ask)
    return answer


def _previous(  # noqa: PLR0913 - what it reads, and how
    scope: Scope, later: Reading, buckets: Buckets, order: Order, ask: Ask, *, again: Again
) -> PreviousUsage:
    """Return the same figures of the earlier period; its series has the buckets of the `later` reading's series."""
    span_s = scope.end - scope.start
    reading = read_usage_before(scope, buckets, [index for index, _ in later.series], order, ask, again=again)
    totals = totals_json(reading.breakdowns, span_s)
    return {
        "start": iso_time(scope.start),
        "end": iso_time(scope.end),
        "usage": totals,
        "timeSeries": points_json(buckets, reading.series),
        "breakdown": breakdown_json(reading.breakdowns, order),
        "errors": errors_json(reading.breakdowns, order),
        "changePercent": changes_json(totals_json(later.breakdowns, span_s), totals),
    }
