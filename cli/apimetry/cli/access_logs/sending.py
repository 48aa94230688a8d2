"""Send events in batches, and count the results that the collector reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click
import msgspec

from apimetry.cli.access_logs.ledger import KnownLines
from apimetry.cli.access_logs.report import FileReport
from apimetry.cli.access_logs.routes import Pending, Routes
from apimetry.cli.access_logs.targets import Collector

BATCH_EVENTS = 2000
# The collector accepts bodies of 8 MiB. Long URLs with non-ASCII letters fill a body with fewer events.
MAX_BODY_BYTES = 6 * 1024 * 1024
# How often the events of one file can be deleted and imported again within a day. For a day the collector knows a
# batch.
_MAX_REPEATS = 100


class Outbox:
    """Collect events and send them in batches.

    Mutable state: the events that wait, and the report that counts them.

    Args:
        collector: receives the events; None for a dry run, which counts the events as imported.
        known: returns the ids that are stored already.
        routes: decides which guessed routes are accepted.
    """

    def __init__(self, collector: Collector | None, known: Callable[[], KnownLines], routes: Routes) -> None:
        self._collector = collector
        self._known = known
        self._routes = routes
        self._pending: list[Pending] = []
        self.report = FileReport("")

    def add(self, pending: Pending) -> None:
        """Add an event to the next batch; an event of a doubtful route waits for a second one."""
        self._pending += self._routes.take(pending)
        if len(self._pending) >= BATCH_EVENTS:
            self._send()

    def flush(self) -> None:
        """Send all events that wait."""
        self._pending += self._routes.release()
        self._send()

    def settle(self) -> None:
        """Send the events of accepted routes, and wait until every event that was sent can be queried."""
        self._send()
        if self._collector is not None:
            self._collector.wait_until_stored()

    def _send(self) -> None:
        batch, self._pending = self._pending, []
        if not batch:
            return
        if self._collector is None:
            self.report.imported += len(batch)
            return
        for part in _parts(batch):
            self._deliver(part, self._collector)

    def _deliver(self, batch: list[Pending], collector: Collector) -> None:
        for repeat in range(_MAX_REPEATS):
            events, line_ids = [pending.event for pending in batch], [pending.line_id for pending in batch]
            result = collector.send(events, line_ids, repeat)
            if not result.get("duplicate"):
                self._count(result)
                return
            batch = self._missing(batch)
            if not batch:
                return
        raise click.ClickException(
            f"{len(batch)} lines of {self.report.file} were imported and deleted {_MAX_REPEATS} times within a day:"
            " import them tomorrow, or under another --source"
        )

    def _missing(self, batch: list[Pending]) -> list[Pending]:
        """Return the events of a duplicate batch that are not stored, because they were deleted since."""
        self.settle()
        stored = self._known().stored_now({pending.hour for pending in batch})
        missing = [pending for pending in batch if pending.line_id not in stored]
        self.report.already_there += len(batch) - len(missing)
        return missing

    def _count(self, result: dict[str, object]) -> None:
        accepted, rejected, details = result["accepted"], result["rejected"], result.get("details", [])
        if isinstance(accepted, int) and isinstance(rejected, int) and isinstance(details, list):
            self.report.imported += accepted
            self.report.rejected += rejected
            self.report.reasons.update(f"{detail['field']}: {detail['message']}" for detail in details)


def _parts(batch: list[Pending]) -> Iterator[list[Pending]]:
    """Yield the batch in parts that fit into a request body."""
    if len(batch) == 1 or len(msgspec.json.encode([pending.event for pending in batch])) <= MAX_BODY_BYTES:
        yield batch
        return
    middle = len(batch) // 2
    yield from _parts(batch[:middle])
    yield from _parts(batch[middle:])
