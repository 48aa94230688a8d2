"""Which lines are stored already: the ids in the events themselves, asked for by the hour."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from apimetry.cli.access_logs.targets import Stored

# Of ids in memory: about 250 MB.
_MAX_IDS = 2_000_000


class KnownLines:
    """The ids that are stored or sent, by hour; asked for once, as long as they fit in memory.

    Lines that name no time are looked up under no hour: among all ids.
    """

    def __init__(self, stored: Stored, settle: Callable[[], None]) -> None:
        self._stored = stored
        self._settle = settle
        self._unasked = stored.hours()
        self._ids: OrderedDict[int, set[str]] = OrderedDict()
        self._left: set[int] = set()
        self._everywhere: set[str] | None = None

    def of(self, hour: int | None) -> set[str]:
        """Return the ids of an hour, or all; what is sent is added to them by the caller."""
        if hour is None:
            if self._everywhere is None:
                self._everywhere = {line_id for each in self._unasked for line_id in self._stored.line_ids(each)}
            return self._everywhere
        ids = self._ids.get(hour)
        if ids is None:
            self._make_room()
            if hour in self._left:
                # Some of them may be on their way.
                self._settle()
            ids = self._stored.line_ids(hour) if hour in self._unasked or hour in self._left else set()
            self._ids[hour] = ids
        self._ids.move_to_end(hour)
        return ids

    def stored_now(self, hours: set[int | None]) -> set[str]:
        """Return the ids that are stored for some hours at this moment."""
        asked = self._stored.hours() if None in hours else hours
        return {line_id for hour in asked if hour is not None for line_id in self._stored.line_ids(hour)}

    def _make_room(self) -> None:
        while len(self._ids) > 1 and sum(map(len, self._ids.values())) > _MAX_IDS:
            self._left.add(self._ids.popitem(last=False)[0])
