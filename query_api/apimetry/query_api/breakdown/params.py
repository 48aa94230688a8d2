"""The parameters of a breakdown: text in, one frozen `BreakdownQuery` out. Pure.

Source of the rules: docs/api.md, "Breakdown".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from apimetry.query_api.breakdown.having import CONSUMER, RESTRICTIONS
from apimetry.query_api.breakdown.measures import DEFAULT_MEASURES, MEASURES, SEEN
from apimetry.query_api.breakdown.sparkline import MAX_BUCKETS
from apimetry.query_api.breakdown.sql import Slice
from apimetry.query_api.http.listing import PARAMETERS as PAGE_PARAMETERS
from apimetry.query_api.http.listing import page_parameters
from apimetry.query_api.http.query_string import collect, number_in, one_of, refusal, search_text, single
from apimetry.query_api.planning.calendar import UTC, checked_zone
from apimetry.query_api.planning.filters import FILTER_PARAMETERS, GROUPS, AnyFilter, filters_of
from apimetry.query_api.planning.period import checked_comparison, compared_period
from apimetry.query_api.planning.presentation import PRESENTATION_PARAMETERS, Presentation, presentation_of
from apimetry.query_api.planning.time_range import DAY_S, RANGE_PARAMETERS, range_of
from apimetry.serving.errors import BadRequest

MAX_DIMENSIONS: Final = 3
CONSUMERS_OVER_S: Final = 7 * DAY_S
"""The longest range over which consumers are counted beside other dimensions: events alone know both."""

ORDERS: Final = ("desc", "asc")
CHANGES: Final = tuple(f"change:{name}" for name in MEASURES if name not in SEEN)
"""What sorts by the change of a measure."""

PARAMETERS: Final = (
    *RANGE_PARAMETERS,
    "by",
    "measures",
    "sort",
    "order",
    *PAGE_PARAMETERS,
    "search",
    "compare",
    "series",
    "tz",
    "having",
    *FILTER_PARAMETERS,
    *PRESENTATION_PARAMETERS,
)


@dataclass(frozen=True)
class BreakdownQuery:
    """One table about the events in `[start, end)`, seconds since the epoch, UTC, that pass all `filters`."""

    start: int
    end: int
    by: tuple[str, ...]
    """One to MAX_DIMENSIONS of GROUPS."""

    measures: tuple[str, ...] = DEFAULT_MEASURES
    rows: Slice = Slice()  # noqa: RUF009 - frozen
    search: str | None = None
    """The first dimension contains this text, in small or capital letters."""

    compared: tuple[int, int] | None = None
    """Another period of the same length; None: the response has no other period."""

    series: int = 0
    """Buckets of a sparkline in each row."""

    zone: str = UTC
    """The time zone of the days that those buckets are made of."""

    having: str | None = None
    """One of RESTRICTIONS: which rows stay."""

    filters: tuple[AnyFilter, ...] = ()
    shown: Presentation = Presentation()  # noqa: RUF009 - frozen


def parse_breakdown(parameters: Iterable[tuple[str, str]], now: int) -> BreakdownQuery:
    """Return the query of a query string at `now`, seconds since the epoch.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    values = collect(parameters, PARAMETERS)
    start, end = range_of(values, now)
    shown = presentation_of(values)
    compare = checked_comparison(single(values, "compare"), per_second=shown.per_second)
    query = BreakdownQuery(
        start=start,
        end=end,
        by=_dimensions(single(values, "by")),
        measures=_measures(single(values, "measures")),
        rows=_rows(values, is_compared=compare is not None),
        search=search_text(values),
        compared=None if compare is None else compared_period(compare, start, end),
        series=number_in("series", single(values, "series") or "0", range(MAX_BUCKETS + 1), "a number of buckets"),
        zone=checked_zone(single(values, "tz")),
        having=one_of("having", single(values, "having"), tuple(RESTRICTIONS)),
        filters=filters_of(values),
        shown=shown,
    )
    if query.series and shown.in_rows:
        raise refusal("series", str(query.series), "without format=rows: a timeseries has them as rows")
    if query.having and query.by != CONSUMER:
        raise refusal("having", query.having, "with by=consumer_id alone")
    if (
        "consumers" in (*query.measures, query.rows.measure)
        and query.by != CONSUMER
        and end - start > CONSUMERS_OVER_S
    ):
        raise BadRequest(
            f"consumers beside other dimensions are counted over {(end - start) / DAY_S:.1f} days; allowed: up to"
            f" {CONSUMERS_OVER_S // DAY_S} days, or by=consumer_id alone"
        )
    return query


def _rows(values: dict[str, list[str]], *, is_compared: bool) -> Slice:
    sort = one_of("sort", single(values, "sort"), (*MEASURES, *CHANGES)) or "requests"
    by_change = sort in CHANGES
    if by_change and not is_compared:
        raise refusal("sort", sort, "with compare alone")
    return Slice(
        measure=sort.removeprefix("change:"),
        descending=(one_of("order", single(values, "order"), ORDERS) or "desc") == "desc",
        by_change=by_change,
        page=page_parameters(values),
    )


def _dimensions(text: str | None) -> tuple[str, ...]:
    allowed = f"one to three, each once, of {', '.join(GROUPS)}, with commas between them"
    if text is None:
        raise BadRequest(f"by is missing; allowed: {allowed}")
    return _names("by", text, GROUPS, allowed, most=MAX_DIMENSIONS)


def _measures(text: str | None) -> tuple[str, ...]:
    if text is None:
        return DEFAULT_MEASURES
    allowed = f"each once, of {', '.join(MEASURES)}, with commas between them"
    return _names("measures", text, tuple(MEASURES), allowed, most=len(MEASURES))


def _names(parameter: str, text: str, known: Sequence[str], allowed: str, *, most: int) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if len(names) > most or len(set(names)) < len(names) or not set(names) <= set(known):
        raise refusal(parameter, text, allowed)
    return names
