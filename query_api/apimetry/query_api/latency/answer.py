"""Answer a distribution (docs/api.md, "Latency")."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from apimetry.query_api.latency.params import LatencyQuery
from apimetry.query_api.latency.response import Distribution, Latency
from apimetry.query_api.latency.sql import PERCENTILES, histograms, needs_of, totals
from apimetry.query_api.planning.latency_buckets import bounds_of, whole_percentile
from apimetry.query_api.planning.planner import plan
from apimetry.serving.errors import BadRequest
from apimetry.store.statement import Ask

MAX_CELLS = 100_000
"""Filled cells of a response, about 1 MB."""

_TIME = itemgetter(0)
Cells = list[list[tuple[int, int]]]


def answer_latency(query: LatencyQuery, application: str, *, ask: Ask, now: int) -> Latency:
    """Return the response at `now`, seconds since the epoch. Blocks while `ask` does.

    Raises:
        BadRequest: the response would have more than MAX_CELLS cells.
    """
    distribution = _distribution(query, application, ask, now)
    answer: Latency = {"value": query.value, "bounds": [], **distribution}  # type: ignore[typeddict-item] # no distribution has `previous`
    counts = distribution["counts"]
    earlier = query.earlier
    if earlier is not None:
        before = _distribution(earlier, application, ask, now)
        shift_s = query.start - earlier.start
        times = [time + shift_s for time in before["times"]]
        answer["previous"] = {"start": earlier.start, "end": earlier.end, **before, "times": times}
        counts = [*counts, *before["counts"]]
    answer["bounds"] = _bounds(query, counts)
    return answer


def _distribution(query: LatencyQuery, application: str, ask: Ask, now: int) -> Distribution:
    """Return the cells of one range, and its totals."""
    times, counts = _histograms(query, application, ask, now)
    source = plan(needs_of(query, by_time=False, now=now))
    ((total, low, high, figures),) = ask(totals(query, source, application))
    if source.estimates:
        figures = [whole_percentile(bucket, high) for bucket in figures]
    levels = zip(PERCENTILES, figures, strict=True)
    return {
        "times": times,
        "counts": counts,
        "total": total,
        "percentiles": {str(number): figure for number, figure in levels} if total else {},
        "max": high if total else None,
        "min": low if total else None,
        "estimated": source.estimates,
    }


def _histograms(query: LatencyQuery, application: str, ask: Ask, now: int) -> tuple[list[int], Cells]:
    size_s = query.end - query.start if query.granularity is None else query.granularity.seconds
    if (query.end - query.start) // size_s > MAX_CELLS:
        raise _too_many()
    source = plan(needs_of(query, by_time=True, now=now))
    rows = ask(histograms(query, source, application, cell_limit=MAX_CELLS + 1))
    if len(rows) > MAX_CELLS:
        raise _too_many()
    cells = {time: [(bucket, requests) for _, bucket, requests in of_time] for time, of_time in groupby(rows, _TIME)}
    return list(cells), list(cells.values())


def _too_many() -> BadRequest:
    return BadRequest(f"more than {MAX_CELLS:,} cells: take a coarser granularity or resolution, or a shorter range")


def _bounds(query: LatencyQuery, counts: Cells) -> list[int]:
    """Return the lowest values of all buckets up to the one after the last that is filled."""
    filled = [bucket for cells in counts for bucket, _ in cells]
    return [bounds_of(bucket * query.width)[0] for bucket in range(max(filled) + 2)] if filled else []
