"""Completeness over time and by sender, against senders that are simulated event by event."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from datetime import datetime, timezone

import jsonschema
import pytest

from apimetry.collector.reports import encode_reports
from apimetry.collector.spool.segment import NOTHING_SENT_BEFORE, Meta, Record, Report
from apimetry.query_api.planning.completeness import completeness
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.quality.answer import answer_quality
from apimetry.query_api.quality.kept import KEPT_S, KeptParts
from apimetry.query_api.quality.params import QualityQuery
from apimetry.query_api.quality.sql import MAX_SENDERS, series
from apimetry.store.collectors import SILENT_AFTER_S, CollectorFigures, CollectorIdentity, record_report
from tests.query_api.planning.test_completeness import MINUTE, NOW, Reports, SimulatedSender
from tests.support.oracles.query_events import Event, insert_events
from tests.support.services.query_service import assert_error, running_query_service

PATH = "/v1/quality"
TEXTS = ("route", "consumer_id", "source", "version", "error_type", "url", "user_agent", "client_ip", "data")
NOTHING_RECORDED = {
    "events": 0,
    "fields": dict.fromkeys(TEXTS, 0),
    "queries": "none",
    "clientIps": "none",
    "maxWeight": 0,
    "maxErrorWeight": 0,
}
EMPTY = {
    "total": {"captured": 0, "stored": 0, "pending": 0, "lost": {}, "share": None},
    "series": [],
    "senders": [],
    "newestEventAt": None,
    "silentSenders": 0,
    "withoutReports": 0,
    "recorded": NOTHING_RECORDED,
    "collectors": {"known": 0, "silent": 0, "lastReport": None, "oldestSegmentS": None},
}


def iso(time_s):
    return datetime.fromtimestamp(time_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
async def quality(embedded_store):
    async with running_query_service(embedded_store, clock=lambda: NOW) as running:
        yield running


@pytest.fixture
async def both_ways(store):
    async with running_query_service(store, clock=lambda: NOW) as running:
        yield running


async def test_without_reports_and_events_all_is_zero(both_ways):
    assert await both_ways.answer(PATH) == EMPTY


async def test_what_is_stored_lost_and_waits_is_said_by_sender_and_over_time(both_ways):
    reports = Reports(both_ways.accounts.store)
    web = SimulatedSender("web", "web-1", "2.5.0")
    web.capture(100)
    web.drop(7)
    reports.add(NOW - 600, *web.send(60, rejected=5))
    reports.add(NOW - 30, *web.send(30), quarantined=2)
    silent, ended = SimulatedSender("gone"), SimulatedSender("ended")
    silent.capture(20)
    reports.add(NOW - 590, *silent.send(15))
    ended.capture(3)
    reports.add(NOW - 580, *ended.send(3))
    insert_events(
        both_ways.accounts.store,
        [Event(timestamp=(NOW - 100 - i) * 1_000_000, sample_weight=50) for i in range(150)]
        + [Event(timestamp=(NOW - 90_000) * 1_000_000), Event("theirs", (NOW - 1) * 1_000_000)],
    )
    minute = [NOW - 600 - (NOW - 600) % MINUTE, NOW - 30 - (NOW - 30) % MINUTE]
    answer = await both_ways.answer(f"{PATH}?granularity=minute")
    senders = {sender["instance"]: sender for sender in answer.pop("senders")}
    recorded, collectors = answer.pop("recorded"), answer.pop("collectors")
    assert collectors["known"] == 0
    assert (recorded["events"], recorded["maxWeight"], recorded["maxErrorWeight"]) == (150, 50, 0)
    assert answer == {
        "total": {
            "captured": 120,
            "stored": 101,
            "pending": 10,
            "lost": {"buffer_full": 7, "rejected": 5, "sender_gone": 5, "unaccounted": 2},
            "share": 0.841666,
        },
        "series": [
            [minute[0], {"captured": 90, "stored": 73, "lost": {"buffer_full": 7, "rejected": 5, "sender_gone": 5}}],
            [minute[1], {"captured": 30, "stored": 28, "lost": {"unaccounted": 2}}],
        ],
        "newestEventAt": iso(NOW - 100),
        "silentSenders": 1,
        "withoutReports": 49,
    }
    assert list(senders) == ["web", "gone", "ended"]
    assert senders["web"] == {
        "instance": "web",
        "source": "web-1",
        "version": "2.5.0",
        "firstReport": iso(minute[0]),
        "lastReport": iso(minute[1]),
        "captured": 97,
        "stored": 83,
        "lost": {"buffer_full": 7, "rejected": 5, "unaccounted": 2},
        "pending": 10,
        "state": "alive",
    }
    assert (senders["gone"]["state"], senders["gone"]["lost"]) == ("gone", {"sender_gone": 5})
    assert (senders["ended"]["state"], senders["ended"]["captured"], senders["ended"]["source"]) == ("ended", 3, "")


def simulate(reports, seed):
    """Some senders over a hundred minutes: some stop, some are replayed, some are unknown to older collectors."""
    rng = random.Random(seed)
    start = NOW - 100 * MINUTE
    for number in range(8):
        sender = SimulatedSender(f"i{number}", f"web-{number % 3}")
        sender.capture(rng.choice([0, 500]))
        sender.queue = sender.captured
        for minute in sorted(rng.sample(range(100), rng.randint(1, 40))):
            sender.capture(rng.randint(1, 50))
            sender.drop(rng.choice([0, 0, 9]), rng.choice(["buffer_full", "invalid"]))
            count = rng.randint(1, sender.queue)
            rejected = rng.choice([0, 0, rng.randint(0, count - 1)])
            quarantined = rng.choice([0, 0, count - rejected])
            at = start + minute * MINUTE + rng.randrange(60)
            reports.add(at, *sender.send(count, rejected), quarantined)
            if quarantined and rng.random() < 0.5:
                reports.add(at, Report(sender.instance, 0, NOTHING_SENT_BEFORE, 0, {}), quarantined)


def added(counts):
    """The sums of several counts."""
    total = {"captured": 0, "stored": 0, "lost": {}}
    for counters in counts:
        total["captured"] += counters["captured"]
        total["stored"] += counters["stored"]
        for reason, count in counters["lost"].items():
            total["lost"][reason] = total["lost"].get(reason, 0) + count
    return total


@pytest.mark.parametrize("seed", range(3))
def test_the_total_is_that_of_completeness_and_senders_and_buckets_add_up_to_it(store, seed):
    simulate(Reports(store), seed)
    rng = random.Random(seed)
    for _ in range(6):
        first, last = sorted(rng.sample(range(101), 2))
        start, end = (NOW // MINUTE * MINUTE - minute * MINUTE for minute in (last, first))
        granularity = rng.choice([None, 60, 180, 3600])
        query = QualityQuery(start, end, None if granularity is None else Granularity(granularity))
        now = NOW + rng.choice([0, 0, 3600])
        answer = answer_quality(query, "shop", ask=store.ask, now=now)
        expected = completeness("shop", start, end, ask=store.ask, now=now)
        assert answer["total"] == {name: count for name, count in expected.items() if name != "senders"}
        assert len(answer["senders"]) == expected["senders"]
        counts = {name: answer["total"][name] for name in ("captured", "stored", "lost")}
        assert added(answer["senders"]) == counts
        assert added(counts for _, counts in answer["series"]) == counts
        assert sum(sender["pending"] for sender in answer["senders"]) == answer["total"]["pending"]
        for time_s, of_bucket in answer["series"]:
            length = granularity or end - start
            within = completeness("shop", max(start, time_s), min(end, time_s + length), ask=store.ask, now=now)
            assert of_bucket == {name: within[name] for name in ("captured", "stored", "lost")}
        for sender in answer["senders"]:
            assert sender["captured"] == sender["stored"] + sum(sender["lost"].values())


async def test_senders_beyond_the_limit_are_added_up(quality):
    store, number = quality.accounts.store, MAX_SENDERS + 3
    records = []
    for index in range(number):
        report = Report(f"i{index:04d}", 10, 0, 6, {"invalid": 4} if index < 2 else {})
        records.append(Record(0, 0, Meta(None, "shop", (NOW - 30) * 1_000_000, report), 6, memoryview(b"")))
    store.insert_sender_reports("t", encode_reports(records, {}))
    answer = await quality.answer(PATH)
    assert len(answer["senders"]) == MAX_SENDERS
    assert [sender["instance"] for sender in answer["senders"][:3]] == ["i0000", "i0001", "i0002"]
    assert answer["rest"] == {"senders": 3, "captured": 18, "stored": 18, "pending": 12, "lost": {}}
    assert answer["total"]["captured"] == 6 * number + 8


async def test_a_clock_that_runs_ahead_makes_no_newest_event_in_the_future(quality):
    insert_events(quality.accounts.store, [Event(timestamp=(NOW + 3600) * 1_000_000)])
    assert (await quality.answer(PATH))["newestEventAt"] == iso(NOW)


async def test_parameters_are_refused_by_name(quality):
    for parameters, named in [
        ("start=5&end=5", "start must be before end"),
        ("granularity=second", "granularity is 'second'; allowed: minute, hour, day, week, or seconds"),
        ("granularity=90", "granularity is '90'"),
        ("granularity=0", "granularity"),
        ("start=0&end=120060&granularity=60", "2001 points; at most 2000"),
        ("include=route:/", "a parameter's name is 'include'"),
    ]:
        await assert_error(await quality.get(f"{PATH}?{parameters}"), 400, named)
    assert (await quality.get(f"{PATH}?start=0&end=120000&granularity=60")).status == 200


async def test_answers_are_of_their_documented_shape(quality):
    simulate(Reports(quality.accounts.store), 1)
    document = await (await quality.client.get("/openapi.json")).json()
    schema = {"$ref": "#/components/schemas/Quality", "components": document["components"]}
    for granularity in ("minute", "hour", "day", "week", "120"):
        answer = await quality.answer(f"{PATH}?granularity={granularity}")
        jsonschema.Draft202012Validator(schema).validate(answer)
        assert answer["series"]


def recorded_in(store, start, end):
    return answer_quality(QualityQuery(start, end), "shop", ask=store.ask, now=NOW)["recorded"]


def test_what_is_recorded_is_that_of_the_newest_events_of_the_range(store):
    hour = NOW // 3600 * 3600
    old = [Event(timestamp=(hour - 7200 + i) * 1_000_000, consumer_id="acme", url="/old?a=1") for i in range(5)]
    new = [
        Event(timestamp=(hour + i) * 1_000_000, url="/new?a=***&b=***" if i else "/new", client_ip="192.0.2.0")
        for i in range(3)
    ]
    insert_events(store, [*old, *new])
    recorded = recorded_in(store, hour - 10_800, NOW + 60)
    assert recorded["events"] == 3
    assert (recorded["fields"]["url"], recorded["fields"]["client_ip"]) == (3, 3)
    assert (recorded["queries"], recorded["clientIps"]) == ("masked", "truncated")
    earlier = recorded_in(store, hour - 10_800, hour - 7200 + 120)
    assert (earlier["events"], earlier["fields"]["consumer_id"], earlier["queries"]) == (5, 5, "full")
    assert earlier["clientIps"] == "none"


@pytest.mark.parametrize(
    ("address", "kept"), [("192.0.2.7", "full"), ("2001:db8:1::", "truncated"), ("2001:db8:1::7", "full")]
)
def test_an_address_that_does_not_end_in_zeros_is_whole(store, address, kept):
    insert_events(store, [Event(timestamp=(NOW - 100) * 1_000_000, client_ip=address)])
    assert recorded_in(store, NOW - 3600, NOW)["clientIps"] == kept


def test_weights_are_those_of_both_ends_of_the_range(store):
    weights = [(NOW - 7200, 200, 10), (NOW - 3600, 500, 3), (NOW - 60, 200, 1)]
    insert_events(
        store,
        [Event(timestamp=at * 1_000_000, status_code=status, sample_weight=weight) for at, status, weight in weights],
    )
    whole, later = recorded_in(store, NOW - 7260, NOW), recorded_in(store, NOW - 600, NOW)
    assert (whole["maxWeight"], later["maxWeight"]) == (10, 1)
    assert recorded_in(store, NOW - 3660, NOW)["maxErrorWeight"] == 3


COLLECTOR = CollectorIdentity("web-1", "0.1.0", datetime(2026, 3, 2, tzinfo=timezone.utc))


def report(store, name, age_s, oldest_segment_s):
    """A collector whose last report is as old as told."""
    record_report(store, replace(COLLECTOR, name="now"), CollectorFigures(oldest_segment_s=oldest_segment_s))
    store.command(
        "INSERT INTO collector_reports SELECT * REPLACE ({name:String} AS collector, at - {age_s:Int64} AS at)"
        " FROM (SELECT * FROM collector_reports FINAL WHERE collector = 'now')",
        {"name": name, "age_s": age_s},
    )
    store.command("ALTER TABLE collector_reports DELETE WHERE collector = 'now' SETTINGS mutations_sync = 1")


async def test_collectors_are_counted_and_not_named(embedded_store):
    report(embedded_store, "alive", 5, 2.5)
    report(embedded_store, "behind", 60, 75.5)
    report(embedded_store, "dead", SILENT_AFTER_S + 1, 999.0)
    async with running_query_service(embedded_store, clock=lambda: NOW) as running:
        for key in ("read", "admin"):
            answer = await running.answer(f"{PATH}?application=shop", key)
            last_report = answer["collectors"].pop("lastReport")
            assert answer["collectors"] == {"known": 3, "silent": 1, "oldestSegmentS": 75.5}
            assert (
                time.time() - datetime.fromisoformat(last_report.replace("Z", "+00:00")).timestamp() < SILENT_AFTER_S
            )
            assert "dead" not in str(answer)


async def test_silent_collectors_say_nothing_of_what_waits(embedded_store):
    report(embedded_store, "dead", SILENT_AFTER_S + 1, 999.0)
    async with running_query_service(embedded_store, clock=lambda: NOW) as running:
        collectors = (await running.answer(PATH))["collectors"]
    assert (collectors["known"], collectors["silent"], collectors["oldestSegmentS"]) == (1, 1, None)
    assert collectors["lastReport"] is not None


async def test_what_is_recorded_and_the_collectors_are_kept_for_seconds(embedded_store):
    now = NOW
    path = f"{PATH}?start={NOW - 600}&end={NOW}"

    async def figures(path):
        answer = await running.answer(path)
        return answer["recorded"]["events"], answer["collectors"]["known"]

    def add(second):
        insert_events(embedded_store, [Event(timestamp=(NOW - second) * 1_000_000)], f"{second}")

    async with running_query_service(embedded_store, clock=lambda: now) as running:
        assert await figures(path) == (0, 0)
        add(100)
        record_report(embedded_store, COLLECTOR, CollectorFigures())
        assert await figures(path) == (1, 0), "a page waits for the first event"
        add(101)
        assert await figures(path) == (1, 0)
        assert await figures(f"{path}&granularity=minute") == (1, 0), (
            "the badge asks for the same range in one bucket"
        )
        assert await figures(f"{PATH}?start={NOW - 660}&end={NOW}") == (2, 0), "another range has events of its own"
        assert await figures(f"{path}&partial=1") == (2, 1), "what may lack shards is neither kept nor taken"
        now = NOW + KEPT_S
        assert await figures(path) == (2, 1)


def test_a_page_that_asks_again_about_one_bucket_takes_three_statements(embedded_store):
    simulate(Reports(embedded_store), 1)
    insert_events(embedded_store, [Event(timestamp=(NOW - 100) * 1_000_000)])
    query, kept, asked = QualityQuery(NOW - 6000, NOW), KeptParts(), []

    def ask(statement):
        asked.append(statement.sql)
        return embedded_store.ask(statement)

    first = answer_quality(query, "shop", ask=ask, now=NOW, kept=kept)
    asked.clear()
    assert answer_quality(query, "shop", ask=ask, now=NOW, kept=kept) == first
    assert len(asked) == 3
    ((time_s, only),) = first["series"]
    assert (time_s, only) == (NOW - 6000, {name: first["total"][name] for name in ("captured", "stored", "lost")})
    ((bucket, *_),) = embedded_store.ask(series(query, "shop", NOW))
    assert bucket == 0, "the statement, which is not asked, has one bucket, too"


def test_the_newest_event_is_not_one_that_retention_has_taken(embedded_store):
    insert_events(embedded_store, [Event(timestamp=(NOW - 7200) * 1_000_000)])
    insert_events(embedded_store, [Event("theirs", timestamp=(NOW - 60) * 1_000_000)], "theirs")
    newest = answer_quality(QualityQuery(NOW - 60, NOW), "shop", ask=embedded_store.ask, now=NOW)["newestEventAt"]
    assert newest == iso(NOW - 7200), "it may be older than the range, and is the application's own"
    embedded_store.command("ALTER TABLE events DELETE WHERE application = 'shop' SETTINGS mutations_sync = 1")
    answer = answer_quality(QualityQuery(NOW - 60, NOW), "shop", ask=embedded_store.ask, now=NOW)
    assert answer["newestEventAt"] is None, "the rollup still has its hour"
