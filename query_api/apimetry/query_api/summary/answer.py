"""Answer a summary (docs/api.md, "Summary")."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction

from apimetry.query_api.planning.completeness import completeness
from apimetry.query_api.planning.figures import percent, rounded
from apimetry.query_api.planning.latency_buckets import bounds_of, bucket_of
from apimetry.query_api.planning.planner import SHORT_S
from apimetry.query_api.summary.params import SummaryQuery
from apimetry.query_api.summary.pieces import read_pieces
from apimetry.query_api.summary.response import Summary
from apimetry.query_api.summary.sql import PERCENTILES, Scope, bounds_us, requests_in_hours, summing
from apimetry.store.accounts.accounts import Application
from apimetry.store.statement import Ask

EXACT_REQUESTS = 100_000
"""Latencies of a short range are exact up to so many requests in its hours."""

_AT_ONCE = 3
"""Statements of one summary that run at the same time."""


def answer_summary(query: SummaryQuery, application: Application, *, ask: Ask, now: int) -> Summary:
    """Return the response about `application` at `now`, seconds since the epoch. Blocks while `ask` does."""
    with ThreadPoolExecutor(_AT_ONCE, "apimetry-summary") as threads:
        reading = _read(query, application, ask, now, threads)
        earlier = _read(query.earlier, application, ask, now, threads) if query.earlier else None
        answer = reading.response()
        if earlier is not None:
            answer["previous"] = earlier.response()
    if query.completeness:
        answer["completeness"] = completeness(application.id, query.start, query.end, ask=ask)
    return answer


@dataclass(frozen=True)
class _Reading:
    """The figures of one range, which are being read."""

    query: SummaryQuery
    target_us: int | None
    figures: Callable[[], Mapping[str, int]]
    """Waits for the figures by name; times are microseconds."""

    estimates: bool
    """Whether latencies come from buckets."""

    def response(self) -> Summary:
        """Return the figures as the response has them."""
        return _response(self.query, self.target_us, self.figures(), estimated=self.estimates)


def _read(query: SummaryQuery, application: Application, ask: Ask, now: int, threads: Executor) -> _Reading:
    target_ms = query.target_ms or application.target_ms
    target_us = None if target_ms is None else 1000 * target_ms
    scope = Scope(application.id, query.start, query.end, query.filters, target_us, now)
    pieces = read_pieces(scope, ask, threads)
    if pieces is not None:
        return _Reading(query, target_us, pieces, estimates=True)
    if query.end - query.start <= SHORT_S:
        ((in_hours,),) = ask(requests_in_hours(scope))
        scope = replace(scope, takes_minutes=in_hours > EXACT_REQUESTS)
    summary = summing(scope)
    rows = threads.submit(ask, summary.statement)
    return _Reading(query, target_us, lambda: summary.figures(rows.result()), summary.estimates)


def _response(query: SummaryQuery, target_us: int | None, figures: Mapping[str, int], *, estimated: bool) -> Summary:
    within_target, apdex = _of_target(figures, target_us) if target_us and figures["timed"] else (None, None)
    requests, timed = figures["requests"], figures["timed"]
    latencies = {f"p{number}Ms": _ms(figures, f"p{number}") for number in PERCENTILES}
    return {
        "start": query.start * query.per_second,
        "end": query.end * query.per_second,
        "requests": requests,
        "errors": figures["errors"],
        "errorRate": percent(figures["errors"], requests),
        "clientErrors": figures["errors"] - figures["server_errors"],
        "serverErrors": figures["server_errors"],
        "meanMs": rounded(figures["latency_us"], 1000 * timed, 1) if timed else None,
        "p50Ms": latencies["p50Ms"],
        "p95Ms": latencies["p95Ms"],
        "p99Ms": latencies["p99Ms"],
        "maxMs": _ms(figures, "peak_us"),
        "requestBytes": figures["request_bytes"],
        "responseBytes": figures["response_bytes"],
        "requestsPerMinute": rounded(60 * requests, query.end - query.start, 1),
        "peakRequestsPerMinute": figures["busiest_minute"],
        "consumers": figures["consumers"],
        "withinTarget": within_target,
        "apdex": apdex,
        "estimated": estimated,
    }


def _of_target(figures: Mapping[str, int], target_us: int) -> tuple[float, float]:
    """Return the percent of timed requests up to the target, and the Apdex."""
    target, tolerated = (
        min(_up_to(bound_us, figures[name], figures[f"{name}_in_bucket"]) / figures["timed"], Fraction(1))
        for name, bound_us in bounds_us(target_us).items()
    )
    apdex = (target + tolerated) / 2
    return percent(target.numerator, target.denominator), rounded(apdex.numerator, apdex.denominator, 2)


def _up_to(bound_us: int, below: int, in_bucket: int) -> Fraction:
    """Return the requests up to a bound: those below its bucket, and the bound's share of those in it."""
    lowest, highest = bounds_of(bucket_of(bound_us))
    return below + in_bucket * Fraction(bound_us - lowest + 1, highest - lowest + 1)


def _ms(figures: Mapping[str, int], name: str) -> float | None:
    return rounded(figures[name], 1000, 1) if figures["timed"] else None
