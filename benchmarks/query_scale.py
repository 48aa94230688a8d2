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

DAY_S = 86_400
DAYS = 30
SPAN_S = DAYS * DAY_S
PAST_HOUR_S = 2366
ROWS_PER_INSERT = 1_000_000
APPLICATION = "bench"
# What views fill from events. Other rollups are filled from these.
FED = ("hourly_totals", "hourly_origins", "hourly_consumers", "hourly_consumers_untimed", "minute_totals")
DETACHED: dict[str, tuple[str, ...]] = {
    "all rollups": (),
    "no minutes": ("minute_totals",),
    "no days": tuple(table for table in TABLES if table.startswith("daily")),
    "no rollups": FED,
}
LIMITS = Limits(max_points=100_000, max_groups=10_000)

# Few routes and consumers have most of the requests; each route has its method and its usual latency.
ROWS = """WITH toUInt32(60 * pow((sipHash64(number, 1) % 1000003) / 1000003, 2)) AS r,
  toUInt32(2000 * pow((sipHash64(number, 2) % 1000003) / 1000003, 2)) AS consumer,
  (sipHash64(number, 3) % 1000003 + 1) / 1000004 AS u,
  (sipHash64(number, 4) % 1000003) / 1000003 AS v,
  sipHash64(number, 5) % 1000 AS luck,
  exp(8 + (r % 13) * 0.3 + 0.8 * sqrt(-2 * log(u)) * cos(2 * pi() * v)) AS latency,
  ['GET', 'GET', 'GET', 'POST', 'DELETE', 'GET', 'PUT'][r % 7 + 1] AS verb,
  multiIf(luck < 930, if(verb = 'POST', 201, 200), luck < 960, 404, luck < 970, 401, luck < 980, 429, luck < 990,
    500, luck < 995, 400, 503) AS status
SELECT {application:String} AS application,
  fromUnixTimestamp64Micro({start_us:Int64} + toInt64(number * {step_us:Float64})
    + toInt64(sipHash64(number, 6) % {jitter_us:UInt64}), 'UTC') AS timestamp,
  verb AS method,
  concat('/v1/resource', toString(r), '/', toString(sipHash64(number, 7) % 20000)) AS url,
  concat('/v1/resource', toString(r), '/{id}') AS route,
  concat('views.resource', toString(r)) AS function,
  status AS status_code,
  toUInt64(latency) AS response_us,
  if(sipHash64(number, 8) % 10 = 0, NULL, toUInt64(latency * 0.8)) AS ttfb_us,
  if(verb = 'GET', NULL, toUInt64(exp(5 + 3 * u))) AS request_bytes,
  toUInt64(exp(5 + 5 * v)) AS response_bytes,
  concat('consumer-', toString(consumer)) AS consumer_id,
  if(status >= 500, ['ValueError', 'TimeoutError'][number % 2 + 1], '') AS error_type,
  concat('10.0.', toString(consumer % 256), '.0') AS client_ip,
  concat('Mozilla/5.0 (agent ', toString(consumer % 50), ')') AS user_agent,
  1 AS sample_weight,
  map() AS data,
  concat('web-', toString(sipHash64(number, 9) % 4)) AS source,
  concat('1.', toString(intDiv(number * 5, {events:UInt64}))) AS version,
  90 AS retention_days,
  concat('Agent ', toString(consumer % 50)) AS user_agent_family
FROM numbers({first:UInt64}, {rows:UInt64})"""


def event_rows(start_s: float, span_s: float, events: int, rows: range) -> dict[str, object]:
    """Return what ROWS binds for some of the `events` that lie evenly in the span."""
    step_us = span_s * 1_000_000 / events
    return {
        "application": APPLICATION,
        "start_us": int(start_s * 1_000_000),
        "step_us": step_us,
        "jitter_us": max(1, int(step_us)),
        "events": events,
        "first": rows.start,
        "rows": len(rows),
    }


def fill(store: Store, events: int, start_s: int) -> None:
    """Make the events, and the rollups through their views."""
    started = time.perf_counter()
    insert = f"INSERT INTO events ({', '.join(ROW_COLUMNS)}) {ROWS}"
    for first in range(0, events, ROWS_PER_INSERT):
        rows = range(first, min(first + ROWS_PER_INSERT, events))
        store.command(insert, event_rows(start_s, SPAN_S, events, rows), settings={"async_insert": 0})
    merge_old_parts(store)
    print(f"{events:,} events over {DAYS} days made in {time.perf_counter() - started:,.0f} s")


def merge_old_parts(store: Store) -> None:
    """Merge the parts of rollups whose rows are a day old, as the engine does once the parts are."""
    partitions = store.query(
        "SELECT table, partition_id FROM system.parts WHERE active AND database = {d:String}"
        " AND table IN {t:Array(String)} GROUP BY table, partition_id HAVING max(max_time) < now() - 86400",
        {"d": store.database, "t": list(TABLES)},
    )
    for table, partition in partitions:
        store.command(f"OPTIMIZE TABLE {table} PARTITION ID '{partition}' FINAL")


def opened_with_events(directory: Path, events: int) -> Store:
    """Return the store in `directory` with its events: those of an earlier run, or new ones.

    The newest event is never at the end of an hour: PAST_HOUR_S after its beginning.
    """
    store = Store(f"chdb://{directory}/store")
    store.open()
    migrations.migrate(store)
    ((stored,),) = store.query("SELECT count() FROM events")
    if stored == 0:
        fill(store, events, (int(time.time()) - PAST_HOUR_S) // 3600 * 3600 + PAST_HOUR_S - SPAN_S)
    elif not events <= stored <= 1.01 * events:  # `page_at_scale.py` adds some
        raise SystemExit(f"{directory} holds {stored:,} events, not {events:,}: name another directory")
    return store


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


def now_of(store: Store) -> int:
    """Return the second after the newest event."""
    ((newest,),) = store.query("SELECT toUnixTimestamp(max(timestamp)) FROM events")
    return int(newest) + 1


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
    limits = RequestLimits(None, None, None)
    created = datetime(2020, 1, 1, tzinfo=timezone.utc)
    application = Application(APPLICATION, "organization", "Bench", 90, limits, created)

    def ask_usage() -> object:
        query = parse_usage([("timeframe", "30d")], now)
        return json_response(answer_usage(query, application, ask=store.ask, now=now))

    yield "usage over 30 days", ask_usage, 60
    memory, moments = Memory(64 * 1024**2, store.inserts), itertools.count(now)

    def ask_moving_usage() -> object:
        now = next(moments)
        query, about = parse_usage([("timeframe", "30d")], now), About(APPLICATION, ((now - SPAN_S, now),), 90)
        ask = memory.recall(query, about, store.ask, now)
        return json_response(answer_usage(query, application, ask=ask, now=now))

    yield "usage over 30 days, its end moves", ask_moving_usage, 60
    year = [("start", str(now - 365 * DAY_S)), ("end", str(now))]
    of_year = parse_usage(year, now)
    yield "usage over 365 days", lambda: answer_usage(of_year, application, ask=store.ask, now=now), 120
    summary = parse_summary([("start", str(now - SPAN_S)), ("end", str(now))], now)
    yield "summary of 30 days", lambda: answer_summary(summary, application, ask=store.ask, now=now), 30
    month = [("start", str(end - SPAN_S)), ("end", str(end))]
    of_hours = parse_summary(month, now)
    yield "summary of 720 hours", lambda: answer_summary(of_hours, application, ask=store.ask, now=now), 30

    def ask_moving_summary() -> object:
        now = next(moments)
        query = parse_summary([("start", str(now - SPAN_S)), ("end", str(now))], now)
        ask = memory.recall(query, About(APPLICATION, ((now - SPAN_S, now),), 90), store.ask, now)
        return answer_summary(query, application, ask=ask, now=now)

    yield "summary of 30 days, its end moves", ask_moving_summary, 30
    for name, columns in TABLES_OF_30_DAYS.items():
        table = parse_breakdown([*month, *columns], end)

        def ask_table(table: BreakdownQuery = table) -> object:
            return answer_breakdown(table, APPLICATION, ask=store.ask, now=now)

        yield name, ask_table, 120


def add_months(store: Store, months: int) -> None:
    """Give the rollups `months` older months, copies of the newest; their rows are kept for `months` too."""
    days = f"toIntervalDay({DAYS} * {{back:UInt16}})"
    ((first,),) = store.query("SELECT toUnixTimestamp(max(time)) + 3600 FROM hourly_totals")
    for back, table in itertools.product(range(1, months + 1), FED):
        if table in ("minute_totals", "hourly_consumers_untimed"):
            continue  # minutes are recent, and the second is another view of `hourly_consumers`
        store.command(
            f"INSERT INTO {table} SELECT * REPLACE (time - {days} AS time, 4000 AS retention_days)"
            f" FROM (SELECT * FROM {table} WHERE time >= {{first:UInt32}})"
            " SETTINGS max_partitions_per_insert_block = 0",
            {"back": back, "first": first - SPAN_S},
            settings={"async_insert": 0},
        )
    merge_old_parts(store)
    ((requests,),) = store.query("SELECT sum(requests) FROM hourly_totals WHERE dimension = 'all'")
    print(f"the rollups hold {requests:,} requests of {DAYS * (months + 1)} days now")


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


def print_sizes(store: Store) -> None:
    sizes = {
        table: (rows, size)
        for table, rows, size in store.query(
            "SELECT table, sum(rows), sum(bytes_on_disk) FROM system.parts"
            " WHERE active AND database = {d:String} GROUP BY table",
            {"d": store.database},
        )
    }
    events = sizes["events"][1]
    for table in ("events", *TABLES):
        rows, size = sizes[table]
        print(f"{table:<20}{rows:>14,} rows{size / 1e6:>10,.1f} MB{100 * size / events:>8.1f} % of the events")
    print(f"{'all rollups':<20}{100 * sum(sizes[table][1] for table in TABLES) / events:>44.1f} % of the events")


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
