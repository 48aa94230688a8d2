"""Read the times of a query string, in seconds or, with `unit=ms`, in milliseconds. Pure."""

from __future__ import annotations

import re

from apimetry.query_api.http.query_string import MAX_TIME_S, one_of, refusal, single, time_s
from apimetry.serving.errors import BadRequest

RANGE_PARAMETERS = ("start", "end")
UNITS = {"s": 1, "ms": 1000}
"""How many of a unit are in a second."""

MAX_TIME_MS = 1000 * MAX_TIME_S
DAY_S = 86_400
_DIGITS = re.compile(r"[0-9]{1,13}", re.ASCII)


def per_second_of(values: dict[str, list[str]]) -> int:
    """Return how many of the query string's units of time are in a second: of the parameter `unit`."""
    return UNITS[one_of("unit", single(values, "unit"), tuple(UNITS)) or "s"] if "unit" in values else 1


def time_in(name: str, value: str, per_second: int, *, rounds_up: bool = False) -> int:
    """Return a time in whole seconds since the epoch; a part of a second is left out, or counts as a whole one."""
    if per_second == 1:
        return time_s(name, value)
    if not _DIGITS.fullmatch(value) or int(value) > MAX_TIME_MS:
        raise refusal(name, value, f"whole milliseconds since the epoch, 0 to {MAX_TIME_MS}")
    return -(-int(value) // per_second) if rounds_up else int(value) // per_second


def checked_range(start_s: int, end_s: int) -> tuple[int, int]:
    """Return the range after checking that it begins before it ends."""
    if start_s >= end_s:
        raise BadRequest(f"start must be before end: start is {start_s}, end is {end_s}")
    return start_s, end_s


def range_of(values: dict[str, list[str]], now: int, *, default_s: int = DAY_S) -> tuple[int, int]:
    """Return the range `[start, end)` of a query string, of which `collect` made `values` by parameter.

    Without `end` the range ends at `now`. Without `start` it has `default_s` seconds. All times are in seconds.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    start, end = single(values, "start"), single(values, "end")
    per_second = per_second_of(values)
    end_s = now if end is None else time_in("end", end, per_second, rounds_up=True)
    start_s = max(0, end_s - default_s) if start is None else time_in("start", start, per_second)
    return checked_range(start_s, end_s)
