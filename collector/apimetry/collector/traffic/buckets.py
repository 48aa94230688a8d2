"""The buckets of response times: cells, each within one bucket of a classic and of a native histogram. Pure.

A cell is found by one search. Its number is that of the first of CELL_BOUNDS_US that the time does not exceed.

Source of the native buckets: https://prometheus.io/docs/specs/native_histograms/
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

US_PER_S: Final = 1_000_000
CLASSIC_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Prometheus's own."""
NATIVE_SCHEMA: Final = 3
"""Eight buckets double the time, so an answer is within 5 %."""
_FIRST, _LAST = -14 * 8, 20 * 8 + 1
"""From 61 µs to 2**40 µs, the longest time that an event has."""
ZERO_THRESHOLD_S: Final = 2.0**-14
"""Shorter times are in the bucket for zero."""

_NATIVE_US: Final = [int(2.0 ** (index / 2**NATIVE_SCHEMA) * US_PER_S) for index in range(_FIRST, _LAST + 1)]
_CLASSIC_US: Final = [int(bound_s * US_PER_S) for bound_s in CLASSIC_BOUNDS_S]
CELL_BOUNDS_US: Final = sorted({*_NATIVE_US, *_CLASSIC_US})
CLASSIC: Final = [bisect_left(_CLASSIC_US, bound_us) for bound_us in CELL_BOUNDS_US]
"""The number of each cell's classic bucket; the last one has no bound."""
NATIVE: Final = [bisect_left(_NATIVE_US, bound_us) + _FIRST for bound_us in CELL_BOUNDS_US]
"""The index of each cell's native bucket; NATIVE_ZERO is the bucket for zero."""
NATIVE_ZERO: Final = _FIRST
UNMEASURED: Final = len(CELL_BOUNDS_US)
"""The cell of requests without a time."""
CELLS: Final = UNMEASURED + 1
