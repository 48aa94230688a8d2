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
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import reduce

from apimetry.query_api.planning.figures import Measures
from apimetry.query_api.planning.time_buckets import GRANULARITIES, Buckets
from apimetry.query_api.usage import sql
from apimetry.query_api.usage.hours import added_up, are_whole_hours, by_bucket
from apimetry.query_api.usage.lists import (
    Group,
    Groups,
    Lists,
    in_order,
    percentiles,
    read_consumers,
    read_every_consumer,
    read_failed_routes,
    read_lists,
)
from apimetry.query_api.usage.params import DEFAULT_GRANULARITY, Order, UsageQuery, Window
from apimetry.query_api.usage.pieces import read_pieces
from apimetry.query_api.usage.pieces_sql import plan_of
from apimetry.query_api.usage.sql import Scope
from apimetry.serving.errors import BadRequest
from apimetry.store.rollups import HOUR_S
from apimetry.store.statement import Ask, Rows

Totals = tuple[Measures, tuple[int, int]]
"""The sums over all requests, and the most requests in a clock minute and in a clock hour."""

TotalsAndSeries = tuple[Totals, list[Group]]
Latencies = Mapping[str, Sequence[int]]
"""The latency of routes in microseconds, at each of PERCENTILES."""

_Figures = tuple[Lists, Latencies, Groups, TotalsAndSeries]

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
class OverTime:
    """How totals and a series are read, and how they are made of the rows of `sql.hours`."""

    read: Callable[[], TotalsAndSeries]
    of_hours: Callable[[Rows], TotalsAndSeries] | None = None
    """None: the buckets are not made of whole hours."""


@dataclass(frozen=True)
class Breakdowns:
    """Totals, and the lists that must add up to them."""

    total: Measures
    peaks: tuple[int, int]
    """The most requests in a clock minute, and in a clock hour."""

    statuses: tuple[Group, ...]
    """All of them."""

    routes: Groups
    percentiles: Latencies
    """Those of each route in the list."""

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


def with_day_under_way(scope: Scope, ask: Ask, now: int) -> Scope:
    """Return `scope`, with `quiet_until` where it ends in the hour of `now`: until the next event, or the day's end.

    Rollups then answer for that hour and day. Otherwise every statement would read all events of the hour.
    """
    is_under_way = scope.end % HOUR_S and scope.end // HOUR_S >= now // HOUR_S
    if not is_under_way:
        return scope
    later = ask(sql.next_event(scope))
    return replace(scope, quiet_until=later[0][0] if later else sql.end_of_day(scope.end))


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
        figures, series = breakdowns(scope, order, ask, _over_page(scope, page, ask))
        return Reading(figures, tuple(series), len(series) == page.buckets.count)

    return until_agreed(read, again)


def read_usage_before(  # noqa: PLR0913 - what it reads, and how
    scope: Scope, buckets: Buckets, indexes: Sequence[int], order: Order, ask: Ask, *, again: Again
) -> Reading:
    """Return the figures of `scope`, an earlier period, in the buckets `indexes` of the later period, moved to it."""

    def read() -> Reading:
        figures, series = breakdowns(scope, order, ask, _over_counterparts(scope, buckets, indexes, ask))
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


def breakdowns(scope: Scope, order: Order, ask: Ask, over_time: OverTime) -> tuple[Breakdowns, list[Group]]:
    """Return totals and lists, and a series. Statements run at the same time."""
    with ThreadPoolExecutor(_AT_ONCE, "apimetry-usage") as threads:
        # In a list by latency, failed routes are sorted by the latency of failed requests. The lists do not have it.
        by_failed_route = threads.submit(read_failed_routes, scope, order, ask) if order.sort == "latency" else None
        figures = _of_pieces(scope, order, ask, over_time, threads)
        lists, latencies, consumers, ((total, peaks), series) = figures or _of_statements(
            scope, order, ask, over_time, threads
        )
        failed_routes = by_failed_route.result() if by_failed_route else lists.failed_routes
        return Breakdowns(
            total, peaks, lists.statuses, lists.routes, latencies, lists.methods, consumers, failed_routes
        ), series


def _of_pieces(scope: Scope, order: Order, ask: Ask, over_time: OverTime, threads: Executor) -> _Figures | None:
    """Return the figures that Python adds up; None where there are no pieces, or they have too many groups."""
    source = plan_of(scope) if over_time.of_hours is not None else None
    if source is None or over_time.of_hours is None:
        return None
    by_consumer = threads.submit(read_every_consumer, scope, order, ask)
    read = read_pieces(scope, source, ask, threads, over_time.of_hours)
    if read is None:
        return None
    pieces, totals_and_series = read
    lists = pieces.lists(order)
    latencies = pieces.percentiles(route for route, _ in lists.routes.rows)
    return lists, latencies, by_consumer.result(), totals_and_series


def _of_statements(scope: Scope, order: Order, ask: Ask, over_time: OverTime, threads: Executor) -> _Figures:
    """Return the figures that the engine adds up."""

    def of_lists() -> tuple[Lists, Latencies]:
        lists = read_lists(scope, order, ask)
        return lists, percentiles(scope, [route for route, _ in lists.routes.rows], ask)

    by_list = threads.submit(of_lists)
    by_consumer = threads.submit(read_consumers, scope, order, ask)
    totals_and_series = threads.submit(over_time.read)
    lists, latencies = by_list.result()
    return lists, latencies, by_consumer.result(), totals_and_series.result()


def totals(scope: Scope, ask: Ask) -> Totals:
    """Return the sums over all requests, and the most requests in a clock minute and in a clock hour."""
    ((*measures, minute, hour),) = ask(sql.totals(scope))
    return Measures(*measures), (minute, hour)


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


def _over_page(scope: Scope, page: Page, ask: Ask) -> OverTime:
    if not are_whole_hours(page.buckets):
        return OverTime(lambda: (totals(scope, ask), series_rows(scope, page, ask)))

    def of_hours(rows: Rows) -> TotalsAndSeries:
        sums, nothing = by_bucket(rows, page.buckets), Measures()
        series: list[Group] = [(index, sums.get(index, nothing)) for index in range(page.buckets.count)]
        if page.order.sort != "timestamp":
            series = in_order(series, page.order)
        elif page.order.descending:
            series.reverse()
        return added_up(rows), series[page.rows.start : page.rows.stop]

    return OverTime(lambda: of_hours(ask(sql.hours(scope))), of_hours)


def _over_counterparts(scope: Scope, buckets: Buckets, indexes: Sequence[int], ask: Ask) -> OverTime:
    shift_s = buckets.start - scope.start
    if not are_whole_hours(buckets, shift_s):
        return OverTime(lambda: (totals(scope, ask), _counterparts(scope, buckets, indexes, ask)))

    def of_hours(rows: Rows) -> TotalsAndSeries:
        sums, nothing = by_bucket(rows, buckets, shift_s), Measures()
        return added_up(rows), [(index, sums.get(index, nothing)) for index in indexes]

    return OverTime(lambda: of_hours(ask(sql.hours(scope))), of_hours)


def _counterparts(scope: Scope, buckets: Buckets, indexes: Sequence[int], ask: Ask) -> list[tuple[int, Measures]]:
    """Return (index, measures) of an earlier period, in the buckets `indexes` of a later period, moved to it."""
    if not indexes:
        return []
    statement = sql.counterparts(scope, buckets, indexes)
    by_index = {index: Measures(*measures) for index, *measures in ask(statement)}
    return [(index, by_index.get(index, Measures())) for index in indexes]
