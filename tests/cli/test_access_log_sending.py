"""Events are sent in batches and counted; the collector and the store are fakes with fixed responses."""

from __future__ import annotations

import click
import msgspec
import pytest

from apimetry.cli.access_logs.routes import Pending, Routes
from apimetry.cli.access_logs.sending import BATCH_EVENTS, Outbox

MAX_BODY_BYTES = 8 * 1024 * 1024


class Collector:
    """Accept batches; report the first `duplicates` as duplicates, and `invalid` events of every batch as invalid."""

    def __init__(self, duplicates=0, invalid=0):
        self.sent = []
        self._duplicates, self._invalid = duplicates, invalid

    def send(self, events, ids, repeat=0):
        self.sent.append((list(events), list(ids), repeat))
        if self._duplicates:
            self._duplicates -= 1
            return {"accepted": len(events), "rejected": 0, "duplicate": True}
        details = [{"index": 0, "field": "url", "message": "too odd"}] * self._invalid
        return {"accepted": len(events) - self._invalid, "rejected": self._invalid, "details": details}

    def wait_until_stored(self):
        """Return at once: every event is stored."""


class Known:
    """Return fixed ids as the stored ones."""

    def __init__(self, *ids):
        self._ids = set(ids)

    def stored_now(self, hours):
        assert hours == {5}
        return self._ids


def outbox_with(collector, *stored):
    return Outbox(collector, lambda: Known(*stored), Routes())


def add(outbox, count, **event):
    for number in range(count):
        outbox.add(Pending({"route": "/a", "status_code": 200, "source": "web", **event}, f"id{number}", 5))
    outbox.flush()


def test_events_are_sent_in_batches_and_counted_once():
    collector = Collector()
    outbox = outbox_with(collector)
    add(outbox, BATCH_EVENTS + 1)
    assert [len(events) for events, _, _ in collector.sent] == [BATCH_EVENTS, 1]
    assert outbox.report.imported == BATCH_EVENTS + 1


def test_a_batch_of_large_events_is_sent_in_parts_that_fit_into_a_body():
    collector = Collector()
    outbox = outbox_with(collector)
    add(outbox, BATCH_EVENTS, url="é" * 2048, route="ü" * 1024)
    assert all(len(msgspec.json.encode(events)) < MAX_BODY_BYTES for events, _, _ in collector.sent)
    assert [line_id for _, ids, _ in collector.sent for line_id in ids] == [f"id{n}" for n in range(BATCH_EVENTS)]
    assert outbox.report.imported == BATCH_EVENTS


def test_a_duplicate_batch_is_sent_again_without_its_stored_events():
    collector = Collector(duplicates=1)
    outbox = outbox_with(collector, "id0", "id2")
    add(outbox, 4)
    assert [(ids, repeat) for _, ids, repeat in collector.sent] == [
        (["id0", "id1", "id2", "id3"], 0),
        (["id1", "id3"], 1),
    ]
    assert (outbox.report.imported, outbox.report.already_there) == (2, 2)


def test_a_batch_that_another_run_sent_is_not_sent_again():
    collector = Collector(duplicates=1)
    outbox = outbox_with(collector, "id0", "id1")
    add(outbox, 2)
    assert len(collector.sent) == 1
    assert (outbox.report.imported, outbox.report.already_there) == (0, 2)


def test_too_many_deletions_of_the_same_lines_fail_with_advice():
    with pytest.raises(click.ClickException, match="under another --source"):
        add(outbox_with(Collector(duplicates=10**6)), 2)


def test_events_that_the_collector_refuses_are_rejected_with_their_reason():
    outbox = outbox_with(Collector(invalid=2))
    add(outbox, 3)
    assert (outbox.report.imported, outbox.report.rejected) == (1, 2)
    assert outbox.report.reasons == {"url: too odd": 2}


def test_a_dry_run_counts_and_sends_nothing():
    outbox = outbox_with(None)
    add(outbox, 3)
    assert outbox.report.imported == 3
