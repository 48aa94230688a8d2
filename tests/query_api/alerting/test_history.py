"""The log of all alert rules of an application."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from apimetry.store.alerts.alerts import Alerts
from apimetry.store.alerts.records import AlertEvent, Transition
from tests.query_api.alerting.test_evaluator import T0, rule_of
from tests.support.services.query_service import assert_error

PATH = "/v1/alert-events"


def event_of(number, rule, at, **values):
    fields = {"kind": Transition.firing, "fired_at": at, "value": 12.5, "threshold": 5.0, **values}
    identity = f"{number:024x}"
    return AlertEvent(identity, rule.id, rule.organization_id, rule.application_id, number, at=at, **fields)


def shown(event, rule, delivery):
    return {
        "id": event.id,
        "alert": rule.id,
        "name": rule.name,
        "kind": event.kind.value,
        "at": event.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "value": event.value,
        "threshold": event.threshold,
        "delivery": delivery,
    }


def random_log(service, seed):
    """Write events of three rules, some in the same second, and return them as they must be shown, the last first."""
    rng, alerts, expected = random.Random(seed), Alerts(service.accounts.store), []
    rules = [rule_of(service.organization_id, id=f"rule{i}", name=f"Rule {i}") for i in range(3)]
    for rule in rules:
        alerts.create(rule)
    for number in range(1, 13):
        rule = rng.choice(rules)
        kind, delivery = rng.choice(list(Transition)), rng.choice(["none", "pending", "delivered", "failed"])
        event = event_of(number, rule, T0 + timedelta(minutes=rng.randrange(6)), kind=kind, value=rng.random())
        assert alerts.record_event(event)
        if delivery != "none":
            alerts.record_delivery(event.id, delivery, attempts=1, at=event.at)
        expected.append((event, shown(event, rule, delivery)))
    alerts.delete("rule1")
    return sorted(expected, key=lambda event: (event[0].at, event[0].id), reverse=True)


async def test_the_log_has_the_events_of_all_rules_the_last_first_also_of_deleted_ones(service):
    expected = [row for _, row in random_log(service, 1)]
    foreign = rule_of(service.their_organization_id, id="theirs", application_id="theirs")
    Alerts(service.accounts.store).create(foreign)
    Alerts(service.accounts.store).record_event(event_of(1, foreign, T0))
    assert await service.answer(PATH) == {"events": expected, "next": None}
    assert (await service.answer(f"{PATH}?application=shop", "admin"))["events"] == expected
    assert [e["alert"] for e in (await service.answer(PATH, "their read"))["events"]] == ["theirs"]


@pytest.mark.parametrize("limit", [1, 5, 12])
async def test_pages_have_every_event_once_whatever_comes_in_the_meantime(embedded_service, limit):
    log = random_log(embedded_service, limit)
    alerts, pages, path = Alerts(embedded_service.accounts.store), [], f"{PATH}?limit={limit}"
    newest = rule_of(embedded_service.organization_id, id="newest")
    answer = await embedded_service.answer(path)
    while True:
        pages.append(answer["events"])
        alerts.record_event(event_of(len(pages), newest, T0 + timedelta(hours=len(pages))))
        if answer["next"] is None:
            break
        answer = await embedded_service.answer(f"{path}&cursor={answer['next']}")
    assert [row for page in pages for row in page] == [row for _, row in log]
    assert {len(page) for page in pages[:-1]} <= {limit}
    assert pages[-1]


async def test_a_range_has_its_events_from_start_up_to_before_end(embedded_service):
    log = random_log(embedded_service, 3)
    start, end = T0 + timedelta(minutes=2), T0 + timedelta(minutes=4)
    answer = await embedded_service.answer(f"{PATH}?start={int(start.timestamp())}&end={int(end.timestamp())}")
    expected = [row for event, row in log if start <= event.at < end]
    assert answer == {"events": expected, "next": None}
    assert 0 < len(expected) < len(log)


async def test_an_event_of_a_rule_that_nobody_knows_has_no_name(embedded_service):
    rule = replace(rule_of(embedded_service.organization_id), id="gone")
    Alerts(embedded_service.accounts.store).record_event(event_of(1, rule, T0))
    assert [event["name"] for event in (await embedded_service.answer(PATH))["events"]] == [""]


BAD_PARAMETERS = [
    ("start=5&end=5", "start must be before end: start is 5, end is 5"),
    ("start=x", "start is 'x'"),
    ("limit=0", "limit is '0'; allowed: a whole number, 1 to 1000"),
    ("limit=1001", "limit"),
    ("cursor=x", "cursor is 'x'; allowed: `next` of an answer"),
    ("cursor=MTI", "cursor is 'MTI'"),
    ("cursor=eDp4", "cursor"),
    ("cursor=%C3%BC", "cursor"),
    ("cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5Ong", "cursor"),
    ("offset=1", "a parameter's name is 'offset'"),
]


async def test_a_parameter_that_cannot_be_read_is_refused_by_name(embedded_service):
    for parameters, named in BAD_PARAMETERS:
        await assert_error(await embedded_service.get(f"{PATH}?{parameters}"), 400, named)
