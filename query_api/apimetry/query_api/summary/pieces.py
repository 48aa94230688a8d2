"""Add up the pieces of a summary without filters (`summary.pieces_sql`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import compress

from apimetry.query_api.planning.group_limit import ask_unless_too_many
from apimetry.query_api.planning.latency_buckets import bucket_of, buckets_at, whole_percentile
from apimetry.query_api.planning.rows_sql import BELOW
from apimetry.query_api.summary import pieces_sql
from apimetry.query_api.summary.pieces_sql import SUMS
from apimetry.query_api.summary.sql import PERCENTILES, Scope, bounds_us, consumer_count
from apimetry.store.rollups import HOUR_S
from apimetry.store.statement import Ask, Rows

_LEVELS = [number / 100 * BELOW for number in PERCENTILES]
_MODULUS = 2**64


@dataclass
class _Pieces:
    """The sums over the rows of all pieces. Counts are modulo 2^64 until `_counted`."""

    sums: Counter[str] = field(default_factory=Counter)
    buckets: Counter[int] = field(default_factory=Counter)
    """The requests in each latency bucket."""

    minutes: dict[int, Counter[int]] = field(default_factory=dict)
    """The requests in each minute of an edge, by the edge."""

    busiest_minute: int = 0
    """The most requests in a clock minute of whole hours."""

    peak_us: int = 0
    peaks_us: dict[int, int] = field(default_factory=dict)
    """The longest response time of an edge's hour, by the edge: the request may be beyond the range."""

    def add_totals(self, rows: Rows) -> None:
        """Add the row of `pieces_sql.totals`."""
        ((*sums, peak_us, buckets, server_errors),) = rows
        self._add(sums, buckets, server_errors)
        self.peak_us = max(self.peak_us, peak_us)

    def add_hours(self, rows: Rows, whole: tuple[int, int]) -> None:
        """Add rows of `pieces_sql.other_hours`, of which those in `whole` lie wholly in the range."""
        for hour, *sums, peak_us, buckets, server_errors, minutes in rows:
            self._add(sums, buckets, server_errors)
            if whole[0] <= hour * HOUR_S < whole[1]:
                self.peak_us = max(self.peak_us, peak_us)
            else:
                self.peaks_us[hour] = peak_us
                self._minutes_of(hour).update(minutes)

    def add_events(self, rows: Rows) -> None:
        """Add rows of `pieces_sql.events`."""
        for edge, *sums, peak_us, buckets, server_errors, minutes in rows:
            # Of a number for each bucket, most are 0.
            self._add(sums, dict(compress(enumerate(buckets), buckets)), server_errors)
            self._minutes_of(edge).update(dict(enumerate(minutes)))
            self.peak_us = max(self.peak_us, peak_us)

    def figures(self, target_us: int | None) -> dict[str, int]:
        """Return the figures of a summary by name, without consumers; times are microseconds."""
        figures = {name: _counted(self.sums[name]) for name in (*SUMS, "server_errors")}
        figures["peak_us"] = self.peak_us
        of_edges = (_counted(count) for counts in self.minutes.values() for count in counts.values())
        figures["busiest_minute"] = max(self.busiest_minute, *of_edges, 0)
        buckets = {bucket: count for bucket, sum_ in self.buckets.items() if (count := _counted(sum_))}
        figures["timed"] = sum(buckets.values())
        if buckets:
            latencies = (whole_percentile(bucket, self.peak_us) for bucket in buckets_at(buckets, _LEVELS))
            figures |= {f"p{number}": latency for number, latency in zip(PERCENTILES, latencies, strict=True)}
        if target_us is not None:
            figures |= _within(buckets, target_us)
        return figures

    def _add(self, sums: Iterable[int], buckets: Mapping[int, int], server_errors: int = 0) -> None:
        self.sums.update(dict(zip(SUMS, sums, strict=True)), server_errors=server_errors)
        self.buckets.update(buckets)

    def _minutes_of(self, edge: int) -> Counter[int]:
        return self.minutes.setdefault(edge, Counter())


def read_pieces(scope: Scope, ask: Ask, threads: Executor) -> Callable[[], dict[str, int]] | None:
    """Return what waits for the figures of a summary by name, which are read in `threads`.

    None if `scope` has no pieces. Its percentiles come from latency buckets.
    """
    hours = pieces_sql.hours_of(scope)
    if hours is None:
        return None
    consumers = threads.submit(ask_unless_too_many, pieces_sql.consumers(scope), ask)
    events, other_hours = (
        threads.submit(ask, piece) if piece is not None else None
        for piece in (pieces_sql.events(scope, hours), pieces_sql.other_hours(scope, hours))
    )
    totals, busiest_minute = (
        threads.submit(ask, piece(scope, hours)) for piece in (pieces_sql.totals, pieces_sql.busiest_minute)
    )

    def added_up() -> dict[str, int]:
        pieces = _Pieces()
        pieces.add_totals(totals.result())
        pieces.add_hours(other_hours.result() if other_hours is not None else (), hours.whole)
        pieces.add_events(events.result() if events is not None else ())
        ((pieces.busiest_minute,),) = busiest_minute.result()
        pieces.peak_us = _peak_us(pieces, scope, ask)
        return {**pieces.figures(scope.target_us), "consumers": _distinct(consumers.result(), scope, ask)}

    return added_up


def _peak_us(pieces: _Pieces, scope: Scope, ask: Ask) -> int:
    """Return the longest response time. An edge is read only where a longer time may be in the range."""
    peak_us = pieces.peak_us
    for edge, of_hour_us in pieces.peaks_us.items():
        start, end = max(scope.start, edge * HOUR_S), min(scope.end, (edge + 1) * HOUR_S)
        if of_hour_us > peak_us:
            ((of_part_us,),) = ask(pieces_sql.peak(scope, start, end))
            peak_us = max(peak_us, of_part_us)
    return peak_us


def _distinct(rows: Rows | None, scope: Scope, ask: Ask) -> int:
    """Return the number of consumers in rows of `pieces_sql.consumers`; without rows the engine counts them."""
    if rows is None:
        ((number,),) = ask(consumer_count(scope))
        return int(number)
    return len({name for (name,) in rows} - {""})


def _within(buckets: Mapping[int, int], target_us: int) -> dict[str, int]:
    """Return the requests below the bucket of each bound, and in it."""
    figures = {}
    for name, bound_us in bounds_us(target_us).items():
        of_bound = bucket_of(bound_us)
        figures[name] = sum(count for bucket, count in buckets.items() if bucket < of_bound)
        figures[f"{name}_in_bucket"] = buckets.get(of_bound, 0)
    return figures


def _counted(sum_: int) -> int:
    """Return a count that was added up modulo 2^64.

    With a server, events beyond the range may be stored before their hour's row has them: it counts as none.
    """
    count = sum_ % _MODULUS
    return count if count < _MODULUS // 2 else 0
