"""What each rollup of `migrations` can tell; the tables, columns and bounds are described there, in `m0003_rollups`.

All rollups are of whole hours, UTC; those with `minutes` also know the requests of each minute.
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
        """The expression of a measure in one row, to be summed, or the least or greatest taken of."""
        if measure == "errors" and measure not in self.measures:
            return "if(status_code >= 400, requests, 0)"
        return measure

    def tells(self, dimensions: frozenset[str], measures: frozenset[str]) -> bool:
        """Whether it has these dimensions and measures."""
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
