"""The parameters of a question what changed: text in, one frozen `ExplainQuery` out. Pure.

Source of the rules: docs/api.md, "Explain".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from apimetry.query_api.http.query_string import collect, number_in, one_of, single
from apimetry.query_api.planning.filters import FILTER_PARAMETERS, AnyFilter, filters_of
from apimetry.query_api.planning.period import PREVIOUS, checked_comparison, compared_period
from apimetry.query_api.planning.time_range import DAY_S, RANGE_PARAMETERS, range_of
from apimetry.serving.errors import BadRequest

METRICS: Final = ("errors", "requests", "errorRate", "meanMs")
DEFAULT_METRIC: Final = "errors"
MAX_DAYS: Final = 31
MAX_CAUSES: Final = 50
DIMENSIONS: Final = ("route", "method", "status_code", "version", "source", "error_type")
CONSUMER: Final = "consumer_id"
DEFAULT_CAUSES: Final = 10
PARAMETERS: Final = (*RANGE_PARAMETERS, "metric", "against", "limit", *FILTER_PARAMETERS)


@dataclass(frozen=True)
class ExplainQuery:
    """One question: why `metric` in `[start, end)` is another than in the range `before`.

    It is about events that pass all `filters`. Times are in seconds since the epoch.
    """

    start: int
    end: int
    before: tuple[int, int]
    metric: str = DEFAULT_METRIC
    limit: int = DEFAULT_CAUSES
    filters: tuple[AnyFilter, ...] = ()
    dimensions: tuple[str, ...] = DIMENSIONS
    """The fields whose values make slices."""

    names_consumers: bool = True
    """Whether the response has slices of single consumers."""


def parse_explain(parameters: Iterable[tuple[str, str]], now: int) -> ExplainQuery:
    """Return the query of a query string at `now`, seconds since the epoch.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    values = collect(parameters, PARAMETERS)
    start, end = range_of(values, now)
    if end - start > MAX_DAYS * DAY_S:
        raise BadRequest(f"The range {start} to {end} is too long; allowed are {MAX_DAYS} days")
    against = checked_comparison(single(values, "against")) or PREVIOUS
    limit = number_in("limit", single(values, "limit") or str(DEFAULT_CAUSES), range(1, MAX_CAUSES + 1))
    metric = one_of("metric", single(values, "metric"), METRICS) or DEFAULT_METRIC
    return ExplainQuery(start, end, compared_period(against, start, end), metric, limit, filters_of(values))
