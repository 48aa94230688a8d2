"""The same filters on every endpoint: each answer is about the events that pass them."""

from __future__ import annotations

import json
import random
from datetime import datetime, timezone

from apimetry.query_api.alerting.measuring import measurement
from apimetry.query_api.export.params import parse_export
from apimetry.query_api.export.sql import make_export
from apimetry.query_api.http.query_string import collect
from apimetry.query_api.insights.answer import answer_insights
from apimetry.query_api.insights.forecast import Prices
from apimetry.query_api.planning.filters import FILTER_PARAMETERS, filters_of
from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import parse_timeseries
from apimetry.query_api.timeseries.reading import Limits
from apimetry.query_api.usage.answer import answer_usage
from apimetry.query_api.usage.params import parse_usage, parse_window
from apimetry.store.accounts.accounts import Application, RequestLimits
from apimetry.store.alerts.records import AlertRule, Metric
from tests.support.oracles.query_events import Event, insert_events, passes, random_events

START = 1_413_295_200
DAY = 86_400
LIMITS = Limits(100_000, 1000)
SHOP = Application("shop", "org", "Shop", 20_000, RequestLimits(), datetime(2014, 1, 1, tzinfo=timezone.utc))
FILTERS = [
    ("include", "status_code:5xx"),
    ("include", "status_code:404"),
    ("exclude", "status_code:2xx"),
    ("include", "status_class:4xx"),
    ("exclude", "status_class:5xx"),
    ("include", "method:GET"),
    ("exclude", "consumer_id:"),
    ("include", "version:1.0"),
    ("has", "url:ITEMS/1"),
    ("has", "url:Q=Ü"),
    ("has", "route:{ID}"),
    ("has", "consumer_id:LI"),
    ("has", "error_type:error"),
    ("min_response_us", "20"),
    ("max_response_us", "500000"),
    ("between", "ttfb_us:20.."),
    ("between", "request_bytes:10..500"),
    ("between", "response_bytes:..400"),
]


def expected_weight(events, parameters, start, end):
    filters = filters_of(collect(parameters, FILTER_PARAMETERS))
    return sum(
        e.sample_weight
        for e in events
        if e.application == "shop"
        and start * 1_000_000 <= e.timestamp < end * 1_000_000
        and all(passes(e, filter_) for filter_ in filters)
    )


def counted(store, parameters, start, end):
    query = parse_timeseries(str(start), str(end), parameters, max_groups=LIMITS.max_groups)
    return answer_timeseries(query, "shop", ask=store.ask, limits=LIMITS)["groups"]["shop"][0][1]


def exported(store, parameters, start, end):
    query = parse_export([*parameters, ("start", str(start)), ("end", str(end))])
    export = make_export(query, "shop")
    lines = b"".join(store.stream(export.statement, form=export.form)).splitlines()
    return sum(json.loads(line)["sample_weight"] for line in lines)


def test_every_endpoint_counts_the_events_that_pass_the_filters(store):
    events = random_events(31, 1_500, START, START + DAY)
    insert_events(store, events)
    rng = random.Random(32)
    chosen = [[chosen_filter] for chosen_filter in FILTERS] + [
        rng.sample(FILTERS, rng.choice([2, 3])) for _ in range(6)
    ]
    for number, parameters in enumerate(chosen):
        start, end = START + rng.choice([0, 1801]), START + DAY
        expected = expected_weight(events, parameters, start, end)
        window = [*parameters, ("start", str(start)), ("end", str(end))]
        usage = answer_usage(parse_usage(window, end), SHOP, ask=store.ask, now=end)
        assert counted(store, parameters, start, end) == expected, parameters
        assert exported(store, parameters, start, end) == expected, parameters
        assert usage["usage"]["totalRequests"] == expected, parameters
        assert sum(row["requests"] for row in usage["breakdown"]["byKey"]) == expected, parameters
        if number % 5 == 0:
            of_window = parse_window(window, end)
            insights = answer_insights(of_window, SHOP, prices=Prices("0", "0"), ask=store.ask, now=end)
            assert insights["insights"]["overview"]["totalRequests"] == expected, parameters


def test_a_rule_counts_the_events_that_pass_its_filters(store):
    events = random_events(33, 800, START, START + DAY)
    insert_events(store, events)
    for include, exclude in [("status_code:5xx", ""), ("status_class:4xx", "method:GET"), ("", "status_code:2xx")]:
        rule = AlertRule(
            id="r", organization_id="org", application_id="shop", name="r", metric=Metric.request_count,
            created_at=SHOP.created_at, webhook_secret="", window_s=DAY,
            include=tuple(filter(None, [include])), exclude=tuple(filter(None, [exclude])),
        )  # fmt: skip
        parameters = [("include", include), ("exclude", exclude)]
        ((requests, _),) = store.ask(measurement(rule, START + DAY))
        assert requests == expected_weight(events, parameters, START, START + DAY), (include, exclude)


def test_texts_are_found_in_small_and_capital_letters_of_any_alphabet(store):
    urls = ["/Straße", "/ÜBER", "/ΣΑΣ", "/\u212aelvin", "/a'b", "/%_\\"]
    insert_events(store, [Event(timestamp=START * 1_000_000, url=url) for url in urls])
    for text, url in [("STRA", 0), ("über", 1), ("σας", 2), ("K", 3), ("A'B", 4), ("%_\\", 5)]:
        query = parse_timeseries(
            str(START), str(START + 60), [("has", f"url:{text}"), ("group", "url")], max_groups=10
        )
        assert list(answer_timeseries(query, "shop", ask=store.ask, limits=LIMITS)["groups"]) == [urls[url]], text


def test_one_endpoint_takes_its_own_filters_and_the_common_ones_together(embedded_store):
    events = random_events(34, 300, START, START + DAY)
    insert_events(embedded_store, events)
    window = [("start", str(START)), ("end", str(START + DAY))]
    both = parse_usage([*window, ("method", "GET"), ("include", "method:POST"), ("status_code", "5xx")], START + DAY)
    requests = answer_usage(both, SHOP, ask=embedded_store.ask, now=START + DAY)["usage"]["totalRequests"]
    alike = [("include", "method:GET"), ("include", "method:POST"), ("include", "status_code:5xx")]
    assert requests == expected_weight(events, alike, START, START + DAY) > 0
