"""Read the figures of a usage response from the store, so that its parts agree.

A usage response takes several statements. Their figures differ if an insert comes between two of them, or if an
insert has reached the events and not yet every rollup. So the parts are compared (docs/api.md, "What agrees"). If
they do not agree, everything is read again, MOST_READS times in all. Meanwhile inserts into an embedded store wait,
for half a second at most (`Inserts.paused`). If inserts never pause for as long as a reading takes, the
response has the last reading: events that came meanwhile may be in some of its parts and not in others.

The statements of one reading run side by side. Most of a short statement's time is its analysis, for which the engine
uses one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, NamedTuple

from apimetry.query_api.planning.figures import Measures
from apimetry.query_api.planning.time_buckets import GRANULARITIES, Buckets
from apimetry.query_api.usage import sql
from apimetry.query_api.usage.params import DEFAULT_GRANULARITY, Order, UsageQuery, Window
from apimetry.query_api.usage.response import MAX_ROWS
from apimetry.query_api.usage.sql import Dimension, Scope
from apimetry.serving.errors import BadRequest
from apimetry.store.rollups import HOUR_S
from apimetry.store.statement import Ask, Rows

Group = tuple[Any, Measures]
"""The value of a dimension, and the sums over its requests."""

MAX_SORTED_BUCKETS = 1_000_000
"""Buckets in a series that is not sorted by time: nearly two years of minutes."""

MOST_READS = 3
"""Readings at most, until one agrees."""

Again = Callable[[], AbstractContextManager[None]]
"""Returns a context within which a reading is repeated."""

_AT_ONCE = 3
"""Statements of one reading that run at the same time."""

LEAST_PAGE, LARGEST_PAGE = 100, 10_000
"""The least and the most buckets of a page without the parameter `limit`."""


@dataclass(frozen=True)
class Page:
    """A series of buckets, the order of its rows, and the rows of the page."""

    buckets: Buckets
    rows: range
    order: Order


@dataclass(frozen=True)
class Groups:
    """The first rows of a list, and the requests of all its groups, also of groups without a row."""

    rows: tuple[Group, ...] = ()
    requests: int = 0


@dataclass(frozen=True)
class Lists:
    """The lists of one statement."""

    methods: Groups
    statuses: tuple[Group, ...]
    """All of them."""

    routes: Groups
    failed_routes: Groups
    """Sorted by failed requests. Of their measures only requests and errors are set. Not for lists by latency."""


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
        """Return whether every list adds up to the totals."""
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
    """Everything that a usage response says about one scope."""

    breakdowns: Breakdowns
    series: tuple[tuple[int, Measures], ...]
    """The page's buckets by index, also the empty ones."""

    is_whole: bool
    """Whether the page has all buckets."""

    @property
    def agrees(self) -> bool:
        """Return whether the sums of its parts are equal."""
        in_series = sum(measures.requests for _, measures in self.series)
        total = self.breakdowns.total.requests
        return self.breakdowns.agree and (in_series == total if self.is_whole else in_series <= total)


def scope_of(window: Window, application: str, ask: Ask) -> Scope:
    """Return the scope of `window`. Without a start it begins at the second of the application's first event."""
    start = window.start
    if start is None:
        first = ask(sql.first_event(application))
        start = min(first[0][0] // 1_000_000, window.end) if first else window.end
    return Scope(application, start, window.end, window.filters)


def as_last(scope: Scope, ask: Ask, now: int) -> Scope:
    """Return `scope` with `is_last` set where it ends in the hour of `now` and no event is later.

    A rollup then answers for that hour. Otherwise every statement would read all events of the hour.
    """
    is_under_way = scope.end % HOUR_S and scope.end // HOUR_S >= now // HOUR_S
    return replace(scope, is_last=not ask(sql.later(scope))) if is_under_way else scope


def series_page(query: UsageQuery, start: int, end: int) -> Page:
    """Return the page of `query`'s series over `[start, end)`.

    If the query has neither limit nor granularity, the page has the whole series: by the hour, or by the next coarser
    granularity with at most LARGEST_PAGE buckets.
    """
    names = [query.granularity] if query.granularity else GRANULARITIES[GRANULARITIES.index(DEFAULT_GRANULARITY) :]
    series = [Buckets(name, start, end, query.zone) for name in names]
    short_series = (buckets for buckets in series if query.limit is not None or buckets.count <= LARGEST_PAGE)
    buckets = next(short_series, series[-1])
    limit = query.limit or min(max(buckets.count, LEAST_PAGE), LARGEST_PAGE)
    return Page(buckets, range(query.offset, query.offset + limit), query.series_order)


def read_usage(scope: Scope, page: Page, order: Order, ask: Ask, *, again: Again) -> Reading:
    """Return the figures of `scope` with lists in `order`. Its parts agree unless inserts never paused.

    Raises:
        BadRequest: the page is not sorted by time, and has more than MAX_SORTED_BUCKETS buckets.
    """

    def read() -> Reading:
        figures, series = breakdowns(scope, order, ask, lambda: series_rows(scope, page, ask))
        return Reading(figures, tuple(series), len(series) == page.buckets.count)

    return until_agreed(read, again)


def read_usage_before(  # noqa: PLR0913 - what it reads, and how
    scope: Scope, buckets: Buckets, indexes: Sequence[int], order: Order, ask: Ask, *, again: Again
) -> Reading:
    """Return the figures of `scope`, an earlier period, in the buckets `indexes` of the later period, moved to it."""

    def read() -> Reading:
        figures, series = breakdowns(scope, order, ask, lambda: _counterparts(scope, buckets, indexes, ask))
        return Reading(figures, tuple(series), len(series) == buckets.count)

    return until_agreed(read, again)


def until_agreed(read: Callable[[], Reading], again: Again) -> Reading:
    """Return the first reading that agrees, or equals the one before; otherwise the last of MOST_READS.

    All readings but the first are done within `again`.
    """
    reading = read()
    for _ in range(MOST_READS - 1):
        if reading.agrees:
            break
        with again():
            reading, before = read(), reading
        if reading == before:
            break
    return reading


def breakdowns(
    scope: Scope, order: Order, ask: Ask, series: Callable[[], list[Group]]
) -> tuple[Breakdowns, list[Group]]:
    """Return totals and lists, and what `series` returns. Their statements run at the same time."""

    def of_lists() -> tuple[Lists, Mapping[str, Sequence[int]]]:
        by_dimension = _lists(ask(sql.lists(scope, order, limit=MAX_ROWS)))
        return by_dimension, percentiles(scope, [route for route, _ in by_dimension.routes.rows], ask)

    def of_consumers() -> Groups:
        return _groups(ask(sql.groups(scope, "consumer_id", order, limit=MAX_ROWS, counted=True)))

    def of_failed_routes() -> Groups:
        return _groups(ask(sql.groups(replace(scope, failed=True), "route", order, limit=MAX_ROWS)))

    with ThreadPoolExecutor(_AT_ONCE, "apimetry-usage") as threads:
        by_list = threads.submit(of_lists)
        by_consumer = threads.submit(of_consumers)
        total = threads.submit(totals, scope, ask)
        in_series = threads.submit(series)
        # In a list by latency, failed routes are sorted by the latency of failed requests. The lists do not have it.
        by_failed_route = threads.submit(of_failed_routes) if order.sort == "latency" else None
        by_dimension, latencies = by_list.result()
        failed_routes = by_failed_route.result() if by_failed_route else by_dimension.failed_routes
        return Breakdowns(
            *total.result(),
            by_dimension.statuses,
            by_dimension.routes,
            latencies,
            by_dimension.methods,
            by_consumer.result(),
            failed_routes,
        ), in_series.result()


def totals(scope: Scope, ask: Ask) -> tuple[Measures, tuple[int, int]]:
    """Return the sums over all requests, and the most requests in a clock minute and in a clock hour."""
    ((*measures, minute, hour),) = ask(sql.totals(scope))
    return Measures(*measures), (minute, hour)


def groups(scope: Scope, dimension: Dimension, order: Order, ask: Ask, *, limit: int = MAX_ROWS) -> list[Group]:
    """Return the first `limit` groups of requests in `order`."""
    return list(_groups(ask(sql.groups(scope, dimension, order, limit=limit))).rows)


def percentiles(scope: Scope, routes: Sequence[str], ask: Ask) -> dict[str, Sequence[int]]:
    """Return each route's latency in microseconds at each of PERCENTILES."""
    rows = ask(sql.percentiles(scope, routes)) if routes else ()
    return {route: percentiles_us for route, percentiles_us, *_ in rows}


def series_rows(scope: Scope, page: Page, ask: Ask) -> list[tuple[int, Measures]]:
    """Return the buckets of a page, also the empty ones, as (index, measures)."""
    order, rows, total = page.order, page.rows, page.buckets.count
    if order.sort != "timestamp":
        if total > MAX_SORTED_BUCKETS:
            raise BadRequest(
                f"sortBy is {order.sort!r} and there are {total} buckets; at most {MAX_SORTED_BUCKETS} can be sorted:"
                " ask for a coarser granularity, a shorter range, or sortBy=timestamp"
            )
        indexes = range(total)
    else:
        # Sorted by time, the indexes of the page's buckets are known: the statement reads these alone.
        indexes = range(total)[rows.start : rows.stop]
        if order.descending:
            indexes = range(max(0, total - rows.stop), max(0, total - rows.start))
        rows = range(len(indexes))
    if not indexes or rows.start >= total:
        return []
    statement = sql.series(scope, page.buckets, indexes, order, rows)
    return [(index, Measures(*measures)) for index, *measures in ask(statement) if index in indexes]


def _counterparts(scope: Scope, buckets: Buckets, indexes: Sequence[int], ask: Ask) -> list[tuple[int, Measures]]:
    """Return (index, measures) of an earlier period, in the buckets `indexes` of a later period, moved to it."""
    if not indexes:
        return []
    statement = sql.counterparts(scope, buckets, indexes)
    by_index = {index: Measures(*measures) for index, *measures in ask(statement)}
    return [(index, by_index.get(index, Measures())) for index in indexes]


def _groups(rows: Rows) -> Groups:
    return Groups(tuple((key, Measures(*measures)) for key, *measures, _ in rows), rows[0][-1] if rows else 0)


class _ListRow(NamedTuple):
    """A row of `sql.lists`: a group, its places in its list, and the sums over the whole list."""

    key: Any
    measures: Measures
    place: int
    failed_place: int
    """The place by failed requests alone; 0 for a group without any."""

    list_requests: int
    list_errors: int


def _lists(rows: Rows) -> Lists:
    by_list: dict[str, list[_ListRow]] = {"method": [], "status_code": [], "route": []}
    for name, method, status, route, *measures, place, failed_place, requests, errors in rows:
        key = {"method": method, "status_code": status, "route": route}[name]
        by_list[name].append(_ListRow(key, Measures(*measures), place, failed_place, requests, errors))

    def first_rows(name: str) -> Groups:
        first = [row for row in by_list[name] if row.place <= MAX_ROWS]
        return Groups(tuple((row.key, row.measures) for row in first), first[0].list_requests if first else 0)

    failed = sorted(
        (row for row in by_list["route"] if 0 < row.failed_place <= MAX_ROWS), key=lambda row: row.failed_place
    )
    return Lists(
        methods=first_rows("method"),
        statuses=tuple((row.key, row.measures) for row in by_list["status_code"]),
        routes=first_rows("route"),
        failed_routes=Groups(
            tuple((row.key, Measures(row.measures.errors, row.measures.errors)) for row in failed),
            failed[0].list_errors if failed else 0,
        ),
    )
