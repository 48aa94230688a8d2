"""A period and another one of the same length, which the parameter `compare` names. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

from apimetry.query_api.http.query_string import refusal
from apimetry.query_api.planning.figures import rounded
from apimetry.query_api.planning.time_range import time_in
from apimetry.serving.errors import BadRequest

PREVIOUS, WEEK = "previous", "week"
COMPARISONS = (PREVIOUS, WEEK)
WEEK_S = 7 * 86_400
_DIGITS = re.compile(r"[0-9]+", re.ASCII)

Ranges = tuple[tuple[int, int], ...]
"""Ranges of time, `[start, end)` in seconds since the epoch."""


def ranges_of(start: int, end: int, compare: str | None) -> Ranges:
    """Return the ranges that an answer about `[start, end)` with a comparison depends on.

    Raises:
        BadRequest: as `compared_period`.
    """
    return ((start, end),) if compare is None else ((start, end), compared_period(compare, start, end))


def checked_comparison(value: str | None, *, per_second: int = 1) -> str | None:
    """Return the parameter `compare` after checking that it is one of COMPARISONS, or a time.

    `per_second` of the time's units are in a second. The time is returned in seconds.
    """
    if value is None or value in COMPARISONS:
        return value
    if not _DIGITS.fullmatch(value):
        unit = "seconds" if per_second == 1 else "milliseconds"
        allowed = f"{', '.join(COMPARISONS)}, or the start of another period in {unit} since the epoch"
        raise refusal("compare", value, allowed)
    return str(time_in("compare", value, per_second))


def compared_period(compare: str, start: int, end: int) -> tuple[int, int]:
    """Return the other period that `compare` names, which is as long as `[start, end)`. All times are in seconds.

    Raises:
        BadRequest: that period would begin before 1970, or `week` is asked for more than seven days.
    """
    if compare == WEEK and end - start > WEEK_S:
        raise BadRequest(f"compare is 'week'; allowed for up to {WEEK_S} seconds, not for {start} to {end}")
    before = {PREVIOUS: start - (end - start), WEEK: start - WEEK_S}.get(compare)
    if before is None:
        before = int(compare)
    if before < 0:
        raise BadRequest(f"compare is {compare!r}; the period before {start} to {end} would begin before 1970")
    return before, before + end - start


def change_percent(now: Fraction, before: Fraction) -> float | None:
    """Return by how many percent a figure changed, one decimal, half up; None where it was 0 before."""
    if not before:
        return None
    change = 100 * (now - before) / before
    return rounded(change.numerator, change.denominator, 1)
