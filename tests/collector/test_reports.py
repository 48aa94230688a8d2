"""What senders say about themselves is kept with their batches, to the last count."""

from __future__ import annotations

import msgpack
import msgspec
import pytest

from apimetry.collector.formats.batch import Batch
from apimetry.collector.formats.event_structs import Sender
from apimetry.collector.reports import encode_reports, make_report
from apimetry.collector.senders import REASONS
from apimetry.collector.spool.segment import Entry, Meta, Record, Report
from tests.support.services.collecting import collecting, envelope, unpack_rows, wire_row

MINUTE_US = 60_000_000


def record(report, received_us=0, rows=10, application="shop"):
    return Record(0, 0, Meta(None, application, received_us, report), rows, memoryview(b""))


def test_report_settles_the_batch_that_carried_it():
    sender = Sender("web-1", "2.5.0", instance="a", captured=30, sent=10, dropped={"buffer_full": 2})
    batch = Batch(accepted=8, sender=sender)
    batch.rejected["invalid"] = 1
    assert make_report(batch) == Report("a", 30, 10, 18, {"buffer_full": 2, "rejected": 1}, "web-1", "2.5.0")


@pytest.mark.parametrize("sender", [None, Sender(), Sender(captured=5)])
def test_sender_that_gives_no_counts_has_no_report(sender):
    assert make_report(Batch(accepted=1, sender=sender)) is None


def test_record_is_never_larger_than_it_was_announced():
    dropped = dict.fromkeys(REASONS, 2**53)
    texts = ("😀" * 256, "😀" * 128)
    sender = Sender(*texts, instance="é" * 64, captured=2**53, sent=2**53, dropped=dropped)
    report = make_report(Batch(accepted=1, sender=sender))
    entry = Entry(Meta(b"k" * 16, "a" * 64, 2**62, report), 1, b"row")
    assert len(
        msgpack.packb([b"k" * 16, "a" * 64, 2**62, [sender.instance, 2**53, 2**53, 2**53, report.dropped, *texts]])
    ) < (entry.record_bytes - 22 - 3)


def test_reports_of_a_segment_are_one_row_for_each_instance_and_minute():
    records = [
        # The first one was written by an earlier version, or replayed.
        record(Report("a", 30, 0, 10, {"full": 1}), 5),
        record(Report("a", 90, 10, 20, {"full": 1, "invalid": 4}, "web-1", "2.5.0"), MINUTE_US - 1),
        record(Report("a", 95, 20, 30, {"full": 9}), MINUTE_US),
        record(Report("b", 7, 0, 7, {}), 5, rows=7),
        record(Report("a", 1, 0, 1, {}), 5, rows=1, application="blog"),
        record(None, 5),
    ]
    assert unpack_rows(encode_reports(records, {1: 3})) == [
        {"application": "shop", "minute": 0, "instance": "a", "captured": 90, "sent_before": 0, "sent": 20,
         "dropped": {"full": 1, "invalid": 4}, "stored": 17, "source": "web-1", "version": "2.5.0"},
        {"application": "shop", "minute": 60, "instance": "a", "captured": 95, "sent_before": 20, "sent": 30,
         "dropped": {"full": 9}, "stored": 10, "source": "", "version": ""},
        {"application": "shop", "minute": 0, "instance": "b", "captured": 7, "sent_before": 0, "sent": 7,
         "dropped": {}, "stored": 7, "source": "", "version": ""},
        {"application": "blog", "minute": 0, "instance": "a", "captured": 1, "sent_before": 0, "sent": 1,
         "dropped": {}, "stored": 1, "source": "", "version": ""},
    ]  # fmt: skip
    assert encode_reports([record(None)], {}) == b""


@pytest.mark.parametrize("appended", [[], ["web-1", "2.5.0"], ["web-1", "2.5.0", "of a later version"]])
def test_a_record_of_an_earlier_or_a_later_version_is_read(appended):
    meta = msgpack.packb([b"k" * 16, "shop", 5, ["a", 30, 0, 10, {"full": 1}, *appended]])
    read = msgspec.msgpack.decode(meta, type=Meta)
    source, version = (*appended, "", "")[:2]
    assert read == Meta(b"k" * 16, "shop", 5, Report("a", 30, 0, 10, {"full": 1}, source, version))


async def test_a_senders_source_and_version_are_stored_with_its_counts_cut_to_their_limits(tmp_path):
    sender = {"source": "s" * 300, "version": "v" * 200, "instance": "a" * 32, "captured": 1}
    async with collecting(tmp_path) as collector:
        body = envelope([wire_row()], sender=sender)
        assert (await collector.post(body, Content_Type="application/msgpack")).status == 200
        await collector.drained()
    (reports,) = collector.store.reports.values()
    assert [(row["source"], row["version"]) for row in unpack_rows(reports)] == [("s" * 256, "v" * 128)]


async def test_report_of_a_repeated_batch_counts_once_and_a_restart_keeps_the_others(tmp_path):
    async with collecting(tmp_path, spool={"segment_age_s": 3600}) as collector:
        for number in (1, 2, 2, 1):
            body = envelope([wire_row(), wire_row()], batch_id=bytes([number]) * 16)
            response = await collector.post(body, Content_Type="application/msgpack")
            assert response.status == 200
        store = collector.store
        store.away = True
    store.away = False
    async with collecting(tmp_path, store) as collector:
        await collector.drained()
    rows = [row for body in store.reports.values() for row in unpack_rows(body)]
    assert sum(row["stored"] for row in rows) == 4 == len(store.rows)
    assert {row["instance"] for row in rows} == {"a" * 32}


async def test_rows_that_the_store_refuses_are_not_reported_as_stored(tmp_path):
    async with collecting(tmp_path) as collector:
        collector.store.poison = lambda row: row["url"] == "/v1/scores/3"
        body = envelope([wire_row(number) for number in range(5)])
        response = await collector.post(body, Content_Type="application/msgpack")
        assert response.status == 200
        await collector.drained()
        (reports,) = collector.store.reports.values()
        assert [row["stored"] for row in unpack_rows(reports)] == [4]
