"""The parameters of a timeseries query: text in, one frozen `TimeseriesQuery` out. Pure.

Source of the rules: docs/api.md, "Timeseries API". Every name that can reach SQL as an identifier is in one of the
closed sets here and in `planning.filters`; everything else stays a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from apimetry.query_api.http.query_string import (
    WHOLE_NUMBER,
    collect,
    flag,
    number_in,
    one_of,
    refusal,
    single,
    time_s,
)
from apimetry.query_api.planning.filters import (
    FILTER_PARAMETERS,
    GROUPS,
    STATUS_CLASS,
    AnyFilter,
    columns_of,
    filters_of,
)
from apimetry.query_api.planning.granularity import NAMED_GRANULARITIES, Granularity, named_granularity
from apimetry.query_api.planning.period import checked_comparison
from apimetry.serving.errors import BadRequest

SIMPLE_AGGREGATIONS = ("count", "mean", "min", "max", "sum")
VALUES = ("response_us", "ttfb_us", "request_bytes", "response_bytes")
FILLS = ("zero", "null")
PARAMETERS = (
    "aggregation",
    "value",
    "granularity",
    "group",
    *FILTER_PARAMETERS,
    "fill",
    "limit",
    "completeness",
    "compare",
)
_PERCENTILE = re.compile(r"percentile_([1-9][0-9]?)", re.ASCII)


@dataclass(frozen=True)
class TimeseriesQuery:
    """One query about the events in `[start, end)`, seconds since the epoch, UTC."""

    start: int
    end: int
    aggregation: str = "count"
    value: str = "response_us"
    granularity: Granularity | None = None
    group: str | None = None
    filters: tuple[AnyFilter, ...] = ()
    fill: str | None = None
    limit: int | None = None
    completeness: bool = False
    """Whether the response says which share of the captured events is stored."""

    compare: str | None = None
    """The earlier period (`planning.period`); None: the response has no other period."""

    @property
    def percentile(self) -> int | None:
        """1 to 99; None if the aggregation is no percentile."""
        match = _PERCENTILE.fullmatch(self.aggregation)
        return int(match[1]) if match else None

    @property
    def dimensions(self) -> frozenset[str]:
        """The dimensions that a table needs for this query."""
        group = "status_code" if self.group == STATUS_CLASS else self.group
        return columns_of(self.filters) | ({group} if group else set())

    @property
    def granularity_ms(self) -> int:
        """The size of a bucket in milliseconds; without a granularity, the whole span."""
        return 1000 * (self.granularity.seconds if self.granularity else self.end - self.start)


def parse_timeseries(
    start: str, end: str, parameters: Iterable[tuple[str, str]], *, max_groups: int
) -> TimeseriesQuery:
    """Return the query of a request.

    Args:
        start: first second, from the path.
        end: the second after the last one, from the path.
        parameters: the decoded query string, in its order; an empty value counts as absent.
        max_groups: the largest `limit`.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    start_s, end_s = time_s("start", start), time_s("end", end)
    if start_s >= end_s:
        raise BadRequest(f"start must be before end: start is {start_s}, end is {end_s}")
    values = collect(parameters, PARAMETERS)
    return TimeseriesQuery(
        start=start_s,
        end=end_s,
        aggregation=_aggregation(single(values, "aggregation")),
        value=one_of("value", single(values, "value"), VALUES) or "response_us",
        granularity=_granularity(single(values, "granularity")),
        group=one_of("group", single(values, "group"), GROUPS),
        filters=filters_of(values),
        fill=one_of("fill", single(values, "fill"), FILLS),
        limit=_limit(single(values, "limit"), max_groups),
        completeness=flag(values, "completeness"),
        compare=checked_comparison(single(values, "compare")),
    )


def _aggregation(value: str | None) -> str:
    if value is None:
        return "count"
    if value not in SIMPLE_AGGREGATIONS and not _PERCENTILE.fullmatch(value):
        allowed = ", ".join(SIMPLE_AGGREGATIONS)
        raise refusal("aggregation", value, f"{allowed}, percentile_1 to percentile_99")
    return value


def _granularity(value: str | None) -> Granularity | None:
    if value is None:
        return None
    if value in NAMED_GRANULARITIES:
        return named_granularity(value)
    if not WHOLE_NUMBER.fullmatch(value) or int(value) == 0:
        allowed = ", ".join(NAMED_GRANULARITIES)
        raise refusal("granularity", value, f"{allowed}, or a whole number of seconds, at least 1")
    return Granularity(int(value))


def _limit(value: str | None, max_groups: int) -> int | None:
    if value is None:
        return None
    return number_in("limit", value, range(1, max_groups + 1), "a whole number of groups")
