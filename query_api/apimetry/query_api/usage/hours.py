"""Totals, peaks and a series from the figures of every hour: one statement instead of two. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from apimetry.query_api.planning.figures import Measures
from apimetry.query_api.planning.time_buckets import Buckets
from apimetry.store.rollups import HOUR_S
from apimetry.store.statement import Rows

MOST_HOURS = 10_000
"""The most hours that are read to be added up outside of the engine: more than a year."""


def are_whole_hours(buckets: Buckets, shift_s: int = 0) -> bool:
    """Return whether every bucket, `shift_s` seconds earlier, is made of whole hours, and these are few."""
    if buckets.start >= buckets.end or buckets.end - buckets.start > MOST_HOURS * HOUR_S:
        return False
    if buckets.calendar is None:
        return (buckets.starts_at(0) - shift_s) % HOUR_S == 0 and buckets.size_s % HOUR_S == 0
    return all((start_s - shift_s) % HOUR_S == 0 for start_s in _starts(buckets))


def added_up(rows: Rows) -> tuple[Measures, tuple[int, int]]:
    """Return the sums over rows of `sql.hours`, and the most requests in a clock minute and in a clock hour."""
    if not rows:
        return Measures(), (0, 0)
    _, requests, errors, latency_us, peak_us, size, timed, most = zip(*rows, strict=True)
    total = Measures(sum(requests), sum(errors), sum(latency_us), max(peak_us), sum(size), sum(timed))
    return total, (max(most), max(requests))


def by_bucket(rows: Rows, buckets: Buckets, shift_s: int = 0) -> dict[int, Measures]:
    """Return the sums over rows of `sql.hours` by the index of the bucket, which lies `shift_s` seconds later."""
    if not rows:
        return {}
    index_of = _index_of(buckets)
    sums: dict[int, Measures] = {}
    # Thousands of hours: their measures are made by columns.
    hours, *columns, _ = zip(*rows, strict=True)
    for hour, measures in zip(hours, map(Measures, *columns), strict=True):
        index = index_of(hour * HOUR_S + shift_s)
        known = sums.get(index)
        sums[index] = measures if known is None else known.plus(measures)
    return sums


def _index_of(buckets: Buckets) -> Callable[[int], int]:
    """Return the function from the first second of an hour to the index of its bucket."""
    if buckets.calendar is None:
        first_s, size_s = buckets.starts_at(0), buckets.size_s
        # The first hour may begin before the range, but not before the first bucket.
        return lambda time_s: (time_s - first_s) // size_s
    starts = _starts(buckets)
    return lambda time_s: bisect_right(starts, time_s) - 1


def _starts(buckets: Buckets) -> list[int]:
    return [buckets.starts_at(index) for index in range(buckets.count)]
