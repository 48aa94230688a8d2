"""Deleted events are gone, and every figure is that of the events that are left."""

from __future__ import annotations

import asyncio
import random
import threading
from datetime import datetime, timezone
from urllib.parse import quote

import pytest
from yarl import URL

from apimetry.query_api.deletion.runner import Interrupted, Runner
from apimetry.query_api.settings import QuerySettings
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.store.erasure import _different_days, carry_out
from apimetry.store.errors import StoreUnavailable
from apimetry.store.jobs import Job, JobKind, Jobs, JobState
from apimetry.store.rollups import LAST_HOUR_S, TABLES
from tests.query_api.test_rollup_answers import assert_alike, from_both, random_question
from tests.support.oracles.query_events import Event, expected_answer, insert_events, random_events
from tests.support.services.query_service import assert_error, running_query_service

START = 1_413_295_200
HOUR = 3600
DAY = 86400
NOW = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)


def no_wait(_):
    """For mutations that are quick."""


def job_of(kind, application="shop", **details):
    return Job("job1", "o", application, kind, NOW, **details)


def agree(store, seed, questions=10):
    """Whether answers by way of rollups are those of events alone, for random questions."""
    assert _different_days(store, "shop", (0, LAST_HOUR_S)) == []
    rng = random.Random(seed)
    for query in (random_question(rng) for _ in range(questions)):
        assert_alike(*from_both(store, query), query)


def counted(store, application="shop"):
    """The requests that events and each rollup have."""
    where = "WHERE application = {a:String}"
    tables = ["sum(sample_weight)) FROM events"] + [
        f"sum(requests)) FROM {table}" for table in TABLES if not table.endswith("totals")
    ]
    tables += [f"sum(requests) / 4) FROM {table}" for table in ("hourly_totals", "daily_totals")]
    # The rows per minute are those of the last days.
    tables.append(f"sum(requests) / 4 + ({OLDER}{where})) FROM minute_totals")
    return {
        int(store.query(f"SELECT toUInt64({selection} {where}", {"a": application})[0][0]) for selection in tables
    }


OLDER = "SELECT sumIf(sample_weight, timestamp < toStartOfDay(now('UTC')) - toIntervalDay(3)) FROM events "


def weight(events):
    return sum(event.sample_weight for event in events)


async def test_after_deletions_rollups_agree_with_what_is_left_of_the_events(service):
    store = service.accounts.store
    events = random_events(7, 900, START - HOUR, START + 3 * DAY)
    for part in range(3):
        insert_events(store, events[part::3], token=f"part{part}")
    before = store.query("SELECT sum(requests) FROM counters")
    start, end = START + HOUR + 77, START + DAY + 1234
    job = await service.deleted(f"/api/applications/shop/events?start={start}&end={end}")
    assert (job["kind"], job["start"], job["end"], job["application"]) == ("delete_range", start, end, "shop")

    def stays(event):
        in_range = start * 1_000_000 <= event.timestamp < end * 1_000_000
        return event.application != "shop" or not in_range

    remaining = [event for event in events if stays(event)]
    assert counted(store) == {weight(e for e in remaining if e.application == "shop")}
    agree(store, 1)
    job = await service.deleted("/api/applications/shop/consumers/alice")
    assert (job["kind"], job["consumer"], job["start"]) == ("delete_consumer", "alice", None)
    remaining = [event for event in remaining if (event.application, event.consumer_id) != ("shop", "alice")]
    assert counted(store) == {weight(e for e in remaining if e.application == "shop")}
    agree(store, 2)
    query = TimeseriesQuery(START, START + 2 * DAY, groups=("consumer_id",))
    assert await service.answer(f"/1/timeseries/{query.start}/{query.end}/?group=consumer_id") == expected_answer(
        remaining, query
    )
    assert counted(store, "other") == {weight(e for e in events if e.application == "other")}
    # What was once called was called.
    assert store.query("SELECT sum(requests) FROM counters") == before
    jobs = (await service.answer("/api/jobs?application=shop", "admin"))["jobs"]
    assert [job["kind"] for job in jobs] == ["delete_consumer", "delete_range"]


async def test_an_application_takes_its_events_along_where_asked(embedded_service):
    store = embedded_service.accounts.store
    insert_events(store, random_events(8, 60, START, START + DAY))
    others = counted(store, "other")
    job = await embedded_service.deleted("/api/applications/shop?events=true")
    assert (job["kind"], job["state"]) == ("delete_application", "done")
    assert counted(store) == {0}
    assert counted(store, "other") == others
    await assert_error(await embedded_service.get("/api/applications/shop", "admin"), 404)


ODD_CONSUMERS = (
    "a/b'; DROP TABLE events -- ü %",
    "{x}",
    "{",
    "}",
    "",
    "/",
    "..",
    ".",
    "a//b",
    "%2F",
    "a\nb",
    "?#&=+ ",
    "*",
)


async def test_a_consumer_s_id_may_be_anything(embedded_service):
    store = embedded_service.accounts.store
    insert_events(
        store, [Event(timestamp=START * 10**6, consumer_id=consumer) for consumer in (*ODD_CONSUMERS, "stays")]
    )
    in_path = [consumer for consumer in ODD_CONSUMERS if consumer not in (".", "..")]
    for number, consumer in enumerate([*in_path[:4], "", "%2F"]):
        path = f"/api/applications/shop/consumers/{quote(consumer, safe='')}"
        assert (await embedded_service.deleted(URL(path, encoded=True)))["consumer"] == consumer, number
    for consumer in ODD_CONSUMERS:
        named = {"consumer_id": consumer}
        job = await embedded_service.deleted("/api/applications/shop/consumers", params=named)
        assert job["consumer"] == consumer
    assert counted(store) == {1}


@pytest.mark.parametrize(
    "path", ["shop/consumers", "shop/consumers?consumer_id=a&consumer_id=b", "shop/consumers/a?consumer_id=b"]
)
async def test_one_consumer_must_be_named(embedded_service, path):
    response = await embedded_service.request("DELETE", f"/api/applications/{path}")
    await assert_error(response, 400, "One consumer must be named", "?consumer_id=ID")


class Dying:
    """A store whose process is killed before the statement with the given number."""

    def __init__(self, store, statements):
        self._store = store
        self._left = statements

    def command(self, *arguments, **options):
        if self._left == 0:
            raise KeyboardInterrupt
        self._left -= 1
        self._store.command(*arguments, **options)

    def __getattr__(self, name):
        return getattr(self._store, name)


# Events, eight rollups, four fills, pause and resume, and two marks in the log of changes.
STATEMENTS = 17


def test_a_deletion_killed_before_any_statement_is_finished_by_the_next_attempt(embedded_store):
    applications = [f"app{survived}" for survived in range(STATEMENTS + 1)]
    events = [
        Event(application, (START + n * 600) * 1_000_000, consumer_id="ab"[n % 2], route=f"/{n % 3}")
        for application in applications
        for n in range(12)
    ]
    insert_events(embedded_store, events)
    killed = 0
    for survived, application in enumerate(applications):
        job = job_of(JobKind.delete_consumer, application, consumer_id="a")
        try:
            carry_out(Dying(embedded_store, survived), job, no_wait)
        except KeyboardInterrupt:
            killed += 1
            carry_out(embedded_store, job, no_wait)
        assert counted(embedded_store, application) == {6}, survived
    assert killed == STATEMENTS
    insert_events(embedded_store, events[:1], token="inserts go on")


def test_a_deletion_is_exact_while_events_of_its_hours_arrive(store):
    insert_events(store, [Event(timestamp=(START + n) * 1_000_000, consumer_id="ab"[n % 2]) for n in range(1000)])
    done, errors = threading.Event(), []
    inserted = 0

    def insert():
        nonlocal inserted
        while not done.is_set():
            try:
                events = [Event(timestamp=(START + n) * 1_000_000, consumer_id="b") for n in range(10)]
                insert_events(store, events, token=f"late{inserted}")
                inserted += 1
            except StoreUnavailable:
                done.wait(0.01)  # paused: it is tried again, as the spool does
            except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
                errors.append(error)
                return

    thread = threading.Thread(target=insert)
    thread.start()
    try:
        for _ in range(2):
            carry_out(store, job_of(JobKind.delete_consumer, consumer_id="a"), no_wait)
    finally:
        done.set()
        thread.join()
    assert not errors
    assert inserted > 0
    assert counted(store) == {500 + 10 * inserted}


def test_rollups_that_a_start_in_between_made_wrong_are_found_and_made_again(embedded_store):
    insert_events(embedded_store, [Event(timestamp=START * 10**6, consumer_id=consumer) for consumer in "aabb"])
    embedded_store.command("INSERT INTO hourly_routes SELECT * FROM hourly_routes")
    assert counted(embedded_store) == {4, 8}
    carry_out(embedded_store, job_of(JobKind.delete_consumer, consumer_id="a"), no_wait)
    assert counted(embedded_store) == {2}


def test_minutes_are_those_of_what_a_deletion_left(store):
    now = int(datetime.now(timezone.utc).timestamp())
    begin = now // HOUR * HOUR - 3 * DAY
    insert_events(store, random_events(31, 900, begin - 2 * DAY, now))
    before = store.query("SELECT sum(requests) FROM minute_totals")
    jobs = (
        job_of(JobKind.delete_range, start_us=(begin + 77) * 10**6, end_us=(begin + 2 * DAY + 1234) * 10**6),
        job_of(JobKind.delete_consumer, consumer_id="alice"),
    )
    for job in jobs:
        carry_out(store, job, no_wait)
        assert len(counted(store)) == 1
    assert store.query("SELECT sum(requests) FROM minute_totals") < before
    rng = random.Random(37)
    for query in (random_question(rng, begin + DAY) for _ in range(10)):
        assert_alike(*from_both(store, query, now), query)
    # What makes no hour differ makes a minute differ.
    store.command("ALTER TABLE minute_totals DELETE WHERE 1", settings={"mutations_sync": 1})
    carry_out(store, job_of(JobKind.delete_consumer, consumer_id="bob"), no_wait)
    assert len(counted(store)) == 1


def kept(store, table):
    return store.query(f"SELECT DISTINCT retention_days FROM {table} WHERE application = 'shop'")


async def test_stored_events_follow_a_new_retention(service):
    store = service.accounts.store
    now_us = int(datetime.now(timezone.utc).timestamp() * 1_000_000)
    ages = (1, 20, 40, 100)
    events = [Event(timestamp=now_us - days * DAY * 1_000_000, retention_days=365) for days in ages]
    insert_events(store, [*events, Event("other", now_us, retention_days=365)])

    async def change(days):
        response = await service.request("PATCH", "/api/applications/shop", json={"retentionDays": days})
        assert response.status == 200
        await service.ended((await service.answer("/api/jobs", "admin"))["jobs"][0])

    await change(30)
    for table in ("events", *TABLES):
        assert kept(store, table) == [(30,)], table
    assert counted(store) == {2}
    await change(90)
    for table in ("events", *TABLES):
        assert kept(store, table) == [(90,)], table
    assert counted(store) == {2}
    # What was accepted before the change and came out of the spool after it: the same change again reaches it.
    insert_events(store, [Event(timestamp=now_us, retention_days=365)], token="late")
    await change(90)
    for table in ("events", *TABLES):
        assert kept(store, table) == [(90,)], table
    assert store.query("SELECT DISTINCT retention_days FROM events WHERE application = 'other'") == [(365,)]


def test_an_hour_of_which_a_new_retention_leaves_a_part_counts_what_is_left(store):
    now = int(datetime.now(timezone.utc).timestamp())
    hour = (now - DAY) // HOUR * HOUR
    insert_events(store, [Event(timestamp=(hour + minute * 60) * 1_000_000) for minute in range(60)])
    for days in (1, 90):
        carry_out(store, job_of(JobKind.change_retention, retention_days=days), no_wait)
        ((count,),) = store.query("SELECT count() FROM events")
        assert counted(store) == {count}
        assert kept(store, "hourly_routes") == ([(days,)] if count else [])


async def test_runners_that_find_the_same_job_do_it_one_at_a_time(embedded_store):
    jobs = Jobs(embedded_store)
    insert_events(embedded_store, [Event(timestamp=START * 10**6, consumer_id=consumer) for consumer in "ab"])
    jobs.add(job_of(JobKind.delete_consumer, consumer_id="a"))
    first, second = (Runner(jobs, NOW.timestamp, owner=owner) for owner in "xy")
    first._wait(0)
    with pytest.raises(Interrupted):
        second._wait(0)
    second._work()
    assert jobs.job("job1").state is JobState.waiting
    first._work()
    assert jobs.job("job1").state is JobState.done
    assert jobs.unfinished() == []
    # The first is gone: the second takes over when no minute is taken ahead any more.
    later = Runner(jobs, lambda: NOW.timestamp() + 120, owner="z")
    later._wait(0)


async def test_a_service_that_stops_leaves_its_job_to_the_next(embedded_store):
    jobs = Jobs(embedded_store)
    jobs.add(job_of(JobKind.delete_application))
    runner = Runner(jobs, NOW.timestamp, owner="x")
    runner._stopping.set()
    runner._work()
    assert [job.id for job in jobs.unfinished()] == ["job1"]
    Runner(jobs, NOW.timestamp, owner="x")._work()
    assert jobs.unfinished() == []


async def test_what_is_not_to_be_deleted_is_refused(embedded_service):
    for path, status, named in [
        ("shop/events", 400, "start"),
        ("shop/events?start=1", 400, "Missing: end;"),
        ("shop/events?start=5&end=5", 400, "before"),
        ("shop/events?start=x&end=5", 400, "start"),
        ("shop/events?start=1&end=5&consumer=x", 400, "consumer"),
        ("shop/consumers/x?start=5", 400, "start"),
        ("shop?events=perhaps", 400, "events"),
        ("shop?event=true", 400, "event"),
        ("theirs/events?start=1&end=5", 404, "theirs"),
        ("theirs/consumers/x", 404, "theirs"),
        ("theirs?events=true", 404, "theirs"),
    ]:
        await assert_error(await embedded_service.request("DELETE", f"/api/applications/{path}"), status, named)
    assert (await embedded_service.answer("/api/jobs", "admin"))["jobs"] == []
    foreign = await embedded_service.deleted("/api/applications/theirs/events?start=1&end=5", key="their admin")
    await assert_error(await embedded_service.get(f"/api/jobs/{foreign['id']}", "admin"), 404, foreign["id"])
    assert (await embedded_service.answer("/api/jobs", "admin"))["jobs"] == []


async def test_a_deletion_that_the_store_cannot_do_says_why_and_ends_when_it_can(embedded_store, caplog):
    insert_events(embedded_store, [Event(timestamp=START * 1_000_000, consumer_id="acme")])
    unable = "ALTER TABLE events UPDATE sample_weight = throwIf(1) WHERE 1"
    embedded_store.command(unable, settings={"mutations_sync": 0})
    settings = QuerySettings(evaluate_alerts=False, max_deletion_wait_s=0.2)
    async with running_query_service(embedded_store, settings) as service:
        response = await service.request("DELETE", "/api/applications/shop/consumers/acme")
        job = (await response.json())["job"]
        assert (response.status, response.headers["Location"]) == (202, f"/api/jobs/{job['id']}")
        rewriting = []
        while not rewriting or rewriting[0]["error"] is None:
            await asyncio.sleep(0.05)
            rewriting = (await service.answer(f"/api/jobs/{job['id']}", "admin"))["job"]["rewriting"]
        assert [(table["table"], table["partsLeft"] > 0) for table in rewriting] == [("events", True)]
        assert rewriting[0]["error"] == "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"
        Runner(Jobs(embedded_store), NOW.timestamp, owner="x")._report()
        assert "rewrite events" in caplog.text
        assert "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO" in caplog.text
        embedded_store.command("KILL MUTATION WHERE command LIKE '%throwIf%'")
        assert (await service.ended(job))["rewriting"] == []
        assert counted(embedded_store) == {0}


@pytest.mark.parametrize("kind", [JobKind.delete_consumer, JobKind.change_retention])
async def test_a_job_whose_mutation_was_killed_is_begun_again(store, kind):
    insert_events(store, [Event(timestamp=START * 1_000_000, consumer_id=consumer) for consumer in "ab"])
    # A mutation that cannot be done keeps those after it waiting, until an operator kills one too many.
    store.command("ALTER TABLE events UPDATE sample_weight = throwIf(1) WHERE 1", settings={"mutations_sync": 0})

    def clear_up(_):
        store.command("KILL MUTATION WHERE table = 'events' AND command NOT LIKE '%throwIf%'")
        store.command("KILL MUTATION WHERE table = 'events'")

    job = job_of(kind, consumer_id="a", retention_days=30000)
    with pytest.raises(StoreUnavailable, match="killed"):
        carry_out(store, job, clear_up)
    assert counted(store) == {2}
    carry_out(store, job, no_wait)
    if kind is JobKind.delete_consumer:
        assert counted(store) == {1}
    else:
        assert kept(store, "events") == [(30000,)]
