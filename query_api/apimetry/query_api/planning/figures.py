"""Round and write figures: half up, from whole numbers, without binary fractions. Pure."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from msgspec import Meta

from apimetry.serving.answer_types import Count

Figure = Annotated[float, Meta(ge=0)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Milliseconds = Annotated[Figure, Meta(description="Milliseconds, one decimal.")]
Bytes = Annotated[Count, Meta(description="Bytes of requests and responses.")]

_LABELS = ("B", "KB", "MB", "GB", "TB")


def rounded(numerator: int, denominator: int, digits: int) -> float:
    """Return the quotient with `digits` decimals, half up; 0 where there is nothing to divide by."""
    scale: int = 10**digits
    return scaled(numerator, denominator, scale) / scale


def scaled(numerator: int, denominator: int, scale: int) -> int:
    """Return `scale` times the quotient as a whole number, half up; 0 where there is nothing to divide by."""
    return (2 * scale * numerator + denominator) // (2 * denominator) if denominator else 0


def percent(part: int, whole: int) -> float:
    """Return the share in percent, one decimal; 0 of nothing."""
    return rounded(100 * part, whole, 1)


def plain(value: float) -> str:
    """Return a figure of at most two decimals for a sentence: 80, not 80.0, and no exponent."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def formatted_bytes(size: int) -> str:
    """Return a size in steps of 1024 with at most one decimal: "50 MB", "1.5 GB"."""
    unit, label = 1, 0
    # A size that rounds to 1024 of a unit is 1 of the next unit.
    while label < len(_LABELS) - 1 and scaled(size, unit, 10) >= 10_240:
        unit, label = unit * 1024, label + 1
    return f"{plain(rounded(size, unit, 1))} {_LABELS[label]}"


class Measures(NamedTuple):
    """Sums over some requests. A request failed if its status is 400 or above."""

    requests: int = 0
    errors: int = 0
    latency_us: int = 0
    peak_us: int = 0
    bytes: int = 0
    timed: int = 0
    """Requests with a measured latency. `latency_us` and `peak_us` are about these alone."""

    @property
    def succeeded(self) -> int:
        """Return the number of requests that did not fail."""
        return self.requests - self.errors

    @property
    def success_rate(self) -> float:
        """Return the percentage; of no requests, all succeeded."""
        return percent(self.succeeded, self.requests) if self.requests else 100.0

    @property
    def error_rate(self) -> float:
        """Return the percentage; of no requests, none failed."""
        return percent(self.errors, self.requests)

    @property
    def mean_ms(self) -> float:
        """Return the mean latency of the timed requests, one decimal; 0 where there are none."""
        return rounded(self.latency_us, 1000 * self.timed, 1)

    @property
    def peak_ms(self) -> float:
        """Return the longest latency, one decimal; 0 where none was measured."""
        return rounded(self.peak_us, 1000, 1)

    def plus(self, other: Measures) -> Measures:
        """Return the measures of both sets of requests."""
        return Measures(
            self.requests + other.requests,
            self.errors + other.errors,
            self.latency_us + other.latency_us,
            max(self.peak_us, other.peak_us),
            self.bytes + other.bytes,
            self.timed + other.timed,
        )
