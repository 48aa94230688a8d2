"""The parameters of a usage query: text in, one frozen `UsageQuery` out. Pure.

Source of the rules: docs/api.md, "Developer usage API".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from apimetry.query_api.http.query_string import collect, flag, number_in, one_of, refusal, single, time_s
from apimetry.query_api.planning.calendar import UTC, checked_zone
from apimetry.query_api.planning.filters import FILTER_PARAMETERS, AnyFilter, filters_of
from apimetry.query_api.planning.period import checked_comparison
from apimetry.query_api.planning.time_buckets import GRANULARITIES
from apimetry.serving.errors import BadRequest

Sort = Literal["requests", "errors", "latency", "timestamp"]

ALL = "all"
# A day has 86,400 s and a year 365 days: these windows follow no calendar.
TIMEFRAMES_S = {
    "1h": 3600,
    "24h": 86_400,
    "7d": 7 * 86_400,
    "30d": 30 * 86_400,
    "90d": 90 * 86_400,
    "1y": 365 * 86_400,
}
TIMEFRAMES = (*TIMEFRAMES_S, ALL)
SORTS: tuple[Sort, ...] = ("requests", "errors", "latency", "timestamp")
ORDERS = ("desc", "asc")
FILTERS = ("consumer_id", "route", "method", "status_code")
WINDOW_PARAMETERS = ("timeframe", "start", "end", *FILTERS, *FILTER_PARAMETERS)
PARAMETERS = (
    "timeframe",
    "granularity",
    "tz",
    "sortBy",
    "order",
    "limit",
    "offset",
    "start",
    "end",
    *FILTERS,
    *FILTER_PARAMETERS,
    "completeness",
    "compare",
)

DEFAULT_TIMEFRAME = "24h"
DEFAULT_GRANULARITY = "hour"
MAX_LIMIT = 1000
MAX_OFFSET = 9_999_999_999


@dataclass(frozen=True)
class Order:
    """How rows are sorted. Only buckets can be sorted by `timestamp`."""

    sort: Sort
    descending: bool


@dataclass(frozen=True)
class Window:
    """The events of a query: in `[start, end)`, seconds since the epoch, and passing all `filters`."""

    start: int | None
    """None: from the first event on."""

    end: int
    filters: tuple[AnyFilter, ...] = ()


@dataclass(frozen=True)
class UsageQuery:
    """One query about an application's usage."""

    window: Window
    granularity: str | None = None
    """One of GRANULARITIES; None: by the hour, or coarser (`reading.series_page`)."""

    zone: str = UTC
    """The time zone in which days, weeks and months begin."""

    sort: Sort | None = None
    """The parameter `sortBy`. None: lists by requests, the series by time."""

    descending: bool = True
    limit: int | None = None
    """None: the whole series, or as much as `reading.series_page` says."""

    offset: int = 0
    completeness: bool = False
    """Whether the response says which share of the captured requests is stored."""

    compare: str | None = None
    """The earlier period (`planning.period`); None: the response has no other period."""

    @property
    def list_order(self) -> Order:
        """Return how lists are sorted. Their rows have no time: with `timestamp`, the most requests come first."""
        if self.sort == "timestamp":
            return Order("requests", descending=True)
        return Order(self.sort or "requests", self.descending)

    @property
    def series_order(self) -> Order:
        """Return how the series is sorted: ascending in time by default."""
        return Order(self.sort, self.descending) if self.sort else Order("timestamp", descending=False)


def parse_usage(parameters: Iterable[tuple[str, str]], now: int) -> UsageQuery:
    """Return the query of a query string at `now`, seconds since the epoch.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    values = collect(parameters, PARAMETERS)
    order = one_of("order", single(values, "order"), ORDERS) or "desc"
    compare = checked_comparison(single(values, "compare"))
    window, limit = _window(values, now), single(values, "limit")
    if compare and window.start is None:
        raise BadRequest(f"compare is {compare!r} and timeframe is {ALL!r}, before which there is nothing")
    return UsageQuery(
        window=window,
        granularity=one_of("granularity", single(values, "granularity"), GRANULARITIES),
        zone=checked_zone(single(values, "tz")),
        sort=_sort(single(values, "sortBy")),
        descending=order == "desc",
        limit=None if limit is None else number_in("limit", limit, range(1, MAX_LIMIT + 1)),
        offset=number_in("offset", single(values, "offset") or "0", range(MAX_OFFSET + 1)),
        completeness=flag(values, "completeness"),
        compare=compare,
    )


def parse_window(parameters: Iterable[tuple[str, str]], now: int) -> Window:
    """Return the window of a query string that has WINDOW_PARAMETERS alone.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    return _window(collect(parameters, WINDOW_PARAMETERS), now)


def _window(values: dict[str, list[str]], now: int) -> Window:
    timeframe = one_of("timeframe", single(values, "timeframe"), TIMEFRAMES)
    start, end = single(values, "start"), single(values, "end")
    filters = filters_of(values, FILTERS)
    if start is None and end is None:
        timeframe = timeframe or DEFAULT_TIMEFRAME
        return Window(None if timeframe == ALL else now - TIMEFRAMES_S[timeframe], now, filters)
    if timeframe is not None:
        raise refusal("timeframe", timeframe, "either timeframe or start and end")
    if start is None:
        raise BadRequest(f"end is {end!r} and start is missing; allowed: start alone (until now), or both")
    start_s, end_s = time_s("start", start), now if end is None else time_s("end", end)
    if start_s >= end_s:
        raise BadRequest(f"start must be before end: start is {start_s}, end is {end_s}")
    return Window(start_s, end_s, filters)


def _sort(value: str | None) -> Sort | None:
    one_of("sortBy", value, SORTS)
    return next((sort for sort in SORTS if sort == value), None)
