"""Report to the store what this collector did, for `GET /api/collectors`.

A report is written every 10 s while anything changes, and every minute while nothing does, so that an idle collector
leaves the disk alone. It says what is true at its time: while the store is away no report waits, and the next one
that arrives has all counts. One report is under way at most, in a thread that inserts never use.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from apimetry.collector.metrics import Metrics
from apimetry.collector.spool.spool import Spool
from apimetry.serving.repeats import RepeatedLine
from apimetry.store.client import Store
from apimetry.store.collectors import CollectorFigures, CollectorIdentity, QuarantineFigures, record_report
from apimetry.store.errors import StoreError

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 10.0
IDLE_INTERVAL_S: Final = 60.0
LOG_INTERVAL_S: Final = 300.0

Write = Callable[[CollectorFigures], Awaitable[None]]
"""Writes a report; raises StoreError."""


class Reporter:
    """Writes reports, for one event loop. `clock_s` only goes forward; `sleep` waits between two looks."""

    def __init__(
        self,
        figures: Callable[[], CollectorFigures],
        write: Write,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._figures = figures
        self._write = write
        self._clock_s = clock_s
        self._sleep = sleep
        self._last: CollectorFigures | None = None
        self._written_s = float("-inf")
        self._failed = RepeatedLine(
            logger, "%d reports of this collector did not reach the store: %s", interval_s=LOG_INTERVAL_S
        )

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await self.report_if_due()
            await self._sleep(INTERVAL_S)

    async def report_if_due(self) -> None:
        """Write a report if anything changed since the last one, or if that is IDLE_INTERVAL_S ago."""
        figures, now_s = self._figures(), self._clock_s()
        if figures == self._last and now_s - self._written_s < IDLE_INTERVAL_S:
            return
        try:
            await self._write(figures)
        except StoreError as error:
            self._failed.say(error)
        except Exception:
            logger.exception("a report of this collector cannot be written")
        else:
            self._last, self._written_s = figures, now_s


def figures_of(spool: Spool, metrics: Metrics, now_ns: int) -> CollectorFigures:
    """Return what a collector says of itself at `now_ns`, nanoseconds since the epoch."""
    journal, events = spool.journal, metrics.events()
    quarantine, oldest_ns = journal.quarantine, journal.oldest_ns
    return CollectorFigures(
        spool_bytes=journal.size_bytes,
        spool_limit_bytes=journal.settings.max_bytes,
        segments=journal.segments,
        oldest_segment_s=0.0 if oldest_ns is None else round(max(0, now_ns - oldest_ns) / 1e9, 1),
        has_room=spool.has_room,
        received=events.received,
        stored=events.stored,
        rejected=events.rejected,
        quarantined=events.quarantined,
        rejected_at=events.rejected_at,
        quarantine=QuarantineFigures(len(quarantine), quarantine.rows, quarantine.newest_reason),
    )


def report_with_room(store: Store, identity: CollectorIdentity, spool: Path, figures: CollectorFigures) -> None:
    """Write a report, with the free bytes of the spool's disk; blocks, raises StoreError."""
    record_report(store, identity, replace(figures, spool_free_bytes=_free_bytes(spool)))


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
