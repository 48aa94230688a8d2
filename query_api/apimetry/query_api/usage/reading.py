"""Reads the figures of a usage answer from the store, so that its parts agree.

A usage answer takes several statements. Their figures differ if an insert comes between two of them, or if an insert
has reached the events and not yet every rollup. There are two remedies:

- Inserts into an embedded store wait while the statements run, for half a second at most (`Store.between_inserts`).
- The parts are compared (docs/api.md, "What agrees"). If they do not agree, everything is read again, MOST_READS
  times in all. If inserts never pause for as long as a reading takes, the last reading is answered: events that came
  while it was read may be in some of its parts and not in others.

The statements of one reading run side by side. Most of a short statement's time is its analysis, for which the engine
uses one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from apimetry.query_api.planning.buckets import GRANULARITIES, Buckets
from apimetry.query_api.planning.figures import Measures
from apimetry.query_api.usage import sql
from apimetry.query_api.usage.params import DEFAULT_GRANULARITY, Order, UsageQuery, Window
from apimetry.query_api.usage.sql import Dimension, Scope
from apimetry.serving.errors import BadRequest
from apimetry.store.rollups import HOUR_S
from apimetry.store.statement import Ask, Rows

Group = tuple[Any, Measures]
"""The value of a dimension, and what its requests add up to."""

MAX_ROWS = 100
"""Rows in each list (docs/api.md, "Developer usage API")."""

MAX_SORTED_BUCKETS = 1_000_000
"""Buckets that are sorted by something else than time: nearly two years of minutes."""

MOST_READS = 3
"""How often what must agree is read until it does."""

_AT_ONCE = 3
"""Statements of one reading that are asked at the same time."""


LEAST_PAGE, LARGEST_PAGE = 100, 10_000
"""The least and the most buckets of a page whose size was not asked for."""


@dataclass(frozen=True)
class Page:
    """A series of buckets, and which rows of it are asked for in which order."""

    buckets: Buckets
    rows: range
    order: Order


@dataclass(frozen=True)
class Groups:
    """The first rows of a list, and the requests of all its groups, also of those beyond."""

    rows: tuple[Group, ...] = ()
    requests: int = 0


@dataclass(frozen=True)
class Lists:
    """The lists that one statement answers."""

    methods: Groups
    statuses: tuple[Group, ...]
    """All of them."""

    routes: Groups
    failed_routes: Groups
    """By failed requests alone, which of the measures have requests and errors; of no use sorted by latency."""


@dataclass(frozen=True)
class Breakdowns:
    """Totals, and the lists that must add up to them."""

    total: Measures
    peaks: tuple[int, int]
    """The most requests in a clock minute, and in a clock hour."""

    statuses: tuple[Group, ...]
    """All of them."""

    routes: Groups
    percentiles: Mapping[str, Sequence[int]]
    """Latency in microseconds at each of PERCENTILES, of each route in the list."""

    methods: Groups
    consumers: Groups
    failed_routes: Groups
    """Of failed requests alone."""

    @property
    def agree(self) -> bool:
        """Whether every list adds up to the totals."""
        added = reduce(Measures.plus, (measures for _, measures in self.statuses), Measures())
        lists = {self.routes.requests, self.methods.requests, self.consumers.requests}
        return (
            added == self.total
            and lists == {self.total.requests}
            and self.failed_routes.requests == self.total.errors
            and all(route in self.percentiles for route, measures in self.routes.rows if measures.timed)
        )


@dataclass(frozen=True)
class Reading:
    """Everything that a usage answer says about one scope."""

    found: Breakdowns
    series: tuple[tuple[int, Measures], ...]
    """The page's buckets by index, also the empty ones."""

    is_whole: bool
    """Whether the page has all buckets."""

    @property
    def agrees(self) -> bool:
        """Whether its parts are of the same events, as far as their sums tell."""
        in_series = sum(measures.requests for _, measures in self.series)
        total = self.found.total.requests
        return self.found.agree and (in_series == total if self.is_whole else in_series <= total)


def scope_of(window: Window, application: str, ask: Ask) -> Scope:
    """Return the events of `window`; from the second of the first one on where it has no start, if there is any."""
    start = window.start
    if start is None:
        first = ask(sql.first_event(application))
        start = min(first[0][0] // 1_000_000, window.end) if first else window.end
    return Scope(application, start, window.end, window.filters)


def as_last(scope: Scope, ask: Ask, now: int) -> Scope:
    """Return `scope` with what is known of its end: the hour under way counts as whole while nothing is later.

    Without that, all its events would be read, by every statement.
    """
    is_under_way = scope.end % HOUR_S and scope.end // HOUR_S >= now // HOUR_S
    return replace(scope, is_last=not ask(sql.later(scope))) if is_under_way else scope


def page_of(query: UsageQuery, start: int, end: int) -> Page:
    """Return the page of the series over `[start, end)` that `query` asks for.

    Where neither size of the page nor granularity is asked for, the page holds the whole series: by the hour, or by
    the next coarser granularity that has at most LARGEST_PAGE buckets.
    """
    names = [query.granularity] if query.granularity else GRANULARITIES[GRANULARITIES.index(DEFAULT_GRANULARITY) :]
    series = [Buckets(name, start, end) for name in names]
    fitting = (each for each in series if query.limit is not None or each.count <= LARGEST_PAGE)
    buckets = next(fitting, series[-1])
    limit = query.limit or min(max(buckets.count, LEAST_PAGE), LARGEST_PAGE)
    return Page(buckets, range(query.offset, query.offset + limit), query.series_order)


def read_usage(scope: Scope, page: Page, order: Order, ask: Ask) -> Reading:
    """Return the figures of `scope` with lists in `order`, whose parts agree unless inserts never paused.

    Raises:
        BadRequest: more buckets would have to be sorted than MAX_SORTED_BUCKETS.
    """

    def read() -> Reading:
        found, series = breakdowns(scope, order, ask, lambda: series_rows(scope, page, ask))
        return Reading(found, tuple(series), len(series) == page.buckets.count)

    return until_agreed(read)


def read_usage_before(scope: Scope, buckets: Buckets, indexes: Sequence[int], order: Order, ask: Ask) -> Reading:
    """Return the same about `scope`, an earlier period, in the asked period's buckets `indexes`, moved to it."""

    def read() -> Reading:
        found, series = breakdowns(scope, order, ask, lambda: _counterparts(scope, buckets, indexes, ask))
        return Reading(found, tuple(series), len(series) == buckets.count)

    return until_agreed(read)


def until_agreed(read: Callable[[], Reading]) -> Reading:
    """Return the first reading that agrees; else the last of MOST_READS, or one that reading again did not change."""
    reading = read()
    for _ in range(MOST_READS - 1):
        if reading.agrees:
            break
        reading, before = read(), reading
        if reading == before:
            break
    return reading


def breakdowns(
    scope: Scope, order: Order, ask: Ask, series: Callable[[], list[Group]]
) -> tuple[Breakdowns, list[Group]]:
    """Return totals and lists, and what `series` returns, read once and at the same time."""

    def of_lists() -> tuple[Lists, Mapping[str, Sequence[int]]]:
        found = _lists(ask(sql.lists(scope, order, limit=MAX_ROWS)))
        return found, percentiles(scope, [route for route, _ in found.routes.rows], ask)

    def of_consumers() -> Groups:
        return _groups(ask(sql.groups(scope, "consumer_id", order, limit=MAX_ROWS, counted=True)))

    def of_failed_routes() -> Groups:
        return _groups(ask(sql.groups(replace(scope, failed=True), "route", order, limit=MAX_ROWS)))

    with ThreadPoolExecutor(_AT_ONCE, "apimetry-usage") as threads:
        by_list = threads.submit(of_lists)
        by_consumer = threads.submit(of_consumers)
        total = threads.submit(totals, scope, ask)
        in_series = threads.submit(series)
        # Sorted by latency, routes are sorted by that of their failed requests alone, which the lists do not have.
        by_failed_route = threads.submit(of_failed_routes) if order.sort == "latency" else None
        found, latencies = by_list.result()
        failed_routes = by_failed_route.result() if by_failed_route else found.failed_routes
        return Breakdowns(
            *total.result(),
            found.statuses,
            found.routes,
            latencies,
            found.methods,
            by_consumer.result(),
            failed_routes,
        ), in_series.result()


def totals(scope: Scope, ask: Ask) -> tuple[Measures, tuple[int, int]]:
    """Return what all requests add up to, and the most of them in a clock minute and in a clock hour."""
    ((*measures, minute, hour),) = ask(sql.totals(scope))
    return Measures(*measures), (minute, hour)


def groups(scope: Scope, dimension: Dimension, order: Order, ask: Ask, *, limit: int = MAX_ROWS) -> list[Group]:
    """Return the first `limit` groups of requests in `order`."""
    return list(_groups(ask(sql.groups(scope, dimension, order, limit=limit))).rows)


def percentiles(scope: Scope, routes: Sequence[str], ask: Ask) -> dict[str, Sequence[int]]:
    """Return each route's latency in microseconds at each of PERCENTILES."""
    return {route: found_us for route, found_us, *_ in (ask(sql.percentiles(scope, routes)) if routes else ())}


def series_rows(scope: Scope, page: Page, ask: Ask) -> list[tuple[int, Measures]]:
    """Return the buckets of a page, each with its index: also the empty ones."""
    order, rows, total = page.order, page.rows, page.buckets.count
    if order.sort != "timestamp":
        if total > MAX_SORTED_BUCKETS:
            raise BadRequest(
                f"sortBy is {order.sort!r} and there are {total} buckets; at most {MAX_SORTED_BUCKETS} can be sorted:"
                " ask for a coarser granularity, a shorter range, or sortBy=timestamp"
            )
        indexes = range(total)
    else:
        # The page's own buckets are known: nothing else is read.
        indexes = range(total)[rows.start : rows.stop]
        if order.descending:
            indexes = range(max(0, total - rows.stop), max(0, total - rows.start))
        rows = range(len(indexes))
    if not indexes or rows.start >= total:
        return []
    found = ask(sql.series(scope, page.buckets, indexes, order, rows))
    return [(index, Measures(*measures)) for index, *measures in found if index in indexes]


def _counterparts(scope: Scope, buckets: Buckets, indexes: Sequence[int], ask: Ask) -> list[tuple[int, Measures]]:
    """Return the events of an earlier period in the buckets `indexes` of a later one, moved by the time between."""
    if not indexes:
        return []
    statement = sql.counterparts(scope, buckets, indexes)
    found = {index: Measures(*measures) for index, *measures in ask(statement)}
    return [(index, found.get(index, Measures())) for index in indexes]


def _groups(rows: Rows) -> Groups:
    return Groups(tuple((key, Measures(*measures)) for key, *measures, _ in rows), rows[0][-1] if rows else 0)


def _lists(rows: Rows) -> Lists:
    # By list: (key, measures, place, place by failed requests, requests of all, errors of all).
    found: dict[str, list[tuple[Any, Measures, int, int, int, int]]] = {"method": [], "status_code": [], "route": []}
    for name, method, status, route, *measures, place, failed_place, requests, errors in rows:
        key = {"method": method, "status_code": status, "route": route}[name]
        found[name].append((key, Measures(*measures), place, failed_place, requests, errors))

    def in_place(name: str) -> Groups:
        kept = [each for each in found[name] if each[2] <= MAX_ROWS]
        return Groups(tuple(each[:2] for each in kept), kept[0][4] if kept else 0)

    failed = sorted((each for each in found["route"] if 0 < each[3] <= MAX_ROWS), key=lambda each: each[3])
    return Lists(
        methods=in_place("method"),
        statuses=tuple(each[:2] for each in found["status_code"]),
        routes=in_place("route"),
        failed_routes=Groups(
            tuple((route, Measures(each.errors, each.errors)) for route, each, *_ in failed),
            failed[0][5] if failed else 0,
        ),
    )
