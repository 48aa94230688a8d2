"""The parameters of a breakdown: text in, one frozen `BreakdownQuery` out. Pure.

Source of the rules: docs/api.md, "Breakdown".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from apimetry.query_api.breakdown.measures import DEFAULT_MEASURES, MEASURES
from apimetry.query_api.breakdown.sql import Slice
from apimetry.query_api.http.listing import PARAMETERS as PAGE_PARAMETERS
from apimetry.query_api.http.listing import page_parameters
from apimetry.query_api.http.query_string import collect, one_of, refusal, single
from apimetry.query_api.planning.filters import FILTER_PARAMETERS, GROUPS, AnyFilter, filters_of
from apimetry.query_api.planning.time_range import RANGE_PARAMETERS, range_of
from apimetry.serving.errors import BadRequest

MAX_DIMENSIONS: Final = 3
MAX_SEARCH_CHARACTERS: Final = 200
ORDERS: Final = ("desc", "asc")
PARAMETERS: Final = (
    *RANGE_PARAMETERS,
    "by",
    "measures",
    "sort",
    "order",
    *PAGE_PARAMETERS,
    "search",
    *FILTER_PARAMETERS,
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

    filters: tuple[AnyFilter, ...] = ()


def parse_breakdown(parameters: Iterable[tuple[str, str]], now: int) -> BreakdownQuery:
    """Return the query of a query string at `now`, seconds since the epoch.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    values = collect(parameters, PARAMETERS)
    start, end = range_of(values, now)
    return BreakdownQuery(
        start=start,
        end=end,
        by=_dimensions(single(values, "by")),
        measures=_measures(single(values, "measures")),
        rows=_rows(values),
        search=_search(single(values, "search")),
        filters=filters_of(values),
    )


def _rows(values: dict[str, list[str]]) -> Slice:
    return Slice(
        measure=one_of("sort", single(values, "sort"), tuple(MEASURES)) or "requests",
        descending=(one_of("order", single(values, "order"), ORDERS) or "desc") == "desc",
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


def _search(text: str | None) -> str | None:
    if text is not None and len(text) > MAX_SEARCH_CHARACTERS:
        raise refusal("search", text, f"up to {MAX_SEARCH_CHARACTERS} characters")
    return text
