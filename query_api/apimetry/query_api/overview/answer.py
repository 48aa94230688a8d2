"""Answer questions about an organization and its applications, which the organization API calls buckets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from apimetry.query_api.http.json_values import iso_datetime, iso_time
from apimetry.query_api.management.response import plan_json
from apimetry.query_api.overview import sql
from apimetry.query_api.overview.response import (
    PERIODS,
    TOP_ROWS,
    Bucket,
    BucketSummary,
    Overview,
    OverviewUsage,
    RecentActivity,
)
from apimetry.query_api.planning.figures import formatted_bytes, percent, scaled
from apimetry.query_api.planning.time_buckets import Buckets
from apimetry.query_api.usage.lists import groups, percentiles
from apimetry.query_api.usage.params import Order
from apimetry.query_api.usage.reading import Page, series_rows, totals, with_day_under_way
from apimetry.query_api.usage.shapes import endpoints_json, points_json, with_shares
from apimetry.query_api.usage.sql import Dimension, Scope
from apimetry.store.accounts.accounts import Application, Organization
from apimetry.store.accounts.records import days_or_none
from apimetry.store.alerts.figures import AlertFigures, alert_figures
from apimetry.store.statement import Ask
from apimetry.store.storage import StorageLocation, disk_usage

DAY_S = 86_400
DEFAULT_PERIOD = "24h"
_MOST_FIRST = Order("requests", descending=True)
_OLDEST_FIRST = Order("timestamp", descending=False)


@dataclass(frozen=True)
class Account:
    """An organization with what belongs to it; `keys` are those that were not revoked."""

    organization: Organization
    applications: Sequence[Application]
    keys: int


def answer_overview(account: Account, location: StorageLocation, *, ask: Ask, now: int) -> Overview:
    """Return the overview of an organization at `now`. Blocks while `ask` does."""
    organization = account.organization
    ids = [application.id for application in account.applications]
    month = datetime.fromtimestamp(now, timezone.utc).date().replace(day=1)
    ((calls, sources, last_us),) = ask(sql.ever_sent(organization.id, ids, month))
    ((requests, recent),) = ask(sql.stored(ids, now - DAY_S, now))
    disk = disk_usage(organization.id, location, ask=ask)
    used_bytes = scaled(disk.size_bytes * disk.organization_rows, disk.rows, 1)
    alerts = alert_figures(organization.id, ask=ask, now=now)
    return {
        "overview": {
            "organization": {"_id": organization.id, "name": organization.name},
            "totals": {
                "buckets": len(ids),
                "dataSources": sources,
                "dataPoints": requests,
                "alertRules": alerts.rules,
                "apiKeys": account.keys,
            },
            # Parts are shared: an organization uses of them what its rows are of all rows.
            "usage": _usage(calls, organization.plan.max_calls_per_month, used_bytes),
            "plan": plan_json(organization.plan),
            "recentActivity": _activity(last_us, recent, alerts, now),
        }
    }


def bucket_summaries(applications: Sequence[Application], *, ask: Ask, now: int) -> list[BucketSummary]:
    """Return applications as buckets, with what is stored and was seen of each."""
    ids = [application.id for application in applications]
    stored: dict[str, int] = dict(ask(sql.stored_by_application(ids)))
    sent = {application: (sources, last) for application, sources, last in ask(sql.sent_by_application(ids))}
    return [
        {
            "_id": application.id,
            "name": application.name,
            "retentionDays": days_or_none(application.retention_days),
            "createdAt": iso_datetime(application.created_at),
            "dataSources": sent.get(application.id, (0, None))[0],
            "dataPoints": stored.get(application.id, 0),
            "lastDataIngestion": _last(sent.get(application.id, (0, None))[1], now),
        }
        for application in applications
    ]


def answer_bucket(application: Application, period: str, *, ask: Ask, now: int) -> Bucket:
    """Return the analytics of one bucket in one of PERIODS until `now`. Blocks while `ask` does."""
    span_s, granularity = PERIODS[period]
    scope = with_day_under_way(Scope(application.id, now - span_s, now), ask, now)
    buckets = Buckets(granularity, scope.start, scope.end)
    series = series_rows(scope, Page(buckets, range(buckets.count), _OLDEST_FIRST), ask)
    total, _ = totals(scope, ask)

    routes = groups(scope, "route", _MOST_FIRST, ask, limit=TOP_ROWS)

    def top(dimension: Dimension) -> Iterator[tuple[Any, int, float]]:
        return with_shares(groups(scope, dimension, _MOST_FIRST, ask, limit=TOP_ROWS), total)

    return {
        "analytics": {
            "bucket": {"_id": application.id, "name": application.name},
            "period": period,
            "start": iso_time(scope.start),
            "end": iso_time(scope.end),
            "totals": {
                "dataPoints": total.requests,
                "successfulRequests": total.succeeded,
                "failedRequests": total.errors,
                "successRate": total.success_rate,
                "errorRate": total.error_rate,
                "averageLatency": total.mean_ms,
                "peakLatency": total.peak_ms,
                "dataTransferred": total.bytes,
            },
            "series": points_json(buckets, series),
            "topRoutes": endpoints_json(routes, percentiles(scope, [route for route, _ in routes], ask)),
            "topConsumers": [
                {"keyId": consumer, "requests": requests, "percentage": percentage}
                for consumer, requests, percentage in top("consumer_id")
            ],
            "methods": [
                {"method": method, "requests": requests, "percentage": percentage}
                for method, requests, percentage in top("method")
            ],
            "statusCodes": [
                {"statusCode": status, "requests": requests, "percentage": percentage}
                for status, requests, percentage in top("status_code")
            ],
            "dataSources": [
                {"source": source, "requests": requests, "percentage": percentage}
                for source, requests, percentage in top("source")
            ],
        }
    }


def _usage(calls: int, limit: int | None, storage_bytes: int) -> OverviewUsage:
    return {
        "apiCallsThisMonth": calls,
        "apiCallsLimit": limit,
        "apiCallsPercentage": percent(calls, limit or 0),
        "storageUsedBytes": storage_bytes,
        "storageUsedFormatted": formatted_bytes(storage_bytes),
    }


def _activity(last_us: int | None, recent: int, alerts: AlertFigures, now: int) -> RecentActivity:
    triggered = alerts.last_triggered_at
    return {
        "lastDataIngestion": _last(last_us, now),
        "lastAlertTriggered": None if triggered is None else iso_time(triggered),
        "dataPointsLast24h": recent,
        "alertsTriggeredLast24h": alerts.triggered_last_24h,
    }


def _last(last_us: int | None, now: int) -> str | None:
    """Return the time of the last data point; a sender's clock may run ahead of ours."""
    return None if last_us is None else iso_time(min(last_us // 1_000_000, now))
