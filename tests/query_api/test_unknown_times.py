"""A request whose time nobody measured counts, and changes no latency, in any answer."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from apimetry.query_api.alerting.measuring import measurement, value_of
from apimetry.query_api.insights.answer import answer_insights
from apimetry.query_api.insights.forecast import Prices
from apimetry.query_api.overview.answer import answer_bucket
from apimetry.query_api.planning.filters import Filter
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.query_api.timeseries.reading import Limits
from apimetry.query_api.usage.answer import answer_usage
from apimetry.query_api.usage.params import parse_usage, parse_window
from apimetry.store.accounts.accounts import Application, RequestLimits
from apimetry.store.alerts.records import AlertRule, Metric
from tests.support.oracles.query_events import insert_events, random_events

NOW = 1_705_765_500
DAY = 86_400
START = NOW - 4 * DAY
LIMITS = Limits(100_000, 1000)
AGGREGATIONS = ("mean", "min", "max", "sum", "percentile_50", "percentile_99")
GROUPS = (None, "route", "status_code", "consumer_id", "function", "url")
# By an hour's rollups with edges of events, by rollups alone, and from events.
RANGES = ((START + 61, NOW), (START - START % 3600, NOW - NOW % 3600), (NOW - 3 * 3600, NOW - 2 * 3600))
PERCENTILES = ("p50", "p95", "p99")


@pytest.fixture
def both(embedded_store):
    """A store whose `timed` has events with times, and whose `mixed` has the same ones and others without."""
    events = random_events(1, 1500, START, NOW) + random_events(2, 300, NOW - DAY, NOW)
    timed = [replace(event, application="timed") for event in events if event.response_us is not None]
    untimed = [replace(event, application="mixed") for event in events if event.response_us is None]
    insert_events(embedded_store, [*timed, *untimed, *(replace(event, application="mixed") for event in timed)])
    return embedded_store, sum(event.sample_weight for event in untimed)


def latency_rule(name, window_s, metric, percentile=None):
    return AlertRule(
        id="rule",
        organization_id="o",
        application_id=name,
        name="Latency",
        metric=metric,
        percentile=percentile,
        created_at=datetime.now(timezone.utc),
        webhook_secret="",
        threshold=5.0,
        window_s=window_s,
        cooldown_s=300,
    )


def application(name):
    return Application(name, "o" * 24, name, 90, RequestLimits(), datetime.now(timezone.utc))


@pytest.mark.parametrize("span", RANGES)
def test_no_timeseries_of_times_knows_them(both, span):
    store, _ = both

    def groups_of(name, *question):
        query = TimeseriesQuery(*span, *question)
        answer = answer_timeseries(query, name, ask=store.ask, limits=LIMITS)
        return {key.replace("mixed", "timed"): points for key, points in answer["groups"].items()}

    for number, (group, aggregation) in enumerate(itertools.product(GROUPS, AGGREGATIONS)):
        granularity = (None, Granularity(3600), Granularity(DAY))[(number + number // 6) % 3]
        filters = (Filter("route", ("/", "")),) if number // 3 % 2 else ()
        question = ((aggregation,), "response_us", granularity, (group,) if group else (), filters)
        assert groups_of("mixed", *question) == groups_of("timed", *question), question


def test_usage_counts_them_and_has_no_latency_of_them(both):
    store, untimed = both
    timed, mixed = (
        answer_usage(
            parse_usage([("start", str(START)), ("end", str(NOW))], NOW), application(name), ask=store.ask, now=NOW
        )
        for name in ("timed", "mixed")
    )
    assert mixed["usage"]["totalRequests"] == timed["usage"]["totalRequests"] + untimed
    for name in ("averageLatency", "peakLatency"):
        assert mixed["usage"][name] == timed["usage"][name] > 0
        assert [point[name] for point in mixed["timeSeries"]] == [point[name] for point in timed["timeSeries"]]
    routes = {row["endpoint"]: row for row in timed["breakdown"]["byEndpoint"]}
    assert set(routes) == {"/", "/items/{id}"}
    for row in mixed["breakdown"]["byEndpoint"]:
        known = routes.get(row["endpoint"], {"averageLatency": 0, **dict.fromkeys(PERCENTILES)})
        for name in ("averageLatency", *PERCENTILES):
            assert row[name] == known[name], row["endpoint"]


def test_lists_sorted_by_latency_put_routes_without_a_time_where_nothing_took_long(both):
    store, _ = both
    parameters = [("start", str(START)), ("end", str(NOW)), ("sortBy", "latency")]
    for order, position in (("asc", 0), ("desc", -1)):
        query = parse_usage([*parameters, ("order", order)], NOW)
        answer = answer_usage(query, application("mixed"), ask=store.ask, now=NOW)
        routes = [row["endpoint"] for row in answer["breakdown"]["byEndpoint"]]
        consumers = [row["keyId"] for row in answer["breakdown"]["byKey"]]
        assert (routes[position], consumers[position]) == ("", "bob")


def test_insights_and_buckets_have_no_latency_of_them(both):
    store, untimed = both
    timed, mixed = (
        answer_insights(
            parse_window([("start", str(START)), ("end", str(NOW))], NOW),
            application(name),
            prices=Prices("1", "1"),
            ask=store.ask,
            now=NOW,
        )["insights"]
        for name in ("timed", "mixed")
    )
    assert mixed["overview"]["totalRequests"] == timed["overview"]["totalRequests"] + untimed
    assert mixed["overview"]["averageLatency"] == timed["overview"]["averageLatency"]
    assert mixed["trends"]["latency"] == timed["trends"]["latency"]
    assert mixed["capacity"]["current"]["latency"] == timed["capacity"]["current"]["latency"]
    for name in ("timePercentage", "averageLatency"):
        timed_rows, mixed_rows = (
            [row[name] for row in answer["optimization"]["caching"]] for answer in (timed, mixed)
        )
        assert mixed_rows == timed_rows
    for name in ("averageLatency", "peakLatency"):
        timed_bucket, mixed_bucket = (
            answer_bucket(application(id_), "7d", ask=store.ask, now=NOW)["analytics"] for id_ in ("timed", "mixed")
        )
        assert mixed_bucket["totals"][name] == timed_bucket["totals"][name]
        assert [point[name] for point in mixed_bucket["series"]] == [point[name] for point in timed_bucket["series"]]


@pytest.mark.parametrize(
    ("metric", "percentile"),
    [(Metric.latency_mean, None), *((Metric.latency_percentile, percentile) for percentile in (1, 50, 99))],
)
def test_latency_alerts_measure_and_count_timed_requests_alone(both, metric, percentile):
    store, _ = both
    measured = []
    for name in ("timed", "mixed"):
        rule = latency_rule(name, DAY, metric, percentile)
        statement = measurement(rule, NOW)
        ((requests, measure),) = store.ask(statement)
        measured.append((requests, value_of(rule, requests, measure, RequestLimits())))
    assert measured[0] == measured[1]
    assert measured[0][1] is not None


@pytest.mark.parametrize("metric", [Metric.latency_mean, Metric.latency_percentile])
def test_latency_alerts_say_nothing_where_no_request_has_a_time(embedded_store, metric):
    events = [replace(event, response_us=None) for event in random_events(3, 50, NOW - 3600, NOW)]
    insert_events(embedded_store, events)
    rule = latency_rule("shop", 3600, metric, 50 if metric is Metric.latency_percentile else None)
    statement = measurement(rule, NOW)
    ((requests, measure),) = embedded_store.ask(statement)
    assert value_of(rule, requests, measure, RequestLimits()) is None
