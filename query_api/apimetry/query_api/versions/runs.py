"""Join the hours in which a version served to runs, which end with a pause in which other versions served. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby


@dataclass(frozen=True)
class Hour:
    """What a version did in one hour. `hour` counts from the epoch; times are in microseconds."""

    version: str
    hour: int
    requests: int
    errors: int
    sources: Sequence[str]
    first_us: int
    last_us: int
    is_exact: int
    """1 or 0: whether the times are those of events, and not the beginning of the hour."""


@dataclass(frozen=True)
class Run:
    """The hours of a version without a pause in which others served."""

    hours: tuple[Hour, ...]
    is_return: bool = False
    """Whether an earlier run of the version is known."""

    is_after_others: bool = False
    """Whether other versions served in an earlier hour."""

    @property
    def version(self) -> str:
        """Return the version."""
        return self.hours[0].version

    @property
    def begun(self) -> tuple[str, int]:
        """Return the version and its first hour."""
        return self.version, self.hours[0].hour

    @property
    def requests(self) -> int:
        """Return the requests of all hours."""
        return sum(hour.requests for hour in self.hours)

    @property
    def errors(self) -> int:
        """Return the failed requests of all hours."""
        return sum(hour.errors for hour in self.hours)

    @property
    def sources(self) -> list[str]:
        """Return the sources of all hours, in the order of the alphabet."""
        return sorted({source for hour in self.hours for source in hour.sources})

    @property
    def first_us(self) -> int:
        """Return the time of the first request."""
        return self.hours[0].first_us

    @property
    def last_us(self) -> int:
        """Return the time of the last request in the last hour."""
        return self.hours[-1].last_us

    def exact_in(self, hour: int, first_us: int, last_us: int) -> Run:
        """Return the run with exact times in one hour of it."""
        return replace(
            self,
            hours=tuple(
                replace(own, first_us=first_us, last_us=last_us, is_exact=True) if own.hour == hour else own
                for own in self.hours
            ),
        )


def runs_of(hours: Iterable[Hour]) -> list[Run]:
    """Return the runs of all versions, of hours that are sorted by version and hour."""
    of_all = list(hours)
    served = sorted({hour.hour for hour in of_all})
    runs: list[Run] = []
    for _, of_version in groupby(of_all, key=lambda hour: hour.version):
        runs += _runs_of_version(list(of_version), served)
    return runs


def _runs_of_version(hours: Sequence[Hour], served: Sequence[int]) -> list[Run]:
    """Return the runs of one version; `served` are the hours in which any version served."""
    beginnings = [0, *(n for n in range(1, len(hours)) if _others_between(hours[n - 1].hour, hours[n].hour, served))]
    return [
        Run(
            tuple(hours[beginning:end]),
            is_return=number > 0,
            is_after_others=served[0] < hours[beginning].hour,
        )
        for number, (beginning, end) in enumerate(zip(beginnings, [*beginnings[1:], len(hours)], strict=True))
    ]


def _others_between(hour: int, later: int, served: Sequence[int]) -> bool:
    """Return whether any version served in an hour between two hours, in which the version itself did not."""
    following = bisect_right(served, hour)
    return following < len(served) and served[following] < later
