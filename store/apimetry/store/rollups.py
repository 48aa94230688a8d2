"""Rollups: what was counted in each hour, so that long ranges are answered without their events.

Four tables, each an hour by some dimensions. `migrations` makes them, and the views that fill them as events come:

- `hourly_totals`: the whole application, each route, each method, and each status (`dimension` says which); all
  measures: some dozen rows an hour.
- `hourly_origins`: route, method, status, function, source, version and error type; no buckets.
- `hourly_routes`: the same by route, method and status, summed from the rows that enter `hourly_origins`.
- `hourly_consumers`: consumer alone; requests, errors, latency and bytes.

URLs and combinations with consumers have no rollup: nearly every event would be a row of its own. Neither have
percentiles of a combination of route, method and status: their buckets would take most of an insert's time.

Invariants:
- Every count is a sum of `sample_weight`. A null (time to first byte, sizes) is in no measure of its value:
  `X_weight` counts the requests that have X. Where none has, `X_min` is 2^64 - 1 and `X_max` is 0.
- `X_buckets` maps bucket b = floor(18 * log2(X + 1)) to the requests in it. 18 buckets double the value, so each is
  2^(1/18) = 1.0393 wide, and 2lh / (l + h) of its lowest and highest whole number is within (h - l) / (h + l) of
  both: 1.93 % for large values, 1.96 % at worst (25 and 26 share a bucket). Below 25 each value has its own bucket.
  The last bucket has everything from 2^40 on: twelve days, or a terabyte.
- `minutes` maps the minute of the hour, 0 to 59, to its requests.
- Rows of one key are merged by the engine some time later: whoever reads sums them.
- A row goes when the last of its events has gone: the longest retention in it, and the hour itself.

Cost is what shaped them. Each event is grouped once for each table that feeds on events, and each group then costs
its columns: so buckets are counted in arrays, where an event costs an addition, and only for the few groups of
`hourly_totals`. As a part of the grouping key, or as a map for each event, they cost several times the insert itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HOUR_S: Final = 3600
MINUTE_S: Final = 60

BUCKETS_PER_DOUBLING: Final = 18
"""Latency bucket b holds the values x with floor(18 * log2(x + 1)) = b, so that its middle is within 2 % of each."""

LAST_HOUR_S: Final = (2**32 - 1) // HOUR_S * HOUR_S
"""Rollups end here, in 2106, where the seconds of a DateTime do."""

_VALUES: Final = ("response_us", "ttfb_us", "request_bytes", "response_bytes")
_COUNTED: Final = frozenset(
    {"requests", *(f"{value}_{name}" for value in _VALUES for name in ("weight", "sum", "min", "max"))}
)
_TOTALLED: Final = _COUNTED | {"errors", "minutes"} | {f"{value}_buckets" for value in _VALUES}
_CONSUMED: Final = frozenset(
    {
        *("requests", "errors", "response_us_weight", "response_us_sum", "response_us_min", "response_us_max"),
        *("request_bytes_weight", "request_bytes_sum", "response_bytes_weight", "response_bytes_sum"),
    }
)


@dataclass(frozen=True)
class Rollup:
    """Rows of `table` under `condition`: one or a few for each hour and combination of `dimensions`."""

    table: str
    dimensions: frozenset[str]
    measures: frozenset[str]
    condition: str = ""

    def column(self, measure: str) -> str:
        """Return the expression of a measure in one row, to be summed, or the least or greatest taken of."""
        if measure == "errors" and measure not in self.measures:
            return "if(status_code >= 400, requests, 0)"
        return measure

    def covers(self, dimensions: frozenset[str], measures: frozenset[str]) -> bool:
        """Return whether it has these dimensions and measures."""
        known = self.measures | {"errors"} if "status_code" in self.dimensions else self.measures
        return dimensions <= self.dimensions and measures <= known


_ROUTE: Final = frozenset({"route", "method", "status_code"})
# The fewest rows first.
ROLLUPS: Final[tuple[Rollup, ...]] = (
    Rollup("hourly_totals", frozenset(), _TOTALLED, "dimension = 'all'"),
    Rollup("hourly_totals", frozenset({"method"}), _TOTALLED, "dimension = 'method'"),
    Rollup("hourly_totals", frozenset({"status_code"}), _TOTALLED, "dimension = 'status_code'"),
    Rollup("hourly_totals", frozenset({"route"}), _TOTALLED, "dimension = 'route'"),
    Rollup("hourly_routes", _ROUTE, _COUNTED),
    Rollup("hourly_origins", _ROUTE | {"function", "source", "version", "error_type"}, _COUNTED),
    Rollup("hourly_consumers", frozenset({"consumer_id"}), _CONSUMED),
)

EACH_DIMENSION: Final = Rollup(
    "hourly_totals", frozenset({"method", "status_code", "route"}), _TOTALLED, "dimension != 'all'"
)
"""The rows of each method, of each status and of each route, side by side, for who reads `dimension`."""
