"""Add up the requests of one batch, before anybody knows whether the batch is new. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count, repeat
from typing import Final, TypeAlias

from apimetry.collector.traffic.buckets import CELL_BOUNDS_US, UNMEASURED
from apimetry.store.native import Values

Key: TypeAlias = tuple[str, str, int]
"""Method, route and status of a request."""
EVENT_BYTES: Final = 8
KEY_BYTES: Final = 300


@dataclass(frozen=True, slots=True)
class Tally:
    """The requests of a batch: for each, the place of its key in `keys`, and the cell of its time."""

    keys: tuple[Key, ...]
    places: array[int]
    cells: array[int]
    sums_us: tuple[int, ...]
    """The sum of the known times of each key: with weights, it may have more than 64 bits."""
    weights: array[int] | None
    """How many requests each one stands for; None: one."""

    @property
    def size(self) -> int:
        """Return the bytes that it takes, beside the texts of its rows."""
        return EVENT_BYTES * len(self.places) + KEY_BYTES * len(self.keys)


def tally(columns: Mapping[str, Values]) -> Tally:
    """Return the sums of the columns of a batch."""
    # A number for each key, in the order of the first requests.
    numbers: defaultdict[Key, int] = defaultdict(count().__next__)
    keys = zip(columns["method"], columns["route"], columns["status_code"], strict=True)
    places = array("L", map(numbers.__getitem__, keys))
    times, weights = columns["response_us"], columns["sample_weight"]
    is_weighted = weights.count(1) != len(weights)
    sums_us = [0] * len(numbers)
    for place, time_us, weight in zip(places, times, weights if is_weighted else repeat(1), strict=False):
        if time_us:
            sums_us[place] += time_us * weight
    return Tally(
        tuple(numbers),
        places,
        array("H", _cells(times)),
        tuple(sums_us),
        array("L", weights) if is_weighted else None,
    )


def _cells(times_us: Values) -> Iterable[int]:
    if None in times_us:
        return [UNMEASURED if time_us is None else bisect_left(CELL_BOUNDS_US, time_us) for time_us in times_us]
    return map(bisect_left, repeat(CELL_BOUNDS_US), times_us)
