"""Reads `start` and `end` of a query string. Pure."""

from __future__ import annotations

from apimetry.query_api.http.query_string import single, time_s
from apimetry.serving.errors import BadRequest

RANGE_PARAMETERS = ("start", "end")
DAY_S = 86_400


def range_of(values: dict[str, list[str]], now: int, *, default_s: int = DAY_S) -> tuple[int, int]:
    """Return the range `[start, end)` of a query string, of which `collect` made `values` by parameter.

    Without `end` the range ends at `now`. Without `start` it has `default_s` seconds. All times are in seconds.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    start, end = single(values, "start"), single(values, "end")
    end_s = now if end is None else time_s("end", end)
    start_s = max(0, end_s - default_s) if start is None else time_s("start", start)
    if start_s >= end_s:
        raise BadRequest(f"start must be before end: start is {start_s}, end is {end_s}")
    return start_s, end_s
