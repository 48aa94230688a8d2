"""A period and the one of the same length before it: `compare=previous`. Pure."""

from __future__ import annotations

from fractions import Fraction

from apimetry.query_api.planning.figures import rounded
from apimetry.serving.errors import BadRequest

COMPARISONS = ("previous",)


def period_before(start: int, end: int) -> tuple[int, int]:
    """Return the period of the same length that ends where `[start, end)` begins.

    Raises:
        BadRequest: that period would begin before 1970.
    """
    before = start - (end - start)
    if before < 0:
        raise BadRequest(f"compare is 'previous'; the period before {start} to {end} would begin before 1970")
    return before, start


def change_percent(now: Fraction, before: Fraction) -> float | None:
    """Return by how many percent a figure changed, one decimal, half up; None where it was 0 before."""
    if not before:
        return None
    change = 100 * (now - before) / before
    return rounded(change.numerator, change.denominator, 1)
