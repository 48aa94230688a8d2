"""The measures of a breakdown: what each of them reads, and its figure in the response. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from apimetry.query_api.http.json_values import iso_time_us
from apimetry.query_api.planning.figures import percent, rounded

Figure = int | float | str | None


@dataclass(frozen=True)
class Part:
    """A sum, a maximum, or a number of distinct texts, over the events of a row."""

    of_event: str
    """The expression of one event."""

    of_rollup: tuple[str, ...]
    """The columns of a rollup, which are added; or a dimension, whose texts are counted."""

    kind: Literal["sum", "max", "distinct"] = "sum"


PARTS: Final[Mapping[str, Part]] = MappingProxyType(
    {
        "requests": Part("toUInt64(sample_weight)", ("requests",)),
        "errors": Part("if(status_code >= 400, toUInt64(sample_weight), 0)", ("errors",)),
        "latency_us": Part("ifNull(response_us, 0) * sample_weight", ("response_us_sum",)),
        "timed": Part("if(isNull(response_us), 0, toUInt64(sample_weight))", ("response_us_weight",)),
        "peak_us": Part("ifNull(response_us, 0)", ("response_us_max",), "max"),
        "ttfb_timed": Part("if(isNull(ttfb_us), 0, toUInt64(sample_weight))", ("ttfb_us_weight",)),
        "bytes": Part(
            "(ifNull(request_bytes, 0) + ifNull(response_bytes, 0)) * sample_weight",
            ("request_bytes_sum", "response_bytes_sum"),
        ),
        "consumers": Part("consumer_id", ("consumer_id",), "distinct"),
    }
)
ALWAYS_READ: Final = ("requests", "errors")
"""The parts that every response needs."""


class Sums(NamedTuple):
    """The parts of one row, by the names of PARTS; a part that was not read is 0."""

    requests: int = 0
    errors: int = 0
    latency_us: int = 0
    timed: int = 0
    peak_us: int = 0
    ttfb_timed: int = 0
    bytes: int = 0
    consumers: int = 0
    percentiles: Mapping[tuple[str, int], int] = MappingProxyType({})
    """Microseconds, by value and number."""

    seen_us: tuple[int, int] | None = None
    """The times of the first and the last request, since the epoch."""


class Totals(NamedTuple):
    """The sums over all rows of a table."""

    requests: int = 0
    errors: int = 0
    latency_us: int = 0


@dataclass(frozen=True)
class Measure:
    """A measure: the parts and the percentile that it reads, its figure, and the SQL expression that sorts by it.

    In the expression, `$p` stands for the start of the columns' names, and `$percentile` for the percentile.
    """

    parts: tuple[str, ...]
    figure: Callable[[Sums, Totals], Figure]
    sorted_by: str
    percentile: tuple[str, int] | None = None
    """The value, and 1 to 99."""


def _percentile(value: str, number: int, timed: str) -> Measure:
    def figure(sums: Sums, _: Totals) -> Figure:
        # No percentile was read if the first timed event came after the statement of the percentiles.
        return _ms(sums.percentiles.get((value, number), 0)) if getattr(sums, timed) else None

    return Measure((timed,), figure, _known(timed, "$percentile"), (value, number))


def _mean(sums: Sums, _: Totals) -> Figure:
    return rounded(sums.latency_us, 1000 * sums.timed, 1) if sums.timed else None


def _maximum(sums: Sums, _: Totals) -> Figure:
    return _ms(sums.peak_us) if sums.timed else None


def _ms(value_us: int) -> float:
    return rounded(value_us, 1000, 1)


def _known(weight: str, value: str) -> str:
    return f"if(${{p}}{weight} = 0, NULL, {value})"


def _seen(place: int) -> Callable[[Sums, Totals], Figure]:
    return lambda sums, _: iso_time_us(sums.seen_us[place]) if sums.seen_us else None


MEASURES: Final[Mapping[str, Measure]] = MappingProxyType(
    {
        "requests": Measure((), lambda sums, _: sums.requests, "${p}requests"),
        "errors": Measure((), lambda sums, _: sums.errors, "${p}errors"),
        "errorRate": Measure(
            (),
            lambda sums, _: percent(sums.errors, sums.requests),
            "if(${p}requests = 0, 0, ${p}errors / ${p}requests)",
        ),
        "share": Measure(
            (),
            lambda sums, total: percent(sums.requests, total.requests),
            "${p}requests / greatest(${p}all_requests, 1)",
        ),
        "meanMs": Measure(("latency_us", "timed"), _mean, _known("timed", "${p}latency_us / ${p}timed")),
        "maxMs": Measure(("peak_us", "timed"), _maximum, _known("timed", "${p}peak_us")),
        **{f"p{number}Ms": _percentile("response_us", number, "timed") for number in (50, 75, 90, 95, 99)},
        "ttfbP95Ms": _percentile("ttfb_us", 95, "ttfb_timed"),
        "timeShare": Measure(
            ("latency_us",),
            lambda sums, total: percent(sums.latency_us, total.latency_us),
            "${p}latency_us / greatest(${p}all_latency_us, 1)",
        ),
        "bytes": Measure(("bytes",), lambda sums, _: sums.bytes, "${p}bytes"),
        "consumers": Measure(("consumers",), lambda sums, _: sums.consumers, "${p}consumers"),
        "firstSeen": Measure((), _seen(0), "first_us"),
        "lastSeen": Measure((), _seen(1), "last_us"),
    }
)
DEFAULT_MEASURES: Final = ("requests", "errors")
SEEN: Final = ("firstSeen", "lastSeen")
"""The measures that are about all that is stored, and not about a range."""


@dataclass(frozen=True)
class Reads:
    """What a statement reads: the names of parts, in the order of PARTS, and the numbers of percentiles by value."""

    parts: tuple[str, ...] = ALWAYS_READ
    percentiles: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def columns(self) -> frozenset[str]:
        """Return the columns of rollups that it needs, beside dimensions."""
        of_parts = (column for name in self.parts if not _is_dimension(name) for column in PARTS[name].of_rollup)
        of_percentiles = (f"{value}_{name}" for value in self.percentiles for name in ("buckets", "max"))
        return frozenset((*of_parts, *of_percentiles))

    @property
    def dimensions(self) -> frozenset[str]:
        """Return the dimensions that it needs, beside those of keys and filters."""
        return frozenset(column for name in self.parts if _is_dimension(name) for column in PARTS[name].of_rollup)

    @property
    def adds_up(self) -> bool:
        """Return whether it reads nothing but sums."""
        return not self.percentiles and all(PARTS[name].kind == "sum" for name in self.parts)

    def plus(self, other: Reads) -> Reads:
        """Return what either of them reads."""
        values = sorted({*self.percentiles, *other.percentiles})
        return Reads(
            tuple(name for name in PARTS if name in self.parts or name in other.parts),
            {
                value: tuple(sorted({*self.percentiles.get(value, ()), *other.percentiles.get(value, ())}))
                for value in values
            },
        )

    def without(self, other: Reads) -> Reads:
        """Return what this one reads and `other` does not, with ALWAYS_READ."""
        return Reads(
            tuple(name for name in self.parts if name in ALWAYS_READ or name not in other.parts),
            {value: numbers for value, numbers in self.percentiles.items() if value not in other.percentiles},
        )


def reads_of(measures: Iterable[str]) -> Reads:
    """Return what `measures` read."""
    chosen = [MEASURES[name] for name in measures]
    parts = {*ALWAYS_READ, *(part for measure in chosen for part in measure.parts)}
    percentiles: dict[str, tuple[int, ...]] = {}
    for value, number in sorted({measure.percentile for measure in chosen if measure.percentile}):
        percentiles[value] = (*percentiles.get(value, ()), number)
    return Reads(tuple(name for name in PARTS if name in parts), percentiles)


def _is_dimension(part: str) -> bool:
    return PARTS[part].kind == "distinct"
