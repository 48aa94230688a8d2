"""What each sender last said about itself, as far as it can be true.

A sender names its own counts, and whoever has a write key can name any. So the reasons of drops are a closed set,
and a report that no process can have come to is not believed at all: neither kept nor counted. What is believed goes
to the application that it is about, and into no metric: all tenants share those, and an invented instance is as good
as a real one. What is kept of a sender is its instance's name, a time and a number: at most SENDER_BYTES, which makes
8 MB for MAX_SENDERS.

A report is believed where, since the one before (at the first: since the process started, MAX_AGE_S at most)

- it captured no more than MAX_EVENTS_PER_S, and a full buffer;
- what it captured is what it sent, dropped, and has waiting: MAX_WAITING at most.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from apimetry.collector.formats.event_structs import Sender

OTHER: Final = "other"
REASONS: Final = ("buffer_full", "expired", "invalid", "rejected", "shutdown", OTHER)
"""Why senders drop events; another word counts as the last."""

MAX_SENDERS: Final = 10_000
SENDER_BYTES: Final = 800
MAX_EVENTS_PER_S: Final = 20_000
"""More than one process of a Python host answers."""
MAX_WAITING: Final = 1_000_000
"""More than a host's memory is given to a buffer."""
MAX_AGE_S: Final = 7 * 86_400
UNKNOWN_AGE_S: Final = 86_400
"""Of a sender that does not say when it started."""
US_PER_S: Final = 1_000_000


class Senders:
    """The table; for one event loop. `clock_s` returns seconds since the epoch."""

    def __init__(self, *, clock_s: Callable[[], float] = time.time) -> None:
        self._clock_s = clock_s
        # When it was last heard, and what it had captured by then.
        self._last: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def believed(self, application: str, sender: Sender | None) -> Sender | None:
        """Return what is believed of a sender's report, its reasons being of the closed set; None for nothing."""
        if sender is None or not sender.instance:
            return None
        sender = replace(sender, dropped=_closed(sender.dropped))
        now_s = self._clock_s()
        heard_s, captured = self._last.get((application, sender.instance), (_started_s(sender, now_s), 0))
        lost = sum(sender.dropped.values())
        grown = sender.captured - captured
        is_possible = (
            grown <= MAX_EVENTS_PER_S * max(0.0, now_s - heard_s) + MAX_WAITING
            and abs(sender.captured - sender.sent - lost) <= MAX_WAITING
        )
        return sender if is_possible else None

    def record(self, application: str, sender: Sender) -> None:
        """Keep a believed report, to measure the next one by."""
        key = (application, sender.instance)
        self._last[key] = (self._clock_s(), sender.captured)
        self._last.move_to_end(key)
        if len(self._last) > MAX_SENDERS:
            self._last.popitem(last=False)


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
