"""The hard limit on calls: what is used is known through every stage of an event, and the month's end ends it."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from types import SimpleNamespace

import pytest

from apimetry.collector.call_limit import MAX_WAIT_S, CallLimit, month_of, next_month_s
from apimetry.store.accounts.accounts import Organization, Plan
from apimetry.store.errors import StoreUnavailable
from tests.support.services.collecting import NOW, collecting, envelope, event, eventually, wire_row

EVENT = json.dumps(event()).encode()


def at(*when):
    return datetime(*when, tzinfo=timezone.utc).timestamp()


def organization(limit):
    return Organization("o", "o", Plan(max_calls_per_month=limit), NOW)


class Counted:
    """The store's counters: `calls`, or away."""

    def __init__(self, calls=0):
        self.calls = calls
        self.months = []
        self.away = False
        self.before_answer = lambda: None

    async def __call__(self, month):
        self.months.append(month)
        if self.away:
            raise StoreUnavailable("away")
        self.before_answer()
        return {"o": self.calls}


def records(*rows, application="shop"):
    return [SimpleNamespace(rows=count, meta=SimpleNamespace(application=application)) for count in rows]


@pytest.mark.parametrize(
    ("now", "month", "ends"),
    [
        ((2026, 1, 1), date(2026, 1, 1), (2026, 2, 1)),
        ((2026, 11, 30, 23, 59, 59), date(2026, 11, 1), (2026, 12, 1)),
        ((2026, 12, 31, 23, 59, 59), date(2026, 12, 1), (2027, 1, 1)),
        ((2028, 2, 29, 12), date(2028, 2, 1), (2028, 3, 1)),
    ],
)
def test_month_is_the_utc_calendars(now, month, ends):
    assert month_of(at(*now)) == month
    assert next_month_s(at(*now)) == at(*ends)


async def test_event_counts_once_from_the_spool_to_the_stores_counters():
    counted = Counted(100)
    calls = CallLimit(counted, clock_s=lambda: at(2026, 1, 5))
    await calls.refresh()
    calls.add("o", "shop", 10)
    assert calls.used("o") == 110
    calls.left_spool("t1", records(4, 6))
    counted.calls = 110
    assert calls.used("o") == 110  # known here until the store is asked again
    await calls.refresh()
    assert calls.used("o") == 110
    calls.add("o", "shop", 5)
    calls.take_back("o", "shop", 5)  # not taken
    assert calls.used("o") == 110
    assert set(counted.months) == {date(2026, 1, 1)}


async def test_applications_without_events_in_the_spool_take_no_memory():
    calls = CallLimit(Counted(0), clock_s=lambda: at(2026, 1, 5))
    for number in range(1000):
        application = f"made-and-deleted-{number}"
        calls.add("o", application, 2)
        calls.add("o", application, 3)
        calls.take_back("o", application, 3)
        assert list(calls._in_spool) == [application]
        calls.left_spool("t", records(2, application=application))
    assert not calls._in_spool
    assert calls.used("o") == 2000


async def test_segment_stored_while_the_store_is_asked_counts_twice_until_it_is_asked_again():
    counted = Counted(0)
    calls = CallLimit(counted, clock_s=lambda: at(2026, 1, 5))
    calls.add("o", "shop", 10)

    def store():
        calls.left_spool("t1", records(10))
        counted.calls = 10

    counted.before_answer = store
    await calls.refresh()
    assert calls.used("o") == 20
    counted.before_answer = lambda: None
    await calls.refresh()
    assert calls.used("o") == 10


async def test_what_an_earlier_process_left_counts_when_it_is_stored():
    counted = Counted(0)
    calls = CallLimit(counted, clock_s=lambda: at(2026, 1, 5))
    calls.recovered(["old"])
    calls.left_spool("old", records(50))
    counted.calls = 50
    await calls.refresh()
    assert calls.used("o") == 50


async def test_store_that_is_away_leaves_the_last_figure_and_what_was_taken_since():
    counted = Counted(90)
    calls = CallLimit(counted, clock_s=lambda: at(2026, 1, 5))
    await calls.refresh()
    counted.away = True
    calls.add("o", "shop", 10)
    await calls.refresh()
    assert calls.wait_s(organization(100)) > 0
    assert calls.wait_s(organization(101)) == 0


async def test_wait_ends_with_the_month_and_is_never_longer_than_an_hour():
    now = [at(2026, 1, 31, 23, 59, 30)]
    calls = CallLimit(Counted(100), clock_s=lambda: now[0])
    assert calls.wait_s(organization(100)) == 0  # nothing is known yet
    await calls.refresh()
    assert calls.wait_s(organization(None)) == 0
    assert calls.wait_s(organization(100)) == 30
    now[0] = at(2026, 1, 5)
    assert calls.wait_s(organization(100)) == MAX_WAIT_S
    now[0] = at(2026, 2, 1)
    assert calls.wait_s(organization(100)) == 0  # the figure is of another month


async def test_organization_over_its_limit_is_refused_before_its_body_is_read(tmp_path):
    plan = Plan(max_calls_per_month=10)
    async with collecting(tmp_path, plan=plan, hard_call_limit=True) as collector:
        await eventually(lambda: collector.store.questions)
        first = envelope([wire_row(number) for number in range(9)])
        for _ in range(2):  # the second is a repetition and counts nothing
            assert (await collector.post(first, Content_Type="application/msgpack")).status == 200
        # One is left; a batch that crosses the limit is taken whole.
        assert (await collector.post(b"[" + b",".join([EVENT] * 3) + b"]")).status == 200
        refused = await collector.post(b"not read: no JSON")
        assert refused.status == 429
        assert 0 < int(refused.headers["Retry-After"]) <= MAX_WAIT_S
        assert "10 calls" in (await refused.json())["message"]
        await collector.drained()
        assert (await collector.post(b"[]")).status == 429
        assert len(collector.store.rows) == 12


async def test_limit_is_shown_only_unless_it_is_made_hard(tmp_path):
    async with collecting(tmp_path, plan=Plan(max_calls_per_month=1)) as collector:
        for _ in range(3):
            assert (await collector.post(b"[" + EVENT + b"]")).status == 200


async def test_batch_that_the_spool_refuses_uses_no_calls(tmp_path):
    plan = Plan(max_calls_per_month=2)
    spool = {"max_bytes": 70_000}
    async with collecting(tmp_path, plan=plan, hard_call_limit=True, spool=spool) as collector:
        await eventually(lambda: collector.store.questions)
        large = b"[" + b",".join([EVENT] * 1500) + b"]"
        assert (await collector.post(large)).status == 503
        assert (await collector.post(b"[" + EVENT + b"]")).status == 200
