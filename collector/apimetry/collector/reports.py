"""What senders say they captured and lost, kept with the batches that carried it.

A sender's envelope has the cumulative counts of its process (captured, sent, dropped by reason) at the time of
encoding. The handler settles them with the fate of the batch itself, so that at every report

    captured = sent + all dropped + what still waited in the sender's buffer

and the settled report lies in the batch's own record of the spool: durable with it, repeated with it, and never
without it. When a segment is stored its reports follow under a token of their own, at most one row for each
application, instance and minute, with the number of rows that the store really took. Counters only grow, so the rows
of an instance merge by their maximum and `stored` by its sum.
"""

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
    """The counts of a believed sender with this batch settled; None for one that gives none (see `senders`)."""
    sender = batch.sender
    if sender is None or not sender.instance:
        return None
    dropped = Counter(sender.dropped)
    if batch.rejected_total:
        dropped[REJECTED] += batch.rejected_total
    return Report(sender.instance, sender.captured, sender.sent, sender.sent + batch.accepted, dict(dropped))


@dataclass(slots=True)
class _Sum:
    captured: int = 0
    sent_before: int = NOTHING_SENT_BEFORE
    sent: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    stored: int = 0


def encode_reports(records: list[Record], quarantined: Mapping[int, int]) -> bytes:
    """A block of the store's SENDER_COLUMNS for one segment; b"" if no sender reported.

    `quarantined` says how many rows of which record the store refused.
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
    rows = (
        (*key, total.captured, total.sent_before, total.sent, total.dropped, total.stored)
        for key, total in sums.items()
    )
    return encode_block(SENDER_COLUMNS, zip(*rows, strict=True)) if sums else b""
