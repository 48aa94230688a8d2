"""Count the requests of all applications since the start, in series with a bound.

Invariants:
- An application has SERIES_PER_APPLICATION series at most, and all have MAX_SERIES. Further routes of an application
  count as one, REST, with a class in the place of the status: "5xx".
- A series takes SERIES_BYTES at most: its route is cut at ROUTE_CHARACTERS.
- Beyond MAX_APPLICATIONS, the application that sent nothing for the longest time is forgotten. Its counters begin
  anew, as after a restart.
"""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Final, NamedTuple

from apimetry.collector.traffic.buckets import CELLS
from apimetry.collector.traffic.tally import Key, Tally

SERIES_PER_APPLICATION: Final = 1_000
MAX_SERIES: Final = 10_000
MAX_APPLICATIONS: Final = 2_000
ROUTE_CHARACTERS: Final = 256
SERIES_BYTES: Final = 4_500
REST_BYTES: Final = 6_000
"""The series REST of an application, with all its statuses."""
REST: Final = "(other)"
"""The route and the method of what has no series of its own."""


class Times:
    """The times of the requests of a method and a route."""

    __slots__ = ("cells", "sum_us")

    def __init__(self, cells: array[int] | None = None, sum_us: int = 0) -> None:
        self.cells = cells or array("Q", bytes(8 * CELLS))
        self.sum_us = sum_us


class Series(NamedTuple):
    """The requests of an application: their number by method, route and status; their times by method and route."""

    application: str
    requests: dict[tuple[str, str, str], int]
    times: dict[tuple[str, str], Times]


def _requests(tally: Tally) -> Counter[int]:
    """Return the number of requests of each place."""
    if tally.weights is None:
        return Counter(tally.places)
    requests: Counter[int] = Counter()
    for place, weight in zip(tally.places, tally.weights, strict=True):
        requests[place] += weight
    return requests


class Traffic:
    """The table; for one event loop. Mutable state: the series of all applications, and their number."""

    def __init__(self) -> None:
        # The application that sent nothing for the longest time comes first.
        self._applications: OrderedDict[str, Series] = OrderedDict()
        self._series = 0

    def __len__(self) -> int:
        return self._series

    def add(self, application: str, tally: Tally) -> None:
        """Count the requests of a batch."""
        series = self._of(application)
        labels = [self._place(series, key) for key in tally.keys]
        cells = [series.times[method, route].cells for method, route, _ in labels]
        weights: Iterable[int] = repeat(1) if tally.weights is None else tally.weights
        for its_cells, cell, weight in zip(map(cells.__getitem__, tally.places), tally.cells, weights, strict=False):
            its_cells[cell] += weight
        for place, number in _requests(tally).items():
            series.requests[labels[place]] += number
        for label, sum_us in zip(labels, tally.sums_us, strict=True):
            series.times[label[:2]].sum_us += sum_us

    def read(self, applications: Iterable[str]) -> Iterator[Series]:
        """Yield a copy of the series of those of the applications that have some."""
        for application in applications:
            series = self._applications.get(application)
            if series is not None:
                times = {label: Times(measured.cells[:], measured.sum_us) for label, measured in series.times.items()}
                yield Series(application, dict(series.requests), times)

    def _of(self, application: str) -> Series:
        series = self._applications.get(application)
        if series is None:
            series = self._applications[application] = Series(application, {}, {})
            if len(self._applications) > MAX_APPLICATIONS:
                _, forgotten = self._applications.popitem(last=False)
                self._series -= len(forgotten.requests)
        self._applications.move_to_end(application)
        return series

    def _place(self, series: Series, key: Key) -> tuple[str, str, str]:
        """Return the labels of the series for a key, which is there then."""
        method, route, status = key
        label = (method, route[:ROUTE_CHARACTERS], str(status))
        if label not in series.requests:
            if len(series.requests) >= SERIES_PER_APPLICATION or self._series >= MAX_SERIES:
                label = (REST, REST, f"{status // 100}xx")
            if label not in series.requests:
                series.requests[label] = 0
                series.times.setdefault(label[:2], Times())
                self._series += 1
        return label
