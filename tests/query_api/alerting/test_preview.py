"""What a rule would have done is what the evaluator does, minute for minute."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timezone
from math import ceil

import pytest

from apimetry.query_api.alerting.judging import decide, judge, next_event
from apimetry.query_api.alerting.measuring import measurement, value_of
from apimetry.query_api.alerting.past import Moments, moments_until, past_values
from apimetry.query_api.alerting.preview import firings, preview
from apimetry.store.accounts.records import RequestLimits
from apimetry.store.alerts.records import Direction, Metric, Transition
from tests.query_api.alerting.test_api import BAD_RULES, RULE
from tests.query_api.alerting.test_evaluator import rule_of
from tests.support.oracles.query_events import Event, insert_events, random_events
from tests.support.services.query_service import assert_error, running_query_service

END = 1_700_000_100
LIMITS = RequestLimits(7, None, None)
PATH = "/api/alerts/preview"


def iso(time_s):
    return datetime.fromtimestamp(time_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def rule_about(metric, window_s, **fields):
    percentile = 90 if metric is Metric.latency_percentile else None
    long_ago = datetime.fromtimestamp(0, timezone.utc)
    fields = {"window_s": window_s, "percentile": percentile, "cooldown_s": 600, "created_at": long_ago, **fields}
    return rule_of("o", metric=metric, **fields)


def evaluated(store, rule, moment):
    """What the evaluator measures at a moment."""
    ((requests, measure),) = store.ask(measurement(rule, moment))
    return value_of(rule, requests, measure, LIMITS)


def told(rule, values):
    """What the evaluator does: (moment, transition) for each event."""
    last, events = None, []
    for moment, value in values:
        now = datetime.fromtimestamp(moment, timezone.utc)
        transition = decide(rule, last, holds=judge(rule, value, now), now=now)
        if transition is not None:
            last = next_event(rule, last, transition, value, now)
            events.append((iso(moment), transition))
    return events


def as_told(fired):
    events = [(firing["at"], Transition.firing) for firing in fired]
    events += [(firing["until"], Transition.resolved) for firing in fired if firing["until"] is not None]
    return sorted(events)


@pytest.mark.parametrize("metric", list(Metric))
def test_values_and_firings_are_those_of_the_evaluator(store, metric):
    rng = random.Random(metric.value)
    events = [e for e in random_events(7, 300, END - 15_000, END + 500) if e.application == "shop"]
    insert_events(store, events)
    for step_s, window_s in [(60, 60), (60, 300), (300, 120), (300, 300), (300, 420), (300, 1800)]:
        moments = Moments(END - 29 * step_s, step_s, 30)
        filters = rng.choice([{}, {"include": ("method:GET", "status_code:2xx")}, {"exclude": ("route:/",)}])
        minimum = rng.choice([0, 3]) if metric in (Metric.error_rate, Metric.latency_mean) else 0
        rule = rule_about(metric, window_s, minimum_requests=minimum, **filters)
        expected = [evaluated(store, rule, moment) for moment in moments.times()]
        known = sorted(value for value in expected if value is not None) or [0.0]
        if metric is not Metric.no_data:
            rule = replace(rule, threshold=known[len(known) // 2], direction=rng.choice(list(Direction)))
        answer = preview(rule, moments, LIMITS, ask=store.ask)
        values = [value for _, value in answer["points"]]
        estimated = 0.02 if metric is Metric.latency_percentile else 1e-12
        assert values == [None if value is None else pytest.approx(value, rel=estimated) for value in expected]
        assert [moment for moment, _ in answer["points"]] == list(moments.times())
        assert answer["evaluated"] == 30
        assert as_told(answer["firings"]) == sorted(told(rule, answer["points"]))
        if metric is not Metric.latency_percentile:
            assert as_told(answer["firings"]) == sorted(told(rule, zip(moments.times(), expected, strict=True)))


def test_a_percentile_is_never_above_the_largest_value(embedded_store):
    # The lowest value of its bucket: the bucket's middle is above it.
    lowest_us = ceil(2 ** (358 / 18)) - 1
    insert_events(embedded_store, [Event(timestamp=(END - 30) * 1_000_000, response_us=lowest_us)])
    rule = rule_about(Metric.latency_percentile, 120)
    values = past_values(rule, Moments(END - 60, 60, 3), LIMITS, ask=embedded_store.ask)
    assert list(values) == [None, lowest_us / 1000, lowest_us / 1000]


def test_a_firing_has_the_value_that_is_furthest_from_the_threshold():
    values = [1.0, 6.0, 9.0, None, 7.0, 4.0, 8.0]
    points = [(END + 60 * number, value) for number, value in enumerate(values)]
    above = replace(rule_about(Metric.request_count, 60, threshold=5.0), cooldown_s=0)
    assert firings(above, points) == [
        {"at": iso(END + 60), "until": iso(END + 300), "peak": 9.0},
        {"at": iso(END + 360), "until": None, "peak": 8.0},
    ]
    below = replace(above, direction=Direction.below)
    assert [firing["peak"] for firing in firings(below, points)] == [1.0, 4.0]


@pytest.mark.parametrize(("days", "step_s", "count"), [(1, 60, 1440), (2, 300, 576), (7, 300, 2016), (14, 300, 4032)])
def test_moments_are_the_whole_minutes_of_a_day_or_every_fifth_of_several(days, step_s, count):
    moments = moments_until(END + 59, days)
    assert (moments.step_s, moments.count, len(moments.times())) == (step_s, count, count)
    assert moments.last == moments.times()[-1] == (END + 59) // step_s * step_s


@pytest.fixture
async def tried(embedded_store):
    """The service ten seconds after a minute that rules are evaluated for."""
    async with running_query_service(embedded_store, clock=lambda: END + 10) as running:
        yield running


async def test_a_rule_that_was_never_made_is_tried_on_the_last_days(tried):
    at = [END - 40 * 3600 + second for second in (10, 20, 290)]
    events = [Event(timestamp=second * 1_000_000, status_code=500) for second in at]
    insert_events(tried.accounts.store, [*events, Event(timestamp=at[0] * 1_000_000)])
    for key in ("read", "admin"):
        response = await tried.request("POST", PATH, key, json={**RULE, "days": 2})
        assert response.status == 200, await response.text()
        answer = await response.json()
        assert (answer["threshold"], answer["evaluated"], len(answer["points"])) == (5.0, 576, 576)
        assert [point for point in answer["points"] if point[1] is not None] == [[END - 40 * 3600 + 300, 75.0]]
        assert answer["firings"] == [{"at": iso(END - 40 * 3600 + 300), "until": None, "peak": 75.0}]
    assert (await tried.answer("/api/alerts", "admin"))["alerts"] == []


async def test_a_rule_about_no_data_has_no_threshold_and_counts_days_before_it_was_thought_of(tried):
    insert_events(tried.accounts.store, [Event(timestamp=(END - 3600) * 1_000_000)])
    body = {"application": "shop", "name": "Silence", "metric": "no_data", "windowS": 3600, "days": 1}
    answer = await (await tried.request("POST", PATH, "read", json=body)).json()
    assert answer["threshold"] is None
    day = END - 86400 + 60
    # The last window begins with the event.
    assert answer["firings"] == [{"at": iso(day), "until": iso(END - 3600 + 60), "peak": 0.0}]


async def test_what_cannot_be_made_cannot_be_tried(tried):
    for changes, status, named in BAD_RULES:
        await assert_error(await tried.request("POST", PATH, json={**RULE, **changes}), status, named)
    for days in (0, 15, 1.5, "7", None):
        await assert_error(await tried.request("POST", PATH, json={**RULE, "days": days}), 400, "days is ")


async def test_a_read_key_tries_rules_of_its_application_and_looks_no_address_up(tried):
    other = {"name": "Other", "id": "other"}
    assert (await tried.request("POST", "/api/applications", json=other)).status == 201
    for application in ("other", "theirs", "nobody"):
        response = await tried.request("POST", PATH, "read", json={**RULE, "application": application})
        await assert_error(response, 404, application)
    response = await tried.request("POST", PATH, "read", json={**RULE, "webhookUrl": "http://localhost:9/"})
    assert response.status == 200
    response = await tried.request("POST", PATH, "read", json={**RULE, "webhookUrl": "ftp://localhost"})
    await assert_error(response, 400, "webhookUrl")


async def test_more_points_than_a_preview_may_have_are_refused(tried):
    for window_s, days, status in [(420, 14, 400), (420, 13, 200), (240, 14, 200), (86400, 14, 200)]:
        response = await tried.request("POST", PATH, "read", json={**RULE, "windowS": window_s, "days": days})
        if status == 200:
            assert response.status == 200
        else:
            await assert_error(response, 400, "needs 20162 points; at most 20000")
