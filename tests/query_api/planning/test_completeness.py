"""The share of captured events that is stored, against senders that are simulated event by event."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from apimetry.collector.formats.batch import Batch
from apimetry.collector.formats.event_structs import Sender
from apimetry.collector.reports import encode_reports, make_report
from apimetry.collector.spool.segment import Meta, Record
from apimetry.query_api.planning.completeness import SILENT_AFTER_S, completeness

NOW = 1_790_000_040
MINUTE = 60


@dataclass
class SimulatedSender:
    """As the middleware counts: captured when offered, sent and rejected when the answer is read."""

    instance: str
    source: str = ""
    version: str = ""
    captured: int = 0
    sent: int = 0
    queue: int = 0
    dropped: dict = field(default_factory=dict)

    def capture(self, count):
        self.captured += count
        self.queue += count

    def drop(self, count, reason="buffer_full"):
        self.captured += count
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def send(self, count, rejected=0):
        """One batch: its record in the spool, and what the sender counts afterwards."""
        counts = Sender(
            self.source,
            self.version,
            instance=self.instance,
            captured=self.captured,
            sent=self.sent,
            dropped=dict(self.dropped),
        )
        batch = Batch(accepted=count - rejected, sender=counts)
        if rejected:
            batch.rejected["invalid"] = rejected
        self.queue -= count
        self.sent += count - rejected
        if rejected:
            self.dropped["rejected"] = self.dropped.get("rejected", 0) + rejected
        return make_report(batch), count - rejected


class Reports:
    def __init__(self, store):
        self.store = store
        self.number = 0

    def add(self, at_s, report, rows, quarantined=0):
        self.number += 1
        record = Record(0, 0, Meta(None, "shop", at_s * 1_000_000, report), rows, memoryview(b""))
        body = encode_reports([record], {0: quarantined})
        for _ in range(2):  # a retry counts once
            self.store.insert_sender_reports(f"t{self.number}", body)

    def ask(self, start, end, now=NOW):
        return completeness("shop", start, end, ask=self.store.ask, now=now)


@pytest.fixture
def reports(embedded_store):
    return Reports(embedded_store)


def test_without_reports_there_is_no_share(reports):
    assert reports.ask(0, 9_999_999_999) == {
        "captured": 0, "stored": 0, "pending": 0, "lost": {}, "share": None, "senders": 0,
    }  # fmt: skip


def test_every_captured_event_is_stored_or_lost_for_a_reason(reports):
    sender = SimulatedSender("a")
    sender.capture(100)
    sender.drop(7)
    sender.drop(3, "invalid")
    reports.add(NOW - 3600, *sender.send(60, rejected=5))
    reports.add(NOW - 3590, *sender.send(40), quarantined=2)
    assert reports.ask(NOW - 7200, NOW) == {
        "captured": 110,
        "stored": 93,
        "pending": 0,
        "lost": {"buffer_full": 7, "invalid": 3, "rejected": 5, "unaccounted": 2},
        "share": 0.845454,
        "senders": 1,
    }


def test_what_a_sender_still_buffers_is_pending_and_lost_once_it_is_gone(reports):
    sender = SimulatedSender("a")
    sender.capture(100)
    reports.add(NOW - 30, *sender.send(60))
    living = reports.ask(NOW - 3600, NOW)
    assert (living["captured"], living["pending"], living["share"]) == (60, 40, 1.0)
    late = reports.ask(NOW - 3600, NOW, now=NOW + SILENT_AFTER_S + MINUTE)
    assert (late["captured"], late["pending"], late["lost"], late["share"]) == (100, 0, {"sender_gone": 40}, 0.6)


def test_an_instance_that_reports_again_later_has_lost_nothing(reports):
    sender = SimulatedSender("a")
    sender.capture(100)
    reports.add(NOW - 7200, *sender.send(60))
    reports.add(NOW - 3600, *sender.send(40))
    early = reports.ask(NOW - 7260, NOW - 7100)
    assert (early["captured"], early["stored"], early["lost"]) == (60, 60, {})
    late = reports.ask(NOW - 3660, NOW)
    assert (late["captured"], late["stored"], late["lost"]) == (40, 40, {})


def test_what_was_sent_before_the_first_kept_report_is_not_missed(reports):
    sender = SimulatedSender("a")
    sender.capture(1000)
    sender.send(900)
    reports.add(NOW - 60, *sender.send(100))
    assert reports.ask(0, NOW)["captured"] == 100


def test_a_lost_event_among_millions_is_no_complete_share(reports):
    sender = SimulatedSender("a")
    sender.capture(10_000_000)
    sender.drop(1)
    reports.add(NOW - 60, *sender.send(10_000_000))
    assert reports.ask(0, NOW)["share"] < 1


def test_other_applications_are_not_counted(reports):
    sender = SimulatedSender("a")
    sender.capture(1)
    reports.add(NOW - 60, *sender.send(1))
    assert completeness("blog", 0, NOW, ask=reports.store.ask, now=NOW)["senders"] == 0


def test_ranges_of_many_senders_add_up_to_what_happened(reports):
    rng = random.Random(11)
    start = NOW - 100 * MINUTE
    truth = [{"stored": 0, "lost": 0} for _ in range(100)]
    for number in range(8):
        sender = SimulatedSender(f"i{number}")
        for minute in sorted(rng.sample(range(99), rng.randint(1, 30))):
            sender.capture(rng.randint(1, 50))
            dropped = rng.choice([0, 0, 9])
            sender.drop(dropped)
            count = rng.randint(1, sender.queue)
            rejected = rng.choice([0, 0, rng.randint(0, count - 1)])
            quarantined = rng.choice([0, 0, count - rejected])
            reports.add(start + minute * MINUTE + rng.randrange(60), *sender.send(count, rejected), quarantined)
            truth[minute]["stored"] += count - rejected - quarantined
            truth[minute]["lost"] += dropped + rejected + quarantined
        # In the hundredth minute, outside of every range that is asked: nobody is gone.
        sender.capture(1)
        reports.add(start + 99 * MINUTE, *sender.send(sender.queue))
    for first, last in [(0, 99), (0, 50), (50, 99), (10, 11), (33, 78)]:
        answer = reports.ask(start + first * MINUTE, start + last * MINUTE)
        expected = {key: sum(minute_truth[key] for minute_truth in truth[first:last]) for key in ("stored", "lost")}
        assert answer["stored"] == expected["stored"]
        assert sum(answer["lost"].values()) == expected["lost"]
        assert answer["captured"] == answer["stored"] + expected["lost"]


async def test_timeseries_says_it_when_asked(embedded_service):
    store = embedded_service.accounts.store
    sender = SimulatedSender("a")
    sender.capture(10)
    sender.drop(2)
    Reports(store).add(NOW - 60, *sender.send(10))
    path = f"/1/timeseries/{NOW - 3600}/{NOW}/"
    assert "completeness" not in await embedded_service.answer(path)
    assert "completeness" not in await embedded_service.answer(f"{path}?completeness=0")
    answer = await embedded_service.answer(f"{path}?completeness=1&group=url&include=status_code:200")
    assert answer["completeness"] == {
        "captured": 12, "stored": 10, "pending": 0, "lost": {"buffer_full": 2}, "share": 0.833333, "senders": 1,
    }  # fmt: skip


async def test_usage_says_it_when_asked(embedded_service):
    sender = SimulatedSender("a")
    sender.capture(10)
    sender.drop(2)
    Reports(embedded_service.accounts.store).add(NOW - 60, *sender.send(10))
    path = f"/v1/developer/usage?start={NOW - 3600}&end={NOW}"
    assert "completeness" not in await embedded_service.answer(path)
    answer = await embedded_service.answer(f"{path}&completeness=1&method=GET")
    assert (answer["completeness"]["captured"], answer["completeness"]["stored"]) == (12, 10)
