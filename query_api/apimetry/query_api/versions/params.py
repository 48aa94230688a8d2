"""The parameters of a question for versions: text in, one frozen `VersionsQuery` out. Pure.

Source of the rules: docs/api.md, "Versions".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from apimetry.query_api.http.query_string import collect, number_in, single
from apimetry.query_api.planning.filters import FILTER_PARAMETERS, AnyFilter, filters_of
from apimetry.query_api.planning.time_range import RANGE_PARAMETERS, range_of

KEPT_S: Final = 60
"""Seconds for which an answer is kept."""

MAX_ENTRIES: Final = 200
DEFAULT_ENTRIES: Final = 50
PARAMETERS: Final = (*RANGE_PARAMETERS, "limit", *FILTER_PARAMETERS)


@dataclass(frozen=True)
class VersionsQuery:
    """One query about the versions of events in `[start, end)` seconds that pass all `filters`."""

    start: int
    end: int
    limit: int = DEFAULT_ENTRIES
    filters: tuple[AnyFilter, ...] = ()


def parse_versions(parameters: Iterable[tuple[str, str]], now: int) -> VersionsQuery:
    """Return the query of a query string at `now`, seconds since the epoch. Without `end` it ends up to KEPT_S later.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    values = collect(parameters, PARAMETERS)
    # The same question within some seconds is equal to the first one, whose answer is kept.
    start, end = range_of(values, -(-now // KEPT_S) * KEPT_S)
    limit = number_in("limit", single(values, "limit") or str(DEFAULT_ENTRIES), range(1, MAX_ENTRIES + 1))
    return VersionsQuery(start, end, limit, filters_of(values))
