"""The parameters of a timeseries query: text in, one frozen `TimeseriesQuery` out. Pure.

Source of the rules: docs/api.md, "Timeseries API". Every name that can reach SQL as an identifier is in one of the
closed sets here and in `planning.filters`; everything else stays a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from apimetry.query_api.http.query_string import (
    WHOLE_NUMBER,
    collect,
    flag,
    number_in,
    one_of,
    refusal,
    several,
    single,
)
from apimetry.query_api.planning.bucket_sql import AnyGranularity
from apimetry.query_api.planning.calendar import CALENDAR_UNITS, MONTH, UTC, Calendar, checked_zone
from apimetry.query_api.planning.filters import (
    FILTER_PARAMETERS,
    GROUPS,
    AnyFilter,
    column_of,
    columns_of,
    filters_of,
)
from apimetry.query_api.planning.granularity import NAMED_GRANULARITIES, Granularity, named_granularity
from apimetry.query_api.planning.period import checked_comparison
from apimetry.query_api.planning.presentation import PRESENTATION_PARAMETERS, Presentation, presentation_of
from apimetry.query_api.planning.time_range import checked_range, time_in

SIMPLE_AGGREGATIONS = ("count", "mean", "min", "max", "sum")
CONSUMERS = "consumers"
"""The aggregation that counts distinct consumers. It needs the events by consumer, so it stands alone."""

ADDED_UP = ("count", "sum")
"""The aggregations of several groups together that are the sums of the groups' own."""

MAX_AGGREGATIONS = 5
MAX_GROUPINGS = 2
VALUES = ("response_us", "ttfb_us", "request_bytes", "response_bytes")
FILLS = ("zero", "null")
NAMED = (*NAMED_GRANULARITIES, MONTH)
"""The granularities with a name."""

PARAMETERS = (
    "aggregation",
    "value",
    "granularity",
    "tz",
    "group",
    *FILTER_PARAMETERS,
    "fill",
    "limit",
    "rest",
    "completeness",
    "compare",
    *PRESENTATION_PARAMETERS,
)
PERCENTILE_PATTERN = r"percentile_(0\.[1-9]|[1-9][0-9]?(\.[0-9])?)"
_PERCENTILE = re.compile(PERCENTILE_PATTERN, re.ASCII)


@dataclass(frozen=True)
class Keys:
    """Events whose `fields` together are one of `keys`; with `excludes`, none of them."""

    fields: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]
    excludes: bool = False


@dataclass(frozen=True)
class TimeseriesQuery:
    """One query about the events in `[start, end)`, seconds since the epoch, UTC."""

    start: int
    end: int
    aggregations: tuple[str, ...] = ("count",)
    value: str = "response_us"
    granularity: AnyGranularity | None = None
    groups: tuple[str, ...] = ()
    filters: tuple[AnyFilter, ...] = ()
    fill: str | None = None
    limit: int | None = None
    rest: bool = False
    """Whether the response also has the groups beyond the limit, added up. Without a limit there are none."""

    completeness: bool = False
    """Whether the response says which share of the captured events is stored."""

    compare: str | None = None
    """The earlier period (`planning.period`); None: the response has no other period."""

    shown: Presentation = Presentation()  # noqa: RUF009 - frozen
    keys: Keys | None = None
    """No parameter: the groups that the answer of another query has."""

    @property
    def omits(self) -> bool:
        """Return whether there may be groups beyond the limit."""
        return bool(self.groups) and self.limit is not None

    @property
    def percentiles(self) -> tuple[Fraction, ...]:
        """Return the numbers of the aggregations that are percentiles."""
        numbers = map(percentile_of, self.aggregations)
        return tuple(number for number in numbers if number is not None)

    @property
    def dimensions(self) -> frozenset[str]:
        """Return the dimensions that a table needs for this query."""
        counted = ("consumer_id",) if CONSUMERS in self.aggregations else ()
        fields = (*self.groups, *(self.keys.fields if self.keys else ()), *counted)
        return columns_of(self.filters) | {column_of(field) for field in fields}

    @property
    def granularity_ms(self) -> int:
        """Return the usual size of a bucket in milliseconds; without a granularity, the whole span."""
        if isinstance(self.granularity, Calendar):
            return 1000 * self.granularity.nominal_s
        return 1000 * (self.granularity.seconds if self.granularity else self.end - self.start)


def percentile_of(aggregation: str) -> Fraction | None:
    """Return the number of a percentile, 0.1 to 99.9; None if the aggregation is no percentile."""
    match = _PERCENTILE.fullmatch(aggregation)
    return Fraction(match[1]) if match else None


def parse_timeseries(
    start: str, end: str, parameters: Iterable[tuple[str, str]], *, max_groups: int
) -> TimeseriesQuery:
    """Return the query of a request.

    Args:
        start: first second, from the path, or a time in milliseconds with `unit=ms`.
        end: the second after the last one, from the path, likewise.
        parameters: the decoded query string, in its order; an empty value counts as absent.
        max_groups: the largest `limit`.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    values = collect(parameters, PARAMETERS)
    shown = presentation_of(values)
    start_s, end_s = checked_range(
        time_in("start", start, shown.per_second), time_in("end", end, shown.per_second, rounds_up=True)
    )
    zone = checked_zone(single(values, "tz"))
    return _checked(
        TimeseriesQuery(
            start=start_s,
            end=end_s,
            aggregations=_aggregations(values),
            value=one_of("value", single(values, "value"), VALUES) or "response_us",
            granularity=_granularity(single(values, "granularity"), zone),
            groups=several(values, "group", GROUPS, MAX_GROUPINGS),
            filters=filters_of(values),
            fill=one_of("fill", single(values, "fill"), FILLS),
            limit=_limit(single(values, "limit"), max_groups),
            rest=flag(values, "rest"),
            completeness=flag(values, "completeness"),
            compare=checked_comparison(single(values, "compare"), per_second=shown.per_second),
            shown=shown,
        )
    )


def _checked(query: TimeseriesQuery) -> TimeseriesQuery:
    others = [name for name in query.aggregations if name not in ADDED_UP]
    if query.rest and others:
        raise refusal("rest", "1", f"with the aggregations {' and '.join(ADDED_UP)}, not {others[0]}")
    if query.completeness and query.shown.in_rows:
        raise refusal("completeness", "1", "without format=rows, which has no place for it")
    return query


def _aggregations(values: dict[str, list[str]]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(values["aggregation"]))
    for name in names:
        if name not in (*SIMPLE_AGGREGATIONS, CONSUMERS) and percentile_of(name) is None:
            allowed = (
                f"{', '.join(SIMPLE_AGGREGATIONS)}, {CONSUMERS},"
                " percentile_1 to percentile_99, with one decimal: percentile_99.9"
            )
            raise refusal("aggregation", name, allowed)
    if CONSUMERS in names and len(names) > 1:
        raise refusal("aggregation", ", ".join(names), f"{CONSUMERS} alone, or others without it")
    if len(names) > MAX_AGGREGATIONS:
        raise refusal("aggregation", ", ".join(names), f"up to {MAX_AGGREGATIONS} of them")
    return names or ("count",)


def _granularity(value: str | None, zone: str) -> AnyGranularity | None:
    if value is None:
        return None
    if value == MONTH or (value in CALENDAR_UNITS and zone != UTC):
        return Calendar(value, zone)
    if value in NAMED_GRANULARITIES:
        return named_granularity(value)
    if not WHOLE_NUMBER.fullmatch(value) or int(value) == 0:
        raise refusal("granularity", value, f"{', '.join(NAMED)}, or a whole number of seconds, at least 1")
    return Granularity(int(value))


def _limit(value: str | None, max_groups: int) -> int | None:
    if value is None:
        return None
    return number_in("limit", value, range(1, max_groups + 1), "a whole number of groups")
