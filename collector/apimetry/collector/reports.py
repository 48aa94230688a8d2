"""Senders' reports: the counts of captured and lost events, stored with the batches that carried them.

A sender's envelope has the cumulative counts of its process (captured, sent, dropped by reason) at the time of
encoding. The collector adds the outcome of the batch itself to these counts. So in every report

    captured = sent + all dropped + events in the sender's buffer

The spool holds the report in the batch's own record. So the report is durable, and repeated, exactly when the batch
is. When a segment is stored, its reports are inserted under a token of their own: at most one row per application,
instance and minute, with the number of rows that the store accepted. Counts only grow. So the rows of an instance
merge by their maximum, and `stored` merges by its sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from apimetry.collector.formats.batch import Batch
from apimetry.collector.spool.segment import NOTHING_SENT_BEFORE, Record, Report
from apimetry.store.native import encode_block
from apimetry.store.senders import SENDER_COLUMNS

REJECTED = "rejected"
MINUTE_US = 60_000_000


def make_report(batch: Batch) -> Report | None:
    """Return a believed sender's counts with the batch's outcome added; None without a sender or its instance."""
    sender = batch.sender
    if sender is None or not sender.instance:
        return None
    dropped = Counter(sender.dropped)
    if batch.rejected_total:
        dropped[REJECTED] += batch.rejected_total
    return Report(
        sender.instance,
        sender.captured,
        sender.sent,
        sender.sent + batch.accepted,
        dict(dropped),
        sender.source,
        sender.version,
    )


@dataclass(slots=True)
class _Sum:
    captured: int = 0
    sent_before: int = NOTHING_SENT_BEFORE
    sent: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    stored: int = 0
    source: str = ""
    version: str = ""


def encode_reports(records: list[Record], quarantined: Mapping[int, int]) -> bytes:
    """Return one segment's reports as a block of the store's SENDER_COLUMNS; b"" if no sender reported.

    `quarantined` has the number of rows that the store refused, by the record's index.
    """
    sums: dict[tuple[str, int, str], _Sum] = {}
    for index, record in enumerate(records):
        report = record.meta.report
        if report is None:
            continue
        minute_s = record.meta.received_us // MINUTE_US * 60
        total = sums.setdefault((record.meta.application, minute_s, report.instance), _Sum())
        total.captured = max(total.captured, report.captured)
        total.sent_before = min(total.sent_before, report.sent_before)
        total.sent = max(total.sent, report.sent)
        for reason, count in report.dropped.items():
            total.dropped[reason] = max(total.dropped.get(reason, 0), count)
        total.stored += record.rows - quarantined.get(index, 0)
        total.source = max(total.source, report.source)
        total.version = max(total.version, report.version)
    rows = (
        (
            *key,
            total.captured,
            total.sent_before,
            total.sent,
            total.dropped,
            total.stored,
            total.source,
            total.version,
        )
        for key, total in sums.items()
    )
    return encode_block(SENDER_COLUMNS, zip(*rows, strict=True)) if sums else b""
