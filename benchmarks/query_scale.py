"""Time to answer from rollups and from raw events at scale: medians and p95 of warm questions, down to JSON bytes.

    python benchmarks/query_scale.py [--events 100000000] [--directory DIR] [--repeat 9] [--segments 8] [--months 12]

Makes 30 days of one application inside the engine: 60 routes, 2,000 consumers, a million URLs, skewed latencies,
nulls. With `--directory` the store is kept there, and reused by the next run with as many events. Raw answers are the
same statements, planned without rollups; 0 where one needs more memory than it may have. The insert rates are of
ready segments through `Store.insert_rows`, into a store of its own, turn by turn with all views of the rollups,
without that of minutes, without those of days, and with none.

With `--months 12` the questions come again when the rollups hold eleven months more, each a copy of the newest: those
of 1.2 billion events, if a month has 100 million. It needs a store of its own: the copies have no events, and stay.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import resource
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from _scale_store import (
    APPLICATION,
    DAY_S,
    FED,
    ROWS,
    SPAN_S,
    add_months,
    event_rows,
    now_of,
    opened_with_events,
    print_sizes,
)

from apimetry.query_api.breakdown import scope as breakdown_scope
from apimetry.query_api.breakdown.answer import answer_breakdown
from apimetry.query_api.breakdown.params import BreakdownQuery, parse_breakdown
from apimetry.query_api.planning import planner
from apimetry.query_api.remembering import About, Memory
from apimetry.query_api.summary import pieces_sql
from apimetry.query_api.summary import sql as summary_sql
from apimetry.query_api.summary.answer import answer_summary
from apimetry.query_api.summary.params import parse_summary
from apimetry.query_api.timeseries import reading as timeseries_reading
from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import parse_timeseries
from apimetry.query_api.timeseries.reading import Limits
from apimetry.query_api.usage import sql as usage_sql
from apimetry.query_api.usage.answer import answer_usage
from apimetry.query_api.usage.params import parse_usage
from apimetry.serving.service import json_response
from apimetry.store import migrations
from apimetry.store.accounts.records import Application, RequestLimits
from apimetry.store.client import Store
from apimetry.store.errors import QueryLimitExceeded
from apimetry.store.events import ROW_COLUMNS
from apimetry.store.rollups import TABLES, Rollup

DETACHED: dict[str, tuple[str, ...]] = {
    "all rollups": (),
    "no minutes": ("minute_totals",),
    "no days": tuple(table for table in TABLES if table.startswith("daily")),
    "no rollups": FED,
}
LIMITS = Limits(max_points=100_000, max_groups=10_000)
CREATED = datetime(2020, 1, 1, tzinfo=timezone.utc)
BENCH = Application(APPLICATION, "organization", "Bench", 400, RequestLimits(None, None, None), CREATED)
UNTIL_NOW: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "usage": (parse_usage, answer_usage),
    "summary": (parse_summary, answer_summary),
}

# Name, seconds before the end, parameters, and the milliseconds that it may take.
TIMESERIES = (
    ("30 days by hour, count", SPAN_S, "granularity=hour", 100),
    ("30 days by hour, mean ttfb", SPAN_S, "granularity=hour&aggregation=mean&value=ttfb_us", 100),
    ("30 days by hour, p95", SPAN_S, "granularity=hour&aggregation=percentile_95", 100),
    ("30 days by hour and method, count", SPAN_S, "granularity=hour&group=method", 100),
    ("30 days by hour and method, p95", SPAN_S, "granularity=hour&group=method&aggregation=percentile_95", 100),
    ("30 days by hour and status, count", SPAN_S, "granularity=hour&group=status_code", 100),
    ("30 days by hour and status, p95", SPAN_S, "granularity=hour&group=status_code&aggregation=percentile_95", 100),
    (
        "30 days by hour of one route, p95",
        SPAN_S,
        "granularity=hour&include=route:/v1/resource7/{id}&aggregation=percentile_95",
        100,
    ),
    ("30 days by hour and route, count", SPAN_S, "granularity=hour&group=route", 400),
    ("30 days by hour and route, p95", SPAN_S, "granularity=hour&group=route&aggregation=percentile_95", 400),
    ("30 days by hour and source, count", SPAN_S, "granularity=hour&group=source", 400),
    ("30 days by consumer, count", SPAN_S, "group=consumer_id", 200),
    ("30 days by hour of one consumer, count", SPAN_S, "granularity=hour&include=consumer_id:consumer-7", 100),
    ("30 days by minute, count", SPAN_S, "granularity=minute", 200),
    ("last hour by minute, count", 3600, "granularity=minute", 50),
    ("last hour by minute, p95", 3600, "granularity=minute&aggregation=percentile_95", 50),
)
TABLES_OF_30_DAYS = {
    "30 days by consumer, table": [("by", "consumer_id")],
    "30 days by route, table with p95 and series": [
        ("by", "route"),
        ("measures", "requests,p95Ms"),
        ("series", "30"),
    ],
}
Question = Callable[[], object]


def questions(store: Store) -> Iterator[tuple[str, Question, int]]:
    """Return each question's name, the call that answers it down to JSON, and its limit in milliseconds.

    A usage answer and a summary end now, just after the newest event. The others end with the last whole hour.
    """
    now = now_of(store)
    end = now // 3600 * 3600
    for name, span_s, text, limit_ms in TIMESERIES:
        parameters = [tuple(pair.split("=", 1)) for pair in text.split("&")]

        def ask(span_s: int = span_s, parameters: list = parameters) -> object:
            query = parse_timeseries(str(end - span_s), str(end), parameters, max_groups=LIMITS.max_groups)
            return json_response(answer_timeseries(query, APPLICATION, ask=store.ask, limits=LIMITS, now=now))

        yield name, ask, limit_ms
    yield from until_now(store, now)
    month = [("start", str(end - SPAN_S)), ("end", str(end))]
    of_hours = parse_summary(month, now)
    yield "summary of 720 hours", lambda: answer_summary(of_hours, BENCH, ask=store.ask, now=now), 30
    for name, columns in TABLES_OF_30_DAYS.items():
        table = parse_breakdown([*month, *columns], end)

        def ask_table(table: BreakdownQuery = table) -> object:
            return answer_breakdown(table, APPLICATION, ask=store.ask, now=now)

        yield name, ask_table, 120


def until_now(store: Store, now: int) -> Iterator[tuple[str, Question, int]]:
    """Return usage answers and a summary that end now; and the same whose end moves, with the past from memory."""
    memory, moments = Memory(64 * 1024**2, store.inserts), itertools.count(now)

    def answered(name: str, span_s: int, end: int, *, remembers: bool) -> object:
        parse, answer = UNTIL_NOW[name]
        query = parse([("start", str(end - span_s)), ("end", str(end))], end)
        about = About(APPLICATION, ((end - span_s, end),), BENCH.retention_days)
        ask = memory.recall(query, about, store.ask, end) if remembers else store.ask
        return json_response(answer(query, BENCH, ask=ask, now=end))

    for name, days, limit_ms in (("usage", 30, 60), ("usage", 365, 120), ("summary", 30, 30)):
        until = functools.partial(answered, name, days * DAY_S)
        yield f"{name} of {days} days", functools.partial(until, now, remembers=False), limit_ms

        def moving(until: Callable[..., object] = until) -> object:
            return until(next(moments), remembers=True)

        yield f"{name} of {days} days, its end moves", moving, limit_ms


@contextlib.contextmanager
def without_rollups() -> Iterator[None]:
    """Plan everything from events, as if there were no rollups."""

    def plan(needs: planner.Needs, rollups: Sequence[Rollup] = ()) -> planner.Plan:
        del rollups
        return planner.plan(needs, ())

    modules: tuple[Any, ...] = (timeseries_reading, usage_sql, summary_sql, pieces_sql, breakdown_scope)
    for module in modules:
        module.plan = plan
    try:
        yield
    finally:
        for module in modules:
            module.plan = planner.plan


@dataclass(frozen=True)
class Times:
    """Milliseconds of repeated answers; `cpu` of all threads, which another process on the machine hardly changes."""

    median: float
    p95: float
    cpu: float


def measured(question: Question, repeat: int) -> Times:
    """Answer once to warm up, then `repeat` times."""
    question()
    walls, cpus = [], []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        question()
        walls.append((time.perf_counter() - wall) * 1000)
        cpus.append((time.process_time() - cpu) * 1000)
    walls.sort()
    return Times(statistics.median(walls), walls[int(0.95 * len(walls))], statistics.median(cpus))


def measure_questions(store: Store, repeat: int, raw_repeat: int) -> None:
    head = f"{'question':<40}{'median ms':>10}{'p95':>7}{'limit':>7}{'cpu':>7}"
    print(f"{head}{'raw ms':>10}{'p95':>8}{'cpu':>8}{'times':>7}")
    for name, question, limit_ms in questions(store):
        ours = measured(question, repeat)
        raw = Times(0, 0, 0)
        if raw_repeat:
            # Exact percentiles of a hundred million values need more memory than a question may have.
            with without_rollups(), contextlib.suppress(QueryLimitExceeded):
                raw = measured(question, raw_repeat)
        print(
            f"{name:<40}{ours.median:>10.1f}{ours.p95:>7.0f}{limit_ms:>7}{ours.cpu:>7.0f}{raw.median:>10.0f}"
            f"{raw.p95:>8.0f}{raw.cpu:>8.0f}{raw.median / ours.median:>7.1f}",
            flush=True,
        )


def ready_segments(store: Store, directory: Path, count: int, rows: int) -> list[bytes]:
    """Make segments of five seconds each, as the collector's spool holds them."""
    segments = []
    types = {name: type_name.replace("'", "\\'") for name, type_name in ROW_COLUMNS.items()}
    columns = ", ".join(f"CAST({name}, '{type_name}') AS {name}" for name, type_name in types.items())
    for number in range(count):
        file = directory / f"segment-{number}"
        values = event_rows(time.time() - 100, 5, rows * 1000, range(number * rows, (number + 1) * rows))
        values |= {"step_us": 5e6 / rows, "start_us": values["start_us"] - int(number * rows * 5e6 / rows)}
        store.command(f"SELECT {columns} FROM ({ROWS}) INTO OUTFILE '{file}' FORMAT Native", values)
        segments.append(file.read_bytes())
    return segments


def measure_inserts(count: int, rows: int) -> None:
    """Measure the rates with and without the rollups' views, turn by turn: what else the machine does hits both."""
    with tempfile.TemporaryDirectory() as directory:
        store = Store(f"chdb://{directory}/store")
        store.open()
        try:
            migrations.migrate(store)
            segments = ready_segments(store, Path(directory), count, rows)
            taken: dict[str, list[tuple[float, float]]] = {kind: [] for kind in DETACHED}
            for body in segments:
                for kind, detached in DETACHED.items():
                    for table in detached:
                        store.command(f"DETACH TABLE {table}_view")
                    wall, cpu = time.perf_counter(), time.process_time()
                    store.insert_rows(uuid.uuid4().hex, body)
                    taken[kind].append((time.perf_counter() - wall, time.process_time() - cpu))
                    for table in detached:
                        store.command(f"ATTACH TABLE {table}_view")
        finally:
            store.close()
    for kind, times in taken.items():
        wall, cpu = (statistics.median(values) for values in zip(*times, strict=True))
        print(
            f"insert, segments of {rows:,} rows, {kind}: {rows / wall:,.0f} rows/s,"
            f" {1e6 * cpu / rows:.2f} µs of processor time per row"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000_000)
    parser.add_argument("--directory", type=Path, help="keep the store here, and reuse it")
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--raw-repeat", type=int, default=1, help="0: leave raw events out")
    parser.add_argument("--segments", type=int, default=8, help="0: leave the insert rates out")
    parser.add_argument("--months", type=int, default=1, help="ask again with rollups of so many months")
    parser.add_argument("--segment-rows", type=int, default=100_000)
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = given.directory or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.mkdir(parents=True, exist_ok=True)
        store = opened_with_events(directory, given.events)
        try:
            print_sizes(store)
            measure_questions(store, given.repeat, given.raw_repeat)
            if given.months > 1:
                add_months(store, given.months - 1)
                measure_questions(store, given.repeat, 0)
        finally:
            store.close()
    if given.segments:
        measure_inserts(given.segments, given.segment_rows)
    print(f"largest resident size: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


if __name__ == "__main__":
    main()
