"""The hard limit on an organization's calls in a UTC month; off by default.

The used calls are the store's count, which is read every five seconds, plus the events that this collector has
accepted and not yet stored. That sum can be wrong for a short time.

The sum is too low by these events:

- events of batches that are being accepted at the moment when the limit is reached;
- events that other collectors accepted in the last five seconds, or hold in their spools;
- events that an earlier process left in this spool.

The sum is too high for five seconds by the events of a segment that was stored during the read.

An event counts as one until it is stored, and by its sample weight after that. While the store is away, its last
count stays in use, and the events that this collector accepts are added.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timezone

from apimetry.collector.spool.segment import Record
from apimetry.store.accounts.accounts import Organization
from apimetry.store.errors import StoreError

logger = logging.getLogger(__name__)

IN_SPOOL_BYTES = 500
REFRESH_INTERVAL_S = 5.0
MAX_WAIT_S = 3600.0
"""The longest wait that a refused sender is told: the limit may be raised before the month ends."""

Load = Callable[[date], Awaitable[Mapping[str, int]]]
"""Returns the calls of the month that begins at the date, by organization."""


@dataclass(slots=True)
class _InSpool:
    """The events of one application in the spool."""

    organization_id: str
    events: int = 0


class CallLimit:
    """The used calls, as one collector knows them. For the event loop; `left_spool` for the writer's thread.

    Memory: four numbers for each organization, and IN_SPOOL_BYTES for each application with events in the spool.
    """

    def __init__(self, load: Load, *, clock_s: Callable[[], float] = time.time) -> None:
        self._load = load
        self._clock_s = clock_s
        self._month: date | None = None
        self._counted: Mapping[str, int] = {}
        # The lock guards these two: the event loop adds events, the writer's thread takes them away.
        self._lock = threading.Lock()
        self._in_spool: dict[str, _InSpool] = {}
        self._recovered: frozenset[str] = frozenset()
        self._accepted: Counter[str] = Counter()
        self._stored: Counter[str] = Counter()
        # The part of `_stored` that the store's last count includes: the events stored before that read began.
        self._settled: Counter[str] = Counter()

    async def run(self) -> None:
        """Read the store's counts until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_INTERVAL_S)

    async def refresh(self) -> None:
        """Read the store's counts now; while the store is away, the last counts stay in use."""
        month, settled = month_of(self._clock_s()), self._stored.copy()
        try:
            self._counted = await self._load(month)
        except StoreError as error:
            logger.debug("the calls of the month cannot be read: %s", error)
            return
        self._month, self._settled = month, settled

    def wait_s(self, organization: Organization) -> float:
        """Return how long the organization has to wait, in seconds; 0 while it may send."""
        limit = organization.plan.max_calls_per_month
        now_s = self._clock_s()
        if limit is None or self._month != month_of(now_s) or self.used(organization.id) < limit:
            return 0.0
        return min(MAX_WAIT_S, next_month_s(now_s) - now_s)

    def used(self, organization_id: str) -> int:
        """Return the organization's calls of this month, as far as this collector knows them."""
        waiting = self._accepted[organization_id] - self._settled[organization_id]
        return self._counted.get(organization_id, 0) + waiting

    def add(self, organization_id: str, application_id: str, events: int) -> None:
        """Count events that are going into the spool."""
        self._accepted[organization_id] += events
        with self._lock:
            self._in_spool.setdefault(application_id, _InSpool(organization_id)).events += events

    def take_back(self, organization_id: str, application_id: str, events: int) -> None:
        """Take back events that did not get into the spool."""
        self._accepted[organization_id] -= events
        with self._lock:
            self._take_out(application_id, events)

    def recovered(self, tokens: Iterable[str]) -> None:
        """Note the tokens of segments of an earlier process: this process did not accept their events."""
        self._recovered = frozenset(tokens)

    def left_spool(self, token: str, records: Iterable[Record]) -> None:
        """Note that the segment's events are stored."""
        if token not in self._recovered:
            with self._lock:
                for record in records:
                    self._stored[self._take_out(record.meta.application, record.rows)] += record.rows

    def _take_out(self, application_id: str, events: int) -> str:
        """Take events out of `_in_spool`, and return their organization."""
        in_spool = self._in_spool[application_id]
        in_spool.events -= events
        if in_spool.events <= 0:
            del self._in_spool[application_id]
        return in_spool.organization_id


def month_of(now_s: float) -> date:
    """Return the first day of the UTC month."""
    return datetime.fromtimestamp(now_s, timezone.utc).date().replace(day=1)


def next_month_s(now_s: float) -> float:
    """Return when the next UTC month begins, in seconds since the epoch."""
    first = month_of(now_s)
    year, month = (first.year + 1, 1) if first.month == 12 else (first.year, first.month + 1)
    return datetime(year, month, 1, tzinfo=timezone.utc).timestamp()
