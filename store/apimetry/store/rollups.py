"""Describe the rollups: figures per minute, hour and day, so that queries do not read the events.

The rollups are four tables of hours by some dimensions, three tables of days (in UTC), and a table of recent minutes.
`migrations` makes the tables, and the views that fill the hours and minutes from inserted events:

- `hourly_totals`: the whole application, every route, every method and every status (`dimension` names the kind of
  row); all measures; some dozen rows an hour.
- `hourly_origins`: route, method, status, function, source, version and error type; no buckets.
- `hourly_routes`: the same by route, method and status, summed from the rows that enter `hourly_origins`.
- `hourly_consumers`: consumer alone; requests, errors, latency and bytes.
- `daily_totals`, `daily_routes`, `daily_consumers`: the rows of a day's hours in one row, without `minutes`. Views
  sum them from the rows that enter the tables of hours, so no event is grouped once more.
- `minute_totals`: the rows of `hourly_totals` by the minute; requests, errors, response time with its buckets.
  It has the rows of today and of the three days before, in UTC. Its view leaves older events out.

URLs and combinations with consumers have no rollup: nearly every event would be a row of its own. Percentiles of a
combination of route, method and status have no rollup either: their buckets would take most of an insert's time.

Invariants:
- Every count is a sum of `sample_weight`. A null X (times, sizes) is in no measure of X: `X_weight` counts the
  requests that have X. Where no request has X, `X_min` is 2^64 - 1 and `X_max` is 0.
- `X_buckets` maps bucket b = floor(18 * log2(X + 1)) to the requests in the bucket. 18 buckets double the value, so a
  bucket is 2^(1/18) = 1.0393 wide. With l and h its lowest and highest whole number, 2lh / (l + h) is within
  (h - l) / (h + l) of both: 1.93 % for large values, 1.96 % at worst (25 and 26 share a bucket). Below 25 every value
  has its own bucket. The last bucket holds all values from 2^40 on: twelve days, or a terabyte.
- `minutes` maps the minute of the hour, 0 to 59, to the requests of the minute.
- The engine merges rows of one key some time later, so a query must sum them.
- The engine removes a row after its day and the longest retention of the row's events: hours and days leave together.
- The rows of a day are whole from the day in `whole_days` on (`m0014_days`); 0 for a database that began with them.
  The same is true of minutes and `whole_minutes` (`m0017_minutes`).

The cost of an insert determined the tables. The engine groups every event once per table that is filled from events,
and every group costs its columns. So buckets are counted in arrays, where an event costs one addition, and only for
the few groups of `hourly_totals`. Buckets in the grouping key, or in a map per event, cost several times the insert.
An insert of several days has few hours, but many minutes, and an array for each would take gigabytes. So the buckets
of minutes are collected as one number per event, sorted, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
MINUTE_S: Final = 60

BUCKETS_PER_DOUBLING: Final = 18
"""Bucket b holds the values x with floor(18 * log2(x + 1)) = b, so that its middle is within 2 % of all of them."""

LAST_BUCKET: Final = 40 * BUCKETS_PER_DOUBLING
"""The bucket of all values from 2^40 on."""

LATEST_S: Final = 2**32 - 1
"""The last second that a DateTime holds, in 2106."""

LAST_HOUR_S: Final = LATEST_S // HOUR_S * HOUR_S
"""The end of the last hour that a rollup can hold."""

_VALUES: Final = ("response_us", "ttfb_us", "request_bytes", "response_bytes")
_COUNTED: Final = frozenset(
    {"requests", *(f"{value}_{name}" for value in _VALUES for name in ("weight", "sum", "min", "max"))}
)
_TOTALLED: Final = _COUNTED | {"errors", "minutes"} | {f"{value}_buckets" for value in _VALUES}
_MINUTELY: Final = frozenset(
    {"requests", "errors", *(f"response_us_{name}" for name in ("weight", "sum", "min", "max", "buckets"))}
)
_CONSUMED: Final = frozenset(
    {
        *("requests", "errors", "response_us_weight", "response_us_sum", "response_us_min", "response_us_max"),
        *("request_bytes_weight", "request_bytes_sum", "response_bytes_weight", "response_bytes_sum"),
    }
)


@dataclass(frozen=True)
class Rollup:
    """Rows of `table` under `condition`: one row or a few per hour and combination of `dimensions`.

    `days` is the table of the same rows per day. `minutes` is that of the rows per minute of the last days, which
    has fewer measures. They are empty if there is none.
    """

    table: str
    dimensions: frozenset[str]
    measures: frozenset[str]
    condition: str = ""
    days: str = ""
    minutes: str = ""

    def column(self, measure: str) -> str:
        """Return the SQL of a measure in one row; a query aggregates it with sum, min or max."""
        if measure == "errors" and measure not in self.measures:
            return "if(status_code >= 400, requests, 0)"
        return measure

    def has_days(self, measures: frozenset[str]) -> bool:
        """Return whether there are rows per day with these measures."""
        return bool(self.days) and "minutes" not in measures

    def has_minutes(self, measures: frozenset[str]) -> bool:
        """Return whether there are rows per minute with these measures."""
        return bool(self.minutes) and measures <= _MINUTELY

    def covers(self, dimensions: frozenset[str], measures: frozenset[str]) -> bool:
        """Return whether the rollup has these dimensions and measures."""
        own = self.measures | {"errors"} if "status_code" in self.dimensions else self.measures
        return dimensions <= self.dimensions and measures <= own


WEEKLY_TABLES: Final = (
    *("daily_consumers", "daily_routes", "daily_totals"),
    *("hourly_consumers", "hourly_origins", "hourly_routes", "hourly_totals"),
)
"""The tables of rollups whose partitions are weeks, as those of events."""

TABLES: Final = (*WEEKLY_TABLES, "minute_totals")
"""All tables of rollups. A partition of minutes is a day, and leaves by itself."""

SINCE_SQL: Final = "SELECT maxOrNull(since) FROM whole_days"
"""The first second from which on the rows of days are whole."""

MINUTES_SINCE_SQL: Final = "SELECT maxOrNull(since) FROM whole_minutes"
"""The first second from which on the rows of minutes are whole, as long as they are kept."""

KEPT_MINUTES_S: Final = 70 * HOUR_S
"""The age up to which minutes are read. They are kept for three days at least: clocks may differ by two hours."""

_ROUTE: Final = frozenset({"route", "method", "status_code"})


def _totals(condition: str, *dimensions: str) -> Rollup:
    return Rollup("hourly_totals", frozenset(dimensions), _TOTALLED, condition, "daily_totals", "minute_totals")


# In the order of their number of rows, the smallest first.
ROLLUPS: Final[tuple[Rollup, ...]] = (
    _totals("dimension = 'all'"),
    _totals("dimension = 'method'", "method"),
    _totals("dimension = 'status_code'", "status_code"),
    _totals("dimension = 'route'", "route"),
    Rollup("hourly_routes", _ROUTE, _COUNTED, days="daily_routes"),
    Rollup("hourly_origins", _ROUTE | {"function", "source", "version", "error_type"}, _COUNTED),
    Rollup("hourly_consumers", frozenset({"consumer_id"}), _CONSUMED, days="daily_consumers"),
)

SINGLE_DIMENSIONS: Final = _totals("dimension != 'all'", "method", "status_code", "route")
"""The rows of every method, status and route in one query, which must read `dimension` to tell them apart."""
