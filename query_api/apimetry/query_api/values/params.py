"""The parameters of a question for values: text in, one frozen `ValuesQuery` out. Pure.

Source of the rules: docs/api.md, "Values".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from apimetry.query_api.http.query_string import collect, number_in, one_of, search_text, single
from apimetry.query_api.planning.filters import DIMENSIONS, FILTER_PARAMETERS, AnyFilter, filters_of
from apimetry.query_api.planning.time_range import DAY_S, RANGE_PARAMETERS, range_of
from apimetry.serving.errors import BadRequest

KEPT_S: Final = 30
"""Seconds for which an answer is kept."""

MAX_VALUES: Final = 50
DEFAULT_VALUES: Final = 20
PARAMETERS: Final = ("field", "search", *RANGE_PARAMETERS, "limit", *FILTER_PARAMETERS)


@dataclass(frozen=True)
class ValuesQuery:
    """One query about the values of `field`, of events in `[start, end)` seconds that pass all `filters`."""

    field: str
    start: int
    end: int
    search: str | None = None
    """The values contain this text, in small or capital letters."""

    limit: int = DEFAULT_VALUES
    filters: tuple[AnyFilter, ...] = ()


def parse_values(parameters: Iterable[tuple[str, str]], now: int) -> ValuesQuery:
    """Return the query of a query string at `now`, seconds since the epoch. Without `end` it ends up to KEPT_S later.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    values = collect(parameters, PARAMETERS)
    # The same question within some seconds is equal to the first one, whose answer is kept.
    until = -(-now // KEPT_S) * KEPT_S
    start, end = range_of(values, until, default_s=7 * DAY_S)
    field = one_of("field", single(values, "field"), DIMENSIONS)
    if field is None:
        raise BadRequest(f"field is missing; allowed: {', '.join(DIMENSIONS)}")
    return ValuesQuery(
        field=field,
        start=start,
        end=end,
        search=search_text(values),
        limit=number_in("limit", single(values, "limit") or str(DEFAULT_VALUES), range(1, MAX_VALUES + 1)),
        filters=filters_of(values),
    )
