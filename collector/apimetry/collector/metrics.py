"""The collector's metrics: every event ends in exactly one counter, and the counters add up.

received + recovered = stored + stored elsewhere + in the spool + rejected + quarantined. `recovered` are the events
that an earlier process left in the spool, `stored elsewhere` those of batches that another collector stores, as it
has them, too. Events of repeated batches have a counter of their own and are not received a second time.

The metrics count only events and requests that this collector saw itself. Senders' own counts go to their
applications only, because all tenants share the metrics. Every label is of a closed set.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from apimetry.collector.formats.batch import Batch
from apimetry.collector.spool.journal import Journal


@dataclass(frozen=True)
class Events:
    """What became of events since the start, with those that an earlier process left in the spool."""

    received: int
    stored: int
    rejected: Mapping[str, int]
    """By reason."""
    rejected_at: Mapping[str, int]
    """When the last one was, by reason, in seconds since the epoch."""
    quarantined: int


class Metrics:
    """The metrics of one collector; the event loop and the writer's threads may call every method."""

    def __init__(self, registry: CollectorRegistry, *, clock_s: Callable[[], float] = time.time) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"apimetry_collector_{name}", text, labels, registry=registry)

        self._registry = registry
        self._clock_s = clock_s
        self._rejected_at: dict[str, int] = {}
        self._received = counter("received_events", "Events of batches that got a final answer.")
        self._recovered = counter("recovered_events", "Events that an earlier process left in the spool.")
        self._stored = counter("stored_events", "Events that the store has.")
        self._elsewhere = counter("stored_elsewhere_events", "Events that another collector had, too, and stores.")
        self._rejected = counter("rejected_events", "Events refused one by one.", "reason")
        self._quarantined = counter("quarantined_events", "Events put aside.", "reason")
        self._damaged = counter("damaged_records", "Pieces of segments that failed their checksum.")
        self._duplicates = counter("duplicate_events", "Events of batches that were stored before.")
        self._refused = counter("refused_requests", "Requests refused as a whole.", "reason")
        self._cut = counter("cut_strings", "Strings cut at their limit.")
        self._unknown = counter("unknown_fields", "JSON fields that were ignored.")
        self._ignored = counter("ignored_spans", "Spans that are no request of a server.")
        self._insert_failures = counter("insert_failures", "Inserts that are tried again.", "kind")
        self._inserted_bytes = counter("inserted_bytes", "Bytes of rows that the store took.")
        self._disbelieved = counter("disbelieved_reports", "Senders' reports that cannot be true and were left out.")
        self._insert_seconds = Histogram(
            "apimetry_collector_insert_seconds", "Time of one insert.", registry=registry
        )

    def watch(self, journal: Journal) -> None:
        """Report the spool's size, and the events that an earlier process left in it."""
        self._recovered.inc(journal.rows)
        gauges = {
            "spool_bytes": ("Bytes of all segments.", lambda: journal.size_bytes),
            "spool_segments": ("Segments on disk.", lambda: journal.segments),
            "spool_events": ("Acknowledged events that wait for the store.", lambda: journal.rows),
            "quarantine_pieces": ("Pieces in the quarantine.", lambda: len(journal.quarantine)),
            "quarantine_bytes": ("Bytes of all pieces in the quarantine.", lambda: journal.quarantine.size_bytes),
            "quarantine_dropped_pieces": (
                "Pieces that found no room in the quarantine since the start.",
                lambda: journal.quarantine.dropped_pieces,
            ),
            "remembered_batches": ("Batch ids of the window.", lambda: len(journal.ids)),
        }
        for name, (text, read) in gauges.items():
            gauge = Gauge(f"apimetry_collector_{name}", text, registry=self._registry)
            gauge.set_function(read)

    def record_batch(self, batch: Batch, *, new: bool) -> None:
        """Count a batch that got its final response; `new` is False for a batch that was accepted before."""
        if not new:
            self._duplicates.inc(batch.accepted + batch.rejected_total)
            return
        self._received.inc(batch.accepted + batch.rejected_total)
        for reason, count in batch.rejected.items():
            self._rejected.labels(reason).inc(count)
            self._rejected_at[reason] = int(self._clock_s())
        self._cut.inc(batch.cut_strings)
        self._unknown.inc(batch.unknown_fields)
        self._ignored.inc(batch.ignored)

    def events(self) -> Events:
        """Return what became of all events until now."""
        return Events(
            # Another collector received and stores what was left to it.
            received=_total(self._received) + _total(self._recovered) - _total(self._elsewhere),
            stored=_total(self._stored),
            rejected={labels["reason"]: count for labels, count in _samples(self._rejected)},
            rejected_at=dict(self._rejected_at),
            quarantined=_total(self._quarantined),
        )

    def refused(self, reason: str) -> None:
        """Count a refused request; none of its events counts as received."""
        self._refused.labels(reason).inc()

    def finished(self, *, stored: int, elsewhere: int, rejected: int, damaged: int, pieces: int) -> None:
        """Count the events of a segment that left the spool.

        Args:
            stored: events that the store has.
            elsewhere: events that were left to another collector.
            rejected: events that the store refused.
            damaged: events lost in damaged pieces.
            pieces: damaged pieces.
        """
        self._stored.inc(stored)
        self._elsewhere.inc(elsewhere)
        self._quarantined.labels("rejected").inc(rejected)
        self._quarantined.labels("damaged").inc(damaged)
        self._damaged.inc(pieces)

    def inserted(self, seconds: float, size: int) -> None:
        """Count a successful insert: its time in seconds, its size in bytes."""
        self._insert_seconds.observe(seconds)
        self._inserted_bytes.inc(size)

    def insert_failed(self, *, transient: bool) -> None:
        """Count a failed insert, which is tried again."""
        self._insert_failures.labels("transient" if transient else "unexpected").inc()

    def disbelieved(self) -> None:
        """Count a sender's report that cannot be true and was left out."""
        self._disbelieved.inc()


def _samples(counter: Counter) -> Iterator[tuple[dict[str, str], int]]:
    """Return the labels and the value of every series of a counter."""
    for metric in counter.collect():
        for sample in metric.samples:
            if sample.name.endswith("_total"):
                yield sample.labels, int(sample.value)


def _total(counter: Counter) -> int:
    return sum(count for _, count in _samples(counter))
