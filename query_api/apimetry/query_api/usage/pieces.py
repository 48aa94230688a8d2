"""Add up the pieces of a usage response without filters (`usage.pieces_sql`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import reduce
from itertools import compress
from typing import Any, TypeVar

from apimetry.query_api.planning.figures import Measures
from apimetry.query_api.planning.group_limit import ask_unless_too_many
from apimetry.query_api.planning.latency_buckets import buckets_at, whole_percentile
from apimetry.query_api.planning.planner import Plan
from apimetry.query_api.usage import pieces_sql
from apimetry.query_api.usage.lists import Lists, key_of, lists_of
from apimetry.query_api.usage.lists_sql import LEVELS
from apimetry.query_api.usage.params import Order
from apimetry.query_api.usage.sql import Scope
from apimetry.store.statement import Ask, Rows, Statement

Series = TypeVar("Series")


@dataclass
class Pieces:
    """The sums over the rows of all pieces."""

    hours: list[tuple[int, ...]] = field(default_factory=list)
    """Rows of (hour since the epoch, the measures, the most requests in a clock minute)."""

    groups: dict[str, dict[Any, Measures]] = field(
        default_factory=lambda: {"method": {}, "status_code": {}, "route": {}}
    )
    """The sums of each value, by the list."""

    buckets: dict[str, defaultdict[int, int]] = field(default_factory=dict)
    """The requests in each latency bucket, by the route."""

    def add(self, rows: Rows | None) -> bool:
        """Add rows of `pieces_sql`'s groups; return whether they could be read: None says that there are too many."""
        if rows is None:
            return False
        minutes: dict[int, list[Measures]] = {}
        for name, time, method, status, route, *figures, buckets, most in rows:
            measures = Measures(*figures)
            if name == "all":
                self.hours.append((time, *measures, most))
                continue
            if name == pieces_sql.MINUTE:
                minutes.setdefault(time // 60, []).append(measures)
                continue
            key, group = key_of(name, method, status, route), self.groups[name]
            known = group.get(key)
            group[key] = measures if known is None else known.plus(measures)
            if name == "route":
                self._add_buckets(route, buckets)
        for hour, of_minutes in minutes.items():
            most = max(measures.requests for measures in of_minutes)
            self.hours.append((hour, *reduce(Measures.plus, of_minutes), most))
        return True

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
            self.buckets[route] = defaultdict(int, counted)
            return
        for bucket, requests in counted.items():
            sums[bucket] += requests


def read_pieces(
    scope: Scope, source: Plan, ask: Ask, threads: Executor, of_hours: Callable[[Rows], Series]
) -> tuple[Pieces, Series] | None:
    """Return the pieces of `source`, which are read in `threads`, and what `of_hours` makes of their hours.

    The engine reads days, which take the longest, while Python is busy with hours. None: there are more groups than
    MOST_GROUPS.
    """

    def groups(statement: Statement) -> Future[Rows | None]:
        return threads.submit(ask_unless_too_many, statement, ask)

    days, by_hour = pieces_sql.groups_of_days(scope, source), pieces_sql.hours(scope, source)
    of_days = groups(days) if days else None
    hours = threads.submit(ask, by_hour) if by_hour else None
    pieces = Pieces()
    for of_others in [groups(others) for others in pieces_sql.groups_and_times(scope, source)]:
        if not pieces.add(of_others.result()):
            return None
    pieces.hours.extend(hours.result() if hours else ())
    series = of_hours(pieces.hours)
    return (pieces, series) if of_days is None or pieces.add(of_days.result()) else None
