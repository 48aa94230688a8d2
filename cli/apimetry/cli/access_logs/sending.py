"""Sends events in batches, and counts what the collector says became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click
import msgspec

from apimetry.cli.access_logs.ledger import KnownLines
from apimetry.cli.access_logs.report import FileReport
from apimetry.cli.access_logs.routes import Pending, Routes
from apimetry.cli.access_logs.targets import Collector

BATCH_EVENTS = 2000
# The collector takes bodies of 8 MiB. Long URLs of other letters than ASCII fill one with fewer events.
MAX_BODY_BYTES = 6 * 1024 * 1024
# As often as the events of one file can be deleted and imported again while the collector knows a batch: a day.
_MAX_REPEATS = 100


class Outbox:
    """What is to be sent. Mutable: the events that wait, and whose report they are counted in.

    Args:
        collector: where events go; None for a dry run, which counts them as imported.
        known: what is stored already.
        routes: which routes are believed.
    """

    def __init__(self, collector: Collector | None, known: Callable[[], KnownLines], routes: Routes) -> None:
        self._collector = collector
        self._known = known
        self._routes = routes
        self._pending: list[Pending] = []
        self.report = FileReport("")

    def add(self, pending: Pending) -> None:
        """Send the event with the next batch, once its route is out of doubt."""
        self._pending += self._routes.take(pending)
        if len(self._pending) >= BATCH_EVENTS:
            self._send()

    def flush(self) -> None:
        """Send what waits."""
        self._pending += self._routes.release()
        self._send()

    def settle(self) -> None:
        """Send what is out of doubt, and return when everything that was sent can be queried."""
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
            answer = collector.send([each.event for each in batch], [each.line_id for each in batch], repeat)
            if not answer.get("duplicate"):
                self._count(answer)
                return
            batch = self._missing(batch)
            if not batch:
                return
        raise click.ClickException(
            f"{len(batch)} lines of {self.report.file} were imported and deleted {_MAX_REPEATS} times within a day:"
            " import them tomorrow, or under another --source"
        )

    def _missing(self, batch: list[Pending]) -> list[Pending]:
        """Return what of a batch that the collector took before is not stored: its events were deleted since."""
        self.settle()
        stored = self._known().stored_now({each.hour for each in batch})
        missing = [each for each in batch if each.line_id not in stored]
        self.report.already_there += len(batch) - len(missing)
        return missing

    def _count(self, answer: dict[str, object]) -> None:
        accepted, rejected, details = answer["accepted"], answer["rejected"], answer.get("details", [])
        if isinstance(accepted, int) and isinstance(rejected, int) and isinstance(details, list):
            self.report.imported += accepted
            self.report.rejected += rejected
            self.report.reasons.update(f"{each['field']}: {each['message']}" for each in details)


def _parts(batch: list[Pending]) -> Iterator[list[Pending]]:
    """Yield the batch, in as many parts as it takes for each to fit into a body."""
    if len(batch) == 1 or len(msgspec.json.encode([each.event for each in batch])) <= MAX_BODY_BYTES:
        yield batch
        return
    middle = len(batch) // 2
    yield from _parts(batch[:middle])
    yield from _parts(batch[middle:])
