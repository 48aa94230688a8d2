"""Add up the pieces of a usage response without filters (`usage.pieces_sql`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

from apimetry.query_api.planning.figures import Measures
from apimetry.query_api.planning.group_limit import ask_unless_too_many
from apimetry.query_api.planning.latency_buckets import buckets_at, whole_percentile
from apimetry.query_api.usage import pieces_sql
from apimetry.query_api.usage.lists import Lists, key_of, lists_of
from apimetry.query_api.usage.lists_sql import LEVELS
from apimetry.query_api.usage.params import Order
from apimetry.query_api.usage.sql import Scope
from apimetry.store.statement import Ask, Rows


@dataclass
class Pieces:
    """The sums over the rows of all pieces."""

    hours: list[tuple[int, ...]]
    """Rows of (hour since the epoch, the measures, the most requests in a clock minute)."""

    groups: dict[str, dict[Any, Measures]] = field(
        default_factory=lambda: {"method": {}, "status_code": {}, "route": {}}
    )
    """The sums of each value, by the list."""

    buckets: dict[str, dict[int, int]] = field(default_factory=dict)
    """The requests in each latency bucket, by the route."""

    def add(self, rows: Rows) -> None:
        """Add rows of `pieces_sql.groups`."""
        for name, hour, method, status, route, *figures, buckets, most in rows:
            if name == "all":
                self.hours.append((hour, *figures, most))
                continue
            key, group, measures = key_of(name, method, status, route), self.groups[name], Measures(*figures)
            known = group.get(key)
            group[key] = measures if known is None else known.plus(measures)
            if name == "route":
                self._add_buckets(route, buckets)

    def lists(self, order: Order) -> Lists:
        """Return the lists in `order`."""
        return lists_of({name: list(group.items()) for name, group in self.groups.items()}, order)

    def percentiles(self, routes: Iterable[str]) -> Mapping[str, Sequence[int]]:
        """Return the latency of routes in microseconds at each of PERCENTILES; none of a route without any."""
        return {
            route: [
                whole_percentile(bucket, self.groups["route"][route].peak_us)
                for bucket in buckets_at(buckets, LEVELS)
            ]
            for route in routes
            if (buckets := self.buckets.get(route))
        }

    def _add_buckets(self, route: str, buckets: Mapping[int, int] | Sequence[int]) -> None:
        # Of a number for each bucket, most are 0.
        counted = buckets if isinstance(buckets, Mapping) else dict(compress(enumerate(buckets), buckets))
        sums = self.buckets.get(route)
        if sums is None:
            self.buckets[route] = dict(counted)
            return
        for bucket, requests in counted.items():
            sums[bucket] = sums.get(bucket, 0) + requests


def read_pieces(scope: Scope, ask: Ask, threads: Executor) -> Callable[[], Pieces | None] | None:
    """Return what waits for the pieces, which are read in `threads`; None if `scope` has no pieces.

    The pieces are None if there are more groups than MOST_GROUPS.
    """
    source = pieces_sql.plan_of(scope)
    if source is None:
        return None
    of_days = pieces_sql.hours_of_days(scope, source)
    hours = threads.submit(ask, of_days) if of_days else None
    groups = [threads.submit(ask_unless_too_many, piece, ask) for piece in pieces_sql.groups(scope, source)]

    def added_up() -> Pieces | None:
        pieces = Pieces(list(hours.result()) if hours else [])
        for group in groups:
            rows = group.result()
            if rows is None:
                return None
            pieces.add(rows)
        return pieces

    return added_up
