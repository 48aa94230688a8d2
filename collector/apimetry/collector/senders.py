"""The last believed report of every sender. A report that cannot be true is not believed.

A sender reports its own counts, and every owner of a write key can report any counts. So the reasons of drops are a
closed set. A report that no real process can reach is not believed: it is neither stored nor counted. A believed
report goes to its application, and into no metric: all tenants share the metrics, and an invented instance looks like
a real one. This module holds the instance's name, a time and a number of a sender: SENDER_BYTES at most, which makes
12 MB for MAX_SENDERS. Beyond MAX_SENDERS, an application with more than its share loses its own sender with the
least recent report. So one write key with invented instances evicts no sender of another application.

A report is believed if both of these are true. The time counts from the sender's report before; for its first report,
from the start of the sender's process, MAX_AGE_S at most.

- The sender captured no more events than MAX_EVENTS_PER_S in that time, plus a full buffer (MAX_WAITING).
- The captured events are the sent and the dropped events, plus those in the buffer: MAX_WAITING at most.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from msgspec.structs import replace

from apimetry.collector.formats.event_structs import Sender

OTHER: Final = "other"
REASONS: Final = ("buffer_full", "expired", "invalid", "rejected", "shutdown", OTHER)
"""Why senders drop events; any other word counts as OTHER."""

MAX_SENDERS: Final = 10_000
SENDER_BYTES: Final = 1_200
MAX_EVENTS_PER_S: Final = 20_000
"""More than the requests that one Python process can serve."""
MAX_WAITING: Final = 1_000_000
"""More than the events that fit into the buffer of any real host."""
MAX_AGE_S: Final = 7 * 86_400
UNKNOWN_AGE_S: Final = 86_400
"""The age of a sender that does not report when it started."""
US_PER_S: Final = 1_000_000


class LastReport(NamedTuple):
    """When a sender's last believed report arrived, in seconds since the epoch, and its captured events."""

    received_s: float
    captured: int


_NONE: Final[Mapping[str, LastReport]] = {}


class Senders:
    """The table; for one event loop. `clock_s` returns seconds since the epoch."""

    def __init__(self, *, clock_s: Callable[[], float] = time.time) -> None:
        self._clock_s = clock_s
        # By application, then by instance; the least recent report first.
        self._last: dict[str, OrderedDict[str, LastReport]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def believed(self, application: str, sender: Sender | None) -> Sender | None:
        """Return the sender's report with its drops under REASONS, or None if the report is not believed."""
        if sender is None or not sender.instance:
            return None
        sender = replace(sender, dropped=_closed(sender.dropped))
        now_s = self._clock_s()
        start = LastReport(_started_s(sender, now_s), 0)
        last = self._last.get(application, _NONE).get(sender.instance, start)
        dropped = sum(sender.dropped.values())
        growth = sender.captured - last.captured
        is_possible = (
            growth <= MAX_EVENTS_PER_S * max(0.0, now_s - last.received_s) + MAX_WAITING
            and abs(sender.captured - sender.sent - dropped) <= MAX_WAITING
        )
        return sender if is_possible else None

    def record(self, application: str, sender: Sender) -> None:
        """Store a believed report; the sender's next report is compared with it."""
        own = self._last.setdefault(application, OrderedDict())
        self._count += sender.instance not in own
        own[sender.instance] = LastReport(self._clock_s(), sender.captured)
        own.move_to_end(sender.instance)
        if self._count > MAX_SENDERS:
            self._forget_one(application)

    def _forget_one(self, application: str) -> None:
        share = MAX_SENDERS // len(self._last)
        if len(self._last[application]) <= share:
            application = max(self._last, key=lambda name: len(self._last[name]))
        largest = self._last[application]
        largest.popitem(last=False)
        self._count -= 1
        if not largest:
            del self._last[application]


def _started_s(sender: Sender, now_s: float) -> float:
    if not 0 < sender.started_us <= now_s * US_PER_S:
        return now_s - UNKNOWN_AGE_S
    return max(sender.started_us / US_PER_S, now_s - MAX_AGE_S)


def _closed(dropped: Mapping[str, int]) -> dict[str, int]:
    closed: dict[str, int] = {}
    for reason, count in dropped.items():
        name = reason if reason in REASONS else OTHER
        closed[name] = closed.get(name, 0) + count
    return closed
