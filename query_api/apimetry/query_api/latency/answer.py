"""Answers a distribution (docs/api.md, "Latency")."""

from __future__ import annotations

from apimetry.query_api.latency.params import LatencyQuery
from apimetry.query_api.latency.response import EarlierHistograms, Latency
from apimetry.query_api.latency.sql import PERCENTILES, histograms, needs_of, totals
from apimetry.query_api.planning.latency_buckets import bounds_of
from apimetry.query_api.planning.planner import plan
from apimetry.serving.errors import BadRequest
from apimetry.store.statement import Ask

MAX_CELLS = 100_000
"""Filled cells of a response, about 1 MB."""

Cells = list[list[tuple[int, int]]]


def answer_latency(query: LatencyQuery, application: str, *, ask: Ask, now: int) -> Latency:
    """Return the response at `now`, seconds since the epoch. Blocks while `ask` does.

    Raises:
        BadRequest: the response would have more than MAX_CELLS cells.
    """
    times, counts = _histograms(query, application, ask, now)
    source = plan(needs_of(query, by_time=False, now=now))
    ((total, low, high, *figures),) = ask(totals(query, source, application))
    answer: Latency = {
        "value": query.value,
        "bounds": [],
        "times": times,
        "counts": counts,
        "total": total,
        "percentiles": {str(number): round(figure) for number, figure in zip(PERCENTILES, figures, strict=True)},
        "max": high,
        "min": low,
        "estimated": source.estimates,
    }
    if not total:
        answer = {**answer, "percentiles": {}, "max": None, "min": None}
    earlier = query.earlier
    if earlier is not None:
        answer["previous"] = _earlier(earlier, application, ask, now)
        counts = [*counts, *answer["previous"]["counts"]]
    answer["bounds"] = _bounds(query, counts)
    return answer


def _earlier(query: LatencyQuery, application: str, ask: Ask, now: int) -> EarlierHistograms:
    times, counts = _histograms(query, application, ask, now)
    total = sum(requests for cells in counts for _, requests in cells)
    return {"start": query.start, "end": query.end, "total": total, "times": times, "counts": counts}


def _histograms(query: LatencyQuery, application: str, ask: Ask, now: int) -> tuple[list[int], Cells]:
    size_s = query.end - query.start if query.granularity is None else query.granularity.seconds
    if (query.end - query.start) // size_s > MAX_CELLS:
        raise _too_many()
    source = plan(needs_of(query, by_time=True, now=now))
    times: list[int] = []
    counts: Cells = []
    for time, buckets, requests in ask(histograms(query, source, application)):
        times.append(time)
        # An edge of a rollup's range is subtracted: a cell may be left with nothing.
        counts.append([(bucket, count) for bucket, count in zip(buckets, requests, strict=True) if count])
    if sum(map(len, counts)) > MAX_CELLS:
        raise _too_many()
    return times, counts


def _too_many() -> BadRequest:
    return BadRequest(f"more than {MAX_CELLS:,} cells: take a coarser granularity or resolution, or a shorter range")


def _bounds(query: LatencyQuery, counts: Cells) -> list[int]:
    """Return the lowest values of all buckets up to the one after the last that is filled."""
    filled = [bucket for cells in counts for bucket, _ in cells]
    return [bounds_of(bucket * query.width)[0] for bucket in range(max(filled) + 2)] if filled else []
