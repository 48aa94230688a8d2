"""Alert rules over a real engine: when they fire, when they resolve, and that they do so once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from apimetry.query_api.alerting.evaluator import Evaluator
from apimetry.query_api.alerting.judging import decide, judge
from apimetry.store.alerts.alerts import Alerts
from apimetry.store.alerts.records import AlertEvent, AlertRule, Direction, Metric, Transition
from apimetry.store.errors import StoreUnavailable
from tests.support.oracles.query_events import Event, insert_events

T0 = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)
MINUTE = 60
SECRET = "whsec_" + "QUJD" * 8


def rule_of(organization_id, **values):
    defaults = {
        "id": "rule1",
        "organization_id": organization_id,
        "application_id": "shop",
        "name": "Errors",
        "metric": Metric.error_rate,
        "created_at": T0 - timedelta(days=1),
        "webhook_secret": SECRET,
        "threshold": 5.0,
        "window_s": 60,
        "cooldown_s": 300,
    }
    return AlertRule(**{**defaults, **values})


class Outbox:
    """Takes what would be sent."""

    def __init__(self, state="delivered"):
        self.state = state
        self.events = []
        self.now = T0

    def now_s(self):
        return int(self.now.timestamp())

    async def deliver(self, rule, event, application):
        self.events.append(event)
        return self.state, 1


class Minutes:
    """Evaluates minute after minute: `[(errors, others), …]` requests in each."""

    def __init__(self, service, outbox=None, owner="one"):
        self.store = service.accounts.store
        self.alerts = Alerts(self.store)
        self.outbox = outbox or Outbox()
        self.evaluator = self.another(service, owner)
        self.minute = int(T0.timestamp())

    def another(self, service, owner, **limits):
        return Evaluator(self.alerts, service.directory, self.outbox, ask=self.store.ask, owner=owner, **limits)

    def pass_by(self, errors, others):
        """One minute in which requests come."""
        at = self.minute * 1_000_000
        events = [Event(timestamp=at + i, status_code=500) for i in range(errors)]
        events += [Event(timestamp=at + 1000 + i) for i in range(others)]
        if events:
            insert_events(self.store, events, token=f"minute-{self.minute}")
        self.minute += MINUTE
        self.outbox.now = datetime.fromtimestamp(self.minute, timezone.utc)

    async def next(self, errors, others):
        self.pass_by(errors, others)
        happened = await self.evaluator.evaluate(self.minute)
        await self.evaluator.finish_deliveries()
        return [event.kind.value for event in happened]


@pytest.fixture
def minutes(embedded_service):
    return Minutes(embedded_service)


async def history(minutes, traffic):
    """What happened in each minute, a letter for each: f(ired), r(esolved), - nothing."""
    events_by_minute = [await minutes.next(*minute) for minute in traffic]
    return "".join(events[0][0] if events else "-" for events in events_by_minute)


BAD, GOOD, SILENT = (1, 9), (0, 10), (0, 0)


CASES = [
    ({}, [GOOD, BAD, BAD, GOOD, GOOD], "-f-r---"),
    # 5 % is not above 5 %.
    ({}, [(1, 19), (2, 18)], "-f-----"),
    # It swings, and is told of once for each cooldown.
    ({}, [BAD, GOOD, BAD, GOOD, BAD, BAD, GOOD], "fr---fr"),
    ({"cooldown_s": 0}, [BAD, GOOD, BAD, GOOD], "frfr---"),
    # Too few to judge change nothing, either way.
    ({"minimum_requests": 10}, [(4, 5), BAD, (0, 9), SILENT, GOOD], "-f--r--"),
    ({"metric": Metric.request_count, "threshold": 9.0}, [SILENT, (0, 9), GOOD, (0, 9)], "--fr---"),
    (
        {"metric": Metric.request_count, "threshold": 10.0, "direction": Direction.below},
        [GOOD, (0, 9), SILENT, GOOD, GOOD, GOOD, GOOD],
        "-f-r---",
    ),
    ({"metric": Metric.no_data, "threshold": 0.0}, [GOOD, SILENT, SILENT, BAD, BAD, BAD, SILENT], "-f-r--f"),
    # A window of three minutes.
    ({"window_s": 180, "threshold": 3.0}, [GOOD, GOOD, BAD, GOOD, GOOD, GOOD], "--f--r-"),
    ({"include": ("route:/other",)}, [BAD, BAD], "-------"),
    ({"exclude": ("status_code:500",)}, [BAD, BAD], "-------"),
    ({"paused": True}, [BAD, BAD], "-------"),
]


def traffic_of(application, minute_s, errors, others):
    for number in range(errors + others):
        status_code = 500 if number < errors else 200
        yield Event(application, minute_s * 1_000_000 + number, status_code=status_code)


async def test_rules_fire_once_and_resolve_once(minutes, embedded_service):
    start, foreign_id = minutes.minute, embedded_service.their_organization_id
    events = []
    for number, (changes, traffic, _) in enumerate(CASES):
        application = f"app{number}"
        embedded_service.accounts.create_application(foreign_id, application, application_id=application)
        minutes.alerts.create(rule_of(foreign_id, id=f"rule{number}", application_id=application, **changes))
        for minute, counts in enumerate(traffic):
            events += traffic_of(application, start + minute * MINUTE, *counts)
    insert_events(minutes.store, events)
    await embedded_service.directory.refresh()
    histories = {f"rule{number}": "" for number in range(len(CASES))}
    for _ in range(7):
        minutes.pass_by(0, 0)
        happened = {event.rule_id: event.kind.value[0] for event in await minutes.evaluator.evaluate(minutes.minute)}
        histories = {rule: history + happened.get(rule, "-") for rule, history in histories.items()}
    assert list(histories.values()) == [history for _, _, history in CASES]
    stored = ["".join(e.kind.value[0] for e, _ in reversed(minutes.alerts.events(rule))) for rule in histories]
    assert stored == [history.replace("-", "") for _, _, history in CASES]


MEASURED = [
    ({"metric": Metric.latency_mean}, 30.1001),
    ({"metric": Metric.latency_percentile, "percentile": 70}, 0.143),
    ({"metric": Metric.latency_percentile, "percentile": 71}, 100.0),
    ({"metric": Metric.error_rate, "include": ("route:/a", "route:/b")}, 0.0),
    ({"metric": Metric.error_rate, "exclude": ("route:/b",)}, 0.0),
    ({"metric": Metric.request_count, "include": ("method:POST",)}, 3.0),
    ({"metric": Metric.request_count, "include": ("status_code:404",)}, 0.0),
    ({"metric": Metric.limit_utilization}, 50.0),
]


async def test_rules_measure_weights_within_their_window_alone(minutes, embedded_service):
    accounts = embedded_service.accounts
    limits = replace(accounts.application("shop").limits, per_minute=20, per_day=1_000_000)
    accounts.update_application("shop", limits=limits)
    await embedded_service.directory.refresh()
    for number, (changes, _) in enumerate(MEASURED):
        minutes.alerts.create(rule_of(embedded_service.organization_id, id=f"rule{number}", **changes))
    first_us = minutes.minute * 1_000_000
    slow = Event("shop", first_us, "POST", route="/a", response_us=100_000, sample_weight=3)
    quick = [Event("shop", first_us + 60_000_000 - 1 - i, route="/b", response_us=143) for i in range(7)]
    outside = [replace(slow, timestamp=first_us - 1), replace(slow, timestamp=first_us + 60_000_000)]
    insert_events(minutes.store, [slow, *quick, *outside, replace(slow, application="other")])
    minutes.pass_by(0, 0)
    await minutes.evaluator.evaluate(minutes.minute)
    states = minutes.alerts.states([f"rule{number}" for number in range(len(MEASURED))])
    assert [round(state.value, 9) for state in states.values()] == [value for _, value in MEASURED]
    assert {state.measured_at.timestamp() for state in states.values()} == {minutes.minute}


async def test_many_evaluators_at_once_fire_once(embedded_service, minutes):
    minutes.alerts.create(rule_of(embedded_service.organization_id, webhook_url="https://example.com/"))
    others = [minutes.another(embedded_service, f"other {i}") for i in range(5)]
    minutes.pass_by(*BAD)
    results = await asyncio.gather(
        *(evaluator.evaluate(minutes.minute) for evaluator in [minutes.evaluator, *others])
    )
    for evaluator in [minutes.evaluator, *others]:
        await evaluator.finish_deliveries()
    assert [event.kind for result in results for event in result] == [Transition.firing]
    assert len(minutes.outbox.events) == 1


async def test_two_that_evaluate_the_same_rule_in_different_minutes_fire_once(embedded_service, minutes):
    # A slow service has the turn of one minute while the next minute's does the same: both saw no event before.
    rule = minutes.alerts.create(rule_of(embedded_service.organization_id))
    base = {"rule_id": rule.id, "organization_id": "o", "application_id": "shop", "sequence": 1, "value": 1.0}
    kind = {"kind": Transition.firing, "threshold": 5.0}
    first = AlertEvent(id="a", at=T0, fired_at=T0, **base, **kind)
    second = AlertEvent(id="b", at=T0 + timedelta(minutes=1), fired_at=T0, **base, **kind)
    stores = [Alerts(minutes.store), Alerts(minutes.store)]
    loop = asyncio.get_running_loop()
    won = await asyncio.gather(
        *(loop.run_in_executor(None, s.record_event, e) for s, e in zip(stores, [first, second], strict=True))
    )
    assert sorted(won) == [False, True]
    assert [event.id for event, _ in minutes.alerts.events(rule.id)] == ["ab"[won.index(True)]]


async def test_a_rule_of_a_deleted_application_rests(embedded_service, minutes):
    minutes.alerts.create(rule_of(embedded_service.organization_id))
    embedded_service.accounts.delete_application("shop")
    await embedded_service.directory.refresh()
    assert await history(minutes, [BAD, BAD]) == "--"


async def test_a_webhook_that_could_not_be_sent_is_sent_again_with_a_later_minute(embedded_service):
    outbox = Outbox("pending")
    minutes = Minutes(embedded_service, outbox)
    minutes.alerts.create(rule_of(embedded_service.organization_id, webhook_url="https://example.com/"))
    assert await history(minutes, [BAD, SILENT, SILENT, SILENT]) == "f---"
    assert len(outbox.events) == 1
    outbox.state = "delivered"
    for _ in range(5):
        assert await minutes.next(*SILENT) == []
    assert [event.id for event in outbox.events] == [outbox.events[0].id] * 2
    assert [delivery for _, delivery in minutes.alerts.events("rule1")] == ["delivered"]


async def test_a_webhook_is_given_up_after_an_hour(embedded_service):
    minutes = Minutes(embedded_service, Outbox("pending"))
    minutes.alerts.create(rule_of(embedded_service.organization_id, webhook_url="https://example.com/"))
    assert await history(minutes, [BAD]) == "f"
    for _ in range(62):
        minutes.minute += MINUTE
        minutes.outbox.now += timedelta(minutes=1)
        await minutes.evaluator._send_again({r.id: r for r in minutes.alerts.rules()}, minutes.outbox.now)
        await minutes.evaluator.finish_deliveries()
    assert [delivery for _, delivery in minutes.alerts.events("rule1")] == ["failed"]
    assert 10 <= len(minutes.outbox.events) <= 25


async def test_a_rule_whose_filters_are_unknown_stops_no_other(embedded_service, minutes):
    minutes.alerts.create(rule_of(embedded_service.organization_id, id="rule0", include=("nothing:x",)))
    minutes.alerts.create(rule_of(embedded_service.organization_id))
    assert await history(minutes, [BAD]) == "f"


async def test_a_store_that_is_away_costs_a_minute(server_store, tmp_path):
    alerts = Alerts(server_store)
    server_store.close()
    with pytest.raises(StoreUnavailable):
        await Evaluator(alerts, None, Outbox(), ask=server_store.ask, owner="x").evaluate(60)


def test_a_rule_about_no_data_waits_for_its_first_window():
    rule = rule_of("o", metric=Metric.no_data, created_at=T0, window_s=600)
    assert judge(rule, 0.0, T0 + timedelta(seconds=599)) is None
    assert judge(rule, 0.0, T0 + timedelta(seconds=600)) is True
    assert judge(rule, 1.0, T0) is False


def test_a_minute_that_was_evaluated_already_changes_nothing():
    rule = rule_of("o")
    last = AlertEvent("e", "rule1", "o", "shop", 1, Transition.firing, T0, T0, 1.0, 5.0)
    assert decide(rule, last, holds=False, now=T0) is None
    assert decide(rule, last, holds=False, now=T0 + timedelta(minutes=1)) is Transition.resolved


def test_a_clock_that_was_ahead_delays_nothing_once_it_is_right():
    rule = rule_of("o", cooldown_s=600)

    def event(kind, at):
        return AlertEvent("e", "rule1", "o", "shop", 1, kind, at, at, 1.0, 5.0)

    ahead = T0 + timedelta(days=365)
    assert decide(rule, event(Transition.firing, ahead), holds=True, now=T0) is None
    assert decide(rule, event(Transition.firing, ahead), holds=False, now=T0) is Transition.resolved
    assert decide(rule, event(Transition.resolved, ahead), holds=True, now=T0) is Transition.firing
    # Clocks of two services are rarely the same: what the faster one wrote holds.
    slightly = event(Transition.resolved, T0 + timedelta(minutes=1))
    assert decide(rule, slightly, holds=True, now=T0) is None


class Stuck(Outbox):
    """Delivers nothing until it is told to."""

    def __init__(self):
        super().__init__()
        self.released = asyncio.Event()

    async def deliver(self, rule, event, application):
        await self.released.wait()
        return await super().deliver(rule, event, application)


async def test_deliveries_under_way_have_a_limit_and_the_rest_is_sent_later(minutes, embedded_service):
    outbox = minutes.outbox = Stuck()
    minutes.evaluator = minutes.another(embedded_service, "one", max_deliveries=20)
    rule = minutes.alerts.create(rule_of(embedded_service.organization_id, webhook_url="https://hooks.example.com/x"))
    event = AlertEvent("e", rule.id, rule.organization_id, "shop", 1, Transition.firing, T0, T0, 1.0, 1.0)
    application = embedded_service.directory.application("shop")
    for _ in range(20):
        minutes.evaluator._send(rule, event, application)
    minutes.pass_by(*BAD)
    (fired,) = await minutes.evaluator.evaluate(minutes.minute)
    assert len(minutes.evaluator._deliveries) == 20
    outbox.released.set()
    await minutes.evaluator.finish_deliveries()
    assert fired not in outbox.events
    for _ in range(4):
        await minutes.next(*BAD)
    assert outbox.events.count(fired) == 1
