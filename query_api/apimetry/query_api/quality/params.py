"""The parameters of a question about completeness: text in, one frozen `QualityQuery` out. Pure.

Source of the rules: docs/api.md, "Data quality".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from apimetry.query_api.http.query_string import WHOLE_NUMBER, collect, refusal, single
from apimetry.query_api.planning.completeness import MINUTE_S
from apimetry.query_api.planning.granularity import NAMED_GRANULARITIES, Granularity, named_granularity
from apimetry.query_api.planning.time_range import RANGE_PARAMETERS, range_of
from apimetry.serving.errors import BadRequest

PARAMETERS = (*RANGE_PARAMETERS, "granularity")
GRANULARITIES = tuple(name for name, seconds in NAMED_GRANULARITIES.items() if seconds % MINUTE_S == 0)
MAX_POINTS = 2000


@dataclass(frozen=True)
class QualityQuery:
    """Reports in `[start, end)`, whole minutes in seconds since the epoch. None is one bucket."""

    start: int
    end: int
    granularity: Granularity | None = None

    @property
    def origin(self) -> int:
        """Return the start of the first bucket."""
        return self.start if self.granularity is None else self.granularity.floor(self.start)

    @property
    def bucket_s(self) -> int:
        """Return the length of a bucket."""
        return self.end - self.start if self.granularity is None else self.granularity.seconds

    @property
    def buckets(self) -> int:
        """Return the number of buckets."""
        return -(-(self.end - self.origin) // self.bucket_s)


def parse_quality(parameters: Iterable[tuple[str, str]], now: int) -> QualityQuery:
    """Return the query of a query string at `now`, seconds since the epoch; its range is widened to whole minutes.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    values = collect(parameters, PARAMETERS)
    start, end = range_of(values, now)
    granularity = _granularity(single(values, "granularity"))
    query = QualityQuery(start // MINUTE_S * MINUTE_S, -(-end // MINUTE_S) * MINUTE_S, granularity)
    if query.buckets > MAX_POINTS:
        raise BadRequest(
            f"The series would have {query.buckets} points; at most {MAX_POINTS} are allowed: ask for a coarser"
            " granularity or a shorter range"
        )
    return query


def _granularity(value: str | None) -> Granularity | None:
    if value is None:
        return None
    if value in GRANULARITIES:
        return named_granularity(value)
    if not WHOLE_NUMBER.fullmatch(value) or int(value) == 0 or int(value) % MINUTE_S:
        raise refusal("granularity", value, f"{', '.join(GRANULARITIES)}, or seconds that are whole minutes")
    return Granularity(int(value))
