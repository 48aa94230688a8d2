"""Know the lines that are stored already: their ids are in the stored events, and are queried by hour."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from apimetry.cli.access_logs.targets import Stored

# Limit of ids in memory: about 250 MB.
_MAX_IDS = 2_000_000


class KnownLines:
    """Hold the ids that are stored or sent, by hour. An hour is queried once, as long as the ids fit in memory.

    Lines without a time have no hour: they are looked up among all ids.
    """

    def __init__(self, stored: Stored, settle: Callable[[], None]) -> None:
        self._stored = stored
        self._settle = settle
        self._stored_hours = stored.hours()
        self._ids: OrderedDict[int, set[str]] = OrderedDict()
        self._evicted_hours: set[int] = set()
        self._all_ids: set[str] | None = None

    def ids_of(self, hour: int | None) -> set[str]:
        """Return the ids of an hour, all ids for None; the caller adds the ids that it sends to the set."""
        if hour is None:
            if self._all_ids is None:
                self._all_ids = {
                    line_id for stored_hour in self._stored_hours for line_id in self._stored.line_ids(stored_hour)
                }
            return self._all_ids
        ids = self._ids.get(hour)
        if ids is None:
            self._make_room()
            if hour in self._evicted_hours:
                # Some of the hour's events may be sent and not stored yet.
                self._settle()
            ids = self._stored.line_ids(hour) if hour in self._stored_hours or hour in self._evicted_hours else set()
            self._ids[hour] = ids
        self._ids.move_to_end(hour)
        return ids

    def stored_now(self, hours: set[int | None]) -> set[str]:
        """Query and return the ids that are stored now for some hours; None means every hour."""
        queried = self._stored.hours() if None in hours else hours
        return {line_id for hour in queried if hour is not None for line_id in self._stored.line_ids(hour)}

    def _make_room(self) -> None:
        while len(self._ids) > 1 and sum(map(len, self._ids.values())) > _MAX_IDS:
            self._evicted_hours.add(self._ids.popitem(last=False)[0])
