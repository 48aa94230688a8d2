"""Which tables answer a query: a rollup for the whole hours in the middle, events for the rest. Pure.

A query reads the smallest rollup that has every dimension and measure it needs. The rollup answers for the hours that
lie wholly in the range, if the query's buckets of time are whole hours. Events answer for the rest of an hour at each
edge, so that the answer is exact for any start and end.

Most rollups have rows per day as well. If the buckets of time are whole days in UTC, or there are none, days take the
place of the hours of whole days.

Sums can also be subtracted. Of an hour that is nearly whole, or not over yet, the rollup's row is read, and only the
events beyond the range: these are subtracted. It is the same with the day under way.

Some rollups count requests by minute. For such counts minutes take the place of hours, so that the events at an edge
are those of less than a minute, however many requests there are.

Of recent days some rollups have rows per minute as well. If a query takes them, they answer for the edges up to whole
minutes, and for shorter buckets of time.

Events alone answer short ranges, other buckets of time, queries about URLs, and queries about consumers and one more
dimension. The engine's limits on the time and memory of one statement limit the cost of these queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from apimetry.query_api.planning.granularity import Granularity
from apimetry.store.rollups import DAY_S, HOUR_S, KEPT_MINUTES_S, LAST_HOUR_S, MINUTE_S, ROLLUPS, Rollup

SHORT_S = 2 * HOUR_S
"""Events answer ranges up to this: it is as fast, and percentiles are exact."""

SHORT_MINUTES_S = 10 * MINUTE_S
"""Events answer ranges up to this where a rollup counts by minute."""

LEAST_DAYS_S = 2 * DAY_S
"""The shortest range of whole days that is read as days: one more SELECT takes as long as a day of hours."""

EXACT_S = 24 * HOUR_S
"""Percentiles over longer ranges are estimated, also from events: exact ones need every value in memory."""


@dataclass(frozen=True)
class Needs:
    """What a query needs of a table: `measures` as columns of rollups, over `[start, end)` seconds."""

    dimensions: frozenset[str]
    measures: frozenset[str]
    start: int
    end: int
    granularity: Granularity | None = None
    subtracts: bool = False
    """Whether the measures are sums: then a part of an hour may be the whole hour less the events of the rest."""

    now: int | None = None
    """When the query is asked, in seconds. Nearly all events are earlier. None: not known."""

    quiet_until: int = 0
    """No event lies between `end` and this time, in seconds; 0: not known."""

    takes_minutes: bool = False
    """Whether rows per minute may answer, where `now` is known. Their times are minutes, not hours."""


@dataclass(frozen=True)
class Plan:
    """Events answer for `[start, end)` without `around`; `rollup` answers for the whole hours or minutes of `middle`.

    Where `around` reaches over the range, the events beyond the range are subtracted.
    """

    start: int
    end: int
    rollup: Rollup | None = None
    middle: tuple[int, int] = (0, 0)
    by_minute: bool = False
    days: tuple[int, int] | None = None
    """The whole days within `middle` for which the rollup's rows per day answer; None: hours answer for all."""

    minutes: tuple[int, int] | None = None
    """The whole minutes for which the rollup's rows per minute answer, without `middle`; None: there are none.

    `middle` lies in them, or is empty. Where the rows are not there, events answer for all but `middle`."""

    without: tuple[int, int] | None = None
    """What is left out of `middle`: another plan answers for it. It lies in `days` if there are days."""

    def apart(self, times: tuple[int, int]) -> tuple[Plan, Plan]:
        """Return the plan of a part of `middle`, in whole hours, and of all the rest.

        The part has all days, or its ends are those of days.
        """
        if self.days is None or (times[0] <= self.days[0] and self.days[1] <= times[1]):
            return Plan(*times, self.rollup, times, self.by_minute, self.days), replace(
                self, days=None, without=times
            )
        return Plan(*times, self.rollup, times, self.by_minute, times), replace(self, without=times)

    @property
    def around(self) -> tuple[int, int]:
        """Return what rows of the rollup answer for: what the edges lie around."""
        return self.minutes or self.middle

    @property
    def reads_events(self) -> bool:
        """Return whether events answer for a part of the range."""
        return self.rollup is None or self.minutes is not None or self.middle != (self.start, self.end)

    @property
    def subtracts(self) -> bool:
        """Return whether events beyond the range are subtracted."""
        return self.rollup is not None and (self.around[0] < self.start or self.around[1] > self.end)

    @property
    def estimates(self) -> bool:
        """Return whether percentiles come from latency buckets and not from measured values."""
        return self.rollup is not None or self.end - self.start > EXACT_S


def plan(needs: Needs, rollups: Sequence[Rollup] = ROLLUPS) -> Plan:
    """Return which tables answer; `rollups` are sorted by their number of rows, the smallest first."""
    hourly = _by_hour(needs, rollups)
    if not needs.takes_minutes or needs.now is None or hourly.by_minute:
        return hourly
    rollup = next((rollup for rollup in rollups if rollup.covers(needs.dimensions, needs.measures)), None)
    if rollup is None or not rollup.has_minutes(needs.measures) or not _are_whole(needs.granularity, MINUTE_S):
        return hourly
    middle, minutes = _with_minutes(needs, hourly, needs.now)
    if minutes is None or minutes[0] >= minutes[1]:
        return hourly
    days = _days(needs.granularity, middle, rollup, needs.measures)
    more = None if minutes == middle else minutes
    return Plan(needs.start, hourly.end, rollup, middle, days=days, minutes=more)


def _with_minutes(needs: Needs, hourly: Plan, now: int) -> tuple[tuple[int, int], tuple[int, int] | None]:
    """Return the whole hours, and the whole minutes around them; None for minutes that are not kept, or not worth it.

    Each edge of more than a minute is made of minutes, if they are kept. The hours are those within the range there.
    """
    kept = now - KEPT_MINUTES_S
    first, last = _nearest(needs, MINUTE_S) if needs.subtracts else whole_units(needs.start, hourly.end, MINUTE_S)
    minutes = first, min(last, LAST_HOUR_S)
    start, end = whole_units(needs.start, min(hourly.end, LAST_HOUR_S), HOUR_S)
    if hourly.rollup is None:
        is_short = hourly.end - needs.start <= SHORT_MINUTES_S
        are_hours = start < end and _are_whole(needs.granularity, HOUR_S)
        middle = (start, end) if are_hours else (needs.start, needs.start)
        return middle, None if is_short or needs.start < kept else minutes
    beyond = min(hourly.middle[1], max(hourly.end, now))
    at_start = needs.start >= kept and abs(hourly.middle[0] - needs.start) > MINUTE_S
    at_end = end >= kept and abs(beyond - hourly.end) > MINUTE_S
    middle = (start if at_start else hourly.middle[0], end if at_end else hourly.middle[1])
    minutes = (minutes[0] if at_start else middle[0], minutes[1] if at_end else middle[1])
    return middle, minutes if at_start or at_end else None


def _by_hour(needs: Needs, rollups: Sequence[Rollup]) -> Plan:
    """Return which tables answer without rows per minute."""
    raw = Plan(needs.start, needs.end)
    by_minute, measures = needs.measures == {"requests"} and not _are_whole(needs.granularity, HOUR_S), needs.measures
    if by_minute:
        measures = frozenset({"minutes"})
    unit_s, short_s = (MINUTE_S, SHORT_MINUTES_S) if by_minute else (HOUR_S, SHORT_S)
    end = max(needs.end, _down(needs.quiet_until, HOUR_S))
    middle = _nearest(needs, unit_s) if needs.subtracts else whole_units(needs.start, end, unit_s)
    middle = (middle[0], min(middle[1], LAST_HOUR_S))
    is_short = min(end, _up(needs.end, HOUR_S)) - needs.start <= short_s
    if is_short or middle[0] >= middle[1] or not _are_whole(needs.granularity, unit_s):
        return raw
    for rollup in rollups:
        if rollup.covers(needs.dimensions, measures):
            for hours in (_with_day_under_way(needs, middle), middle):
                days = _days(needs.granularity, hours, rollup, measures)
                if days is not None:
                    return Plan(needs.start, end, rollup, hours, by_minute, days)
            return Plan(needs.start, end, rollup, middle, by_minute)
    return raw


def _days(
    granularity: Granularity | None, middle: tuple[int, int], rollup: Rollup, measures: frozenset[str]
) -> tuple[int, int] | None:
    """Return the whole days in `middle`; None if the rollup has none, if buckets cut them, or if they are too few."""
    start, end = _up(middle[0], DAY_S), _down(middle[1], DAY_S)
    has_days = rollup.has_days(measures) and _are_whole(granularity, DAY_S) and end - start >= LEAST_DAYS_S
    return (start, end) if has_days else None


def _nearest(needs: Needs, unit_s: int) -> tuple[int, int]:
    """Return the middle with the shortest edges. Of an edge in the future only the time up to now counts."""
    inner, outer = _up(needs.start, unit_s), _down(needs.start, unit_s)
    start = outer if needs.start - outer < inner - needs.start else inner
    inner, outer = _down(needs.end, unit_s), _up(needs.end, unit_s)
    beyond = outer if needs.now is None else max(needs.end, min(outer, needs.now))
    return start, outer if beyond - needs.end < needs.end - inner else inner


def _with_day_under_way(needs: Needs, middle: tuple[int, int]) -> tuple[int, int]:
    """Return the middle up to the end of its last day, if at most a minute of that day is beyond the range yet."""
    day_end = min(_up(middle[1], DAY_S), LAST_HOUR_S)
    now = day_end if needs.now is None else needs.now
    is_over = min(day_end, now) - needs.end <= MINUTE_S
    return (middle[0], day_end) if needs.subtracts and is_over else middle


def whole_units(start: int, end: int, unit_s: int) -> tuple[int, int]:
    """Return the whole units that lie in a range; the end comes before the start where there are none."""
    return _up(start, unit_s), _down(end, unit_s)


def _up(time_s: int, unit_s: int) -> int:
    return -(-time_s // unit_s) * unit_s


def _down(time_s: int, unit_s: int) -> int:
    return time_s // unit_s * unit_s


def _are_whole(granularity: Granularity | None, unit_s: int) -> bool:
    """Return whether every bucket begins and ends with a whole `unit_s`."""
    return granularity is None or (granularity.seconds % unit_s == 0 and granularity.origin_s % unit_s == 0)
