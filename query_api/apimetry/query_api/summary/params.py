"""The parameters of a summary: text in, one frozen `SummaryQuery` out. Pure.

Source of the rules: docs/api.md, "Summary".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from apimetry.query_api.http.query_string import collect, flag, number_in, single
from apimetry.query_api.planning.calendar import checked_zone
from apimetry.query_api.planning.filters import FILTER_PARAMETERS, AnyFilter, filters_of
from apimetry.query_api.planning.period import checked_comparison, compared_period
from apimetry.query_api.planning.time_range import RANGE_PARAMETERS, per_second_of, range_of
from apimetry.store.accounts.records import MAX_TARGET_MS

PARAMETERS = (*RANGE_PARAMETERS, "unit", *FILTER_PARAMETERS, "compare", "completeness", "target_ms", "tz")


@dataclass(frozen=True)
class SummaryQuery:
    """One query about the events in `[start, end)`, seconds since the epoch, UTC, that pass all `filters`."""

    start: int
    end: int
    filters: tuple[AnyFilter, ...] = ()
    target_ms: int | None = None
    """The response time that requests are meant to keep; None: the application's target."""

    compared: tuple[int, int] | None = None
    """An earlier period of the same length; None: the response has no other period."""

    per_second: int = 1
    """How many units of the times in the response are in a second."""

    completeness: bool = False
    """Whether the response says which share of the captured events is stored."""

    @property
    def earlier(self) -> SummaryQuery | None:
        """Return the query about the earlier period, if there is one."""
        if self.compared is None:
            return None
        start, end = self.compared
        return replace(self, start=start, end=end, compared=None, completeness=False)


def parse_summary(parameters: Iterable[tuple[str, str]], now: int) -> SummaryQuery:
    """Return the query of a query string at `now`, seconds since the epoch.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    values = collect(parameters, PARAMETERS)
    start, end = range_of(values, now)
    # No figure depends on the zone: minutes are the same in all of them.
    checked_zone(single(values, "tz"))
    compare = checked_comparison(single(values, "compare"), per_second=per_second_of(values))
    target = single(values, "target_ms")
    return SummaryQuery(
        start=start,
        end=end,
        filters=filters_of(values),
        target_ms=None if target is None else number_in("target_ms", target, range(1, MAX_TARGET_MS + 1)),
        compared=None if compare is None else compared_period(compare, start, end),
        per_second=per_second_of(values),
        completeness=flag(values, "completeness"),
    )
