"""The parameters of a distribution: text in, one frozen `LatencyQuery` out. Pure.

Source of the rules: docs/api.md, "Latency".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from apimetry.query_api.http.query_string import MAX_TIME_S, collect, number_in, refusal, single
from apimetry.query_api.planning.filters import FILTER_PARAMETERS, AnyFilter, filters_of
from apimetry.query_api.planning.granularity import NAMED_GRANULARITIES, Granularity, named_granularity
from apimetry.query_api.planning.period import checked_comparison, compared_period
from apimetry.query_api.planning.time_range import RANGE_PARAMETERS, range_of
from apimetry.store.rollups import BUCKETS_PER_DOUBLING

PARAMETERS = (*RANGE_PARAMETERS, *FILTER_PARAMETERS, "value", "granularity", "resolution", "compare")
VALUES = ("response_us", "ttfb_us", "request_bytes", "response_bytes")
RESOLUTIONS = (3, 6, 9, 18)
"""Latency buckets per doubling. Each of them divides the 18 of the rollups."""


@dataclass(frozen=True)
class LatencyQuery:
    """One query about `value` of the events in `[start, end)`, seconds since the epoch, that pass all `filters`."""

    start: int
    end: int
    filters: tuple[AnyFilter, ...] = ()
    value: str = "response_us"
    granularity: Granularity | None = None
    """The buckets of time; None: one histogram of the whole range."""

    resolution: int = RESOLUTIONS[0]
    compared: tuple[int, int] | None = None
    """An earlier period of the same length; None: the response has no other period."""

    @property
    def width(self) -> int:
        """Return how many latency buckets of the rollups make one of the response."""
        return BUCKETS_PER_DOUBLING // self.resolution

    @property
    def earlier(self) -> LatencyQuery | None:
        """Return the query about the earlier period, if there is one."""
        if self.compared is None:
            return None
        start, end = self.compared
        granularity = self.granularity.moved(self.start - start) if self.granularity else None
        return replace(self, start=start, end=end, granularity=granularity, compared=None)


def parse_latency(parameters: Iterable[tuple[str, str]], now: int) -> LatencyQuery:
    """Return the query of a query string at `now`, seconds since the epoch.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    values = collect(parameters, PARAMETERS)
    start, end = range_of(values, now)
    value = single(values, "value") or VALUES[0]
    if value not in VALUES:
        raise refusal("value", value, ", ".join(VALUES))
    resolution = single(values, "resolution") or str(RESOLUTIONS[0])
    if resolution not in map(str, RESOLUTIONS):
        raise refusal("resolution", resolution, ", ".join(map(str, RESOLUTIONS)))
    compare = checked_comparison(single(values, "compare"))
    return LatencyQuery(
        start=start,
        end=end,
        filters=filters_of(values),
        value=value,
        granularity=_granularity(single(values, "granularity")),
        resolution=int(resolution),
        compared=None if compare is None else compared_period(compare, start, end),
    )


def _granularity(text: str | None) -> Granularity | None:
    if text is None:
        return None
    if text in NAMED_GRANULARITIES:
        return named_granularity(text)
    if not text.isdecimal():
        allowed = ", ".join(NAMED_GRANULARITIES)
        raise refusal("granularity", text, f"{allowed}, or a whole number of seconds, at least 1")
    return Granularity(number_in("granularity", text, range(1, MAX_TIME_S + 1)))
