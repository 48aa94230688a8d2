"""What the collector counts: every event ends in exactly one counter, and they add up.

received + recovered = stored + in the spool + rejected + quarantined, where `recovered` are the events that an
earlier process left in the spool. Repeated batches are counted apart and are not received a second time.

Only what this collector saw itself is counted: what senders say of themselves goes to their applications alone, since
all tenants share the metrics. Every label is of a closed set.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from apimetry.collector.formats.batch import Batch
from apimetry.collector.spool.journal import Journal


class Metrics:
    """The counters of one collector; every method may be called from the event loop and the writer's threads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"apimetry_collector_{name}", text, labels, registry=registry)

        self._registry = registry
        self._received = counter("received_events", "Events of batches that got a final answer.")
        self._recovered = counter("recovered_events", "Events that an earlier process left in the spool.")
        self._stored = counter("stored_events", "Events that the store has.")
        self._rejected = counter("rejected_events", "Events refused one by one.", "reason")
        self._quarantined = counter("quarantined_events", "Events put aside.", "reason")
        self._damaged = counter("damaged_records", "Pieces of segments that failed their checksum.")
        self._duplicates = counter("duplicate_events", "Events of batches that were stored before.")
        self._refused = counter("refused_requests", "Requests refused as a whole.", "reason")
        self._cut = counter("cut_strings", "Strings cut at their limit.")
        self._unknown = counter("unknown_fields", "JSON fields that were ignored.")
        self._insert_failures = counter("insert_failures", "Inserts that are tried again.", "kind")
        self._inserted_bytes = counter("inserted_bytes", "Bytes of rows that the store took.")
        self._disbelieved = counter("disbelieved_reports", "Senders' reports that cannot be true and were left out.")
        self._insert_seconds = Histogram(
            "apimetry_collector_insert_seconds", "Time of one insert.", registry=registry
        )

    def watch(self, journal: Journal) -> None:
        """Report the spool's size, and what it held before this process took anything."""
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
        """Count a batch that got its final answer; `new` is False for one that was accepted before."""
        if not new:
            self._duplicates.inc(batch.accepted + batch.rejected_total)
            return
        self._received.inc(batch.accepted + batch.rejected_total)
        for reason, count in batch.rejected.items():
            self._rejected.labels(reason).inc(count)
        self._cut.inc(batch.cut_strings)
        self._unknown.inc(batch.unknown_fields)

    def refused(self, reason: str) -> None:
        """A whole request was refused; nothing of it counts as received."""
        self._refused.labels(reason).inc()

    def finished(self, *, stored: int, rejected: int, damaged: int, pieces: int) -> None:
        """A segment left the spool: its events in the store, refused by it, or lost in damaged pieces."""
        self._stored.inc(stored)
        self._quarantined.labels("rejected").inc(rejected)
        self._quarantined.labels("damaged").inc(damaged)
        self._damaged.inc(pieces)

    def inserted(self, seconds: float, size: int) -> None:
        """One insert succeeded."""
        self._insert_seconds.observe(seconds)
        self._inserted_bytes.inc(size)

    def insert_failed(self, *, transient: bool) -> None:
        """One insert is tried again."""
        self._insert_failures.labels("transient" if transient else "unexpected").inc()

    def disbelieved(self) -> None:
        """A sender's report about itself cannot be true, and was left out."""
        self._disbelieved.inc()
