"""Time to answer timeseries questions from raw events: the median of several, from SQL to JSON bytes.

    python benchmarks/timeseries_raw.py [--events 5000000] [--days 7] [--repeat 5] [--url clickhouse://…]

The events are made inside the engine. Without a URL the store is embedded, in a temporary directory. No question is
begun after 90 seconds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import uuid

from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import parse_timeseries
from apimetry.query_api.timeseries.reading import Limits
from apimetry.serving.service import json_response
from apimetry.store import migrations
from apimetry.store.client import Store

BUDGET_S = 90
LIMITS = Limits(max_points=100_000, max_groups=10_000)
DAY_S = 86_400
ROWS_PER_INSERT = 1_000_000

# 40 routes, 5,000 consumers, 100,000 URLs, latencies that fall off as they do, one error in twenty.
INSERT = """INSERT INTO events (application, timestamp, method, url, route, function, status_code, response_us,
  ttfb_us, request_bytes, response_bytes, consumer_id, sample_weight, source, version, retention_days)
SELECT {application:String},
  fromUnixTimestamp64Micro({start_us:Int64} + intDiv({span_us:Int64} * toInt64(number), {events:Int64}), 'UTC'),
  ['GET', 'GET', 'GET', 'POST', 'DELETE'][cityHash64(number, 1) % 5 + 1],
  concat('/v1/items/', toString(cityHash64(number, 2) % 100000)),
  concat('/v1/route', toString(cityHash64(number, 3) % 40)),
  concat('function', toString(cityHash64(number, 3) % 40)),
  if(cityHash64(number, 4) % 20 = 0, 500, 200),
  toUInt64(exp(7 + 6 * pow((cityHash64(number, 5) % 100000) / 100000, 2))),
  if(cityHash64(number, 6) % 10 = 0, NULL, cityHash64(number, 6) % 100000),
  cityHash64(number, 7) % 2000, cityHash64(number, 8) % 20000,
  concat('consumer-', toString(cityHash64(number, 9) % 5000)), 1, 'web', '1.0', 3650
FROM numbers({first:UInt64}, {rows:UInt64})"""

HOUR, DAY, ALL = 3600, DAY_S, 0
QUESTIONS = (
    ("last hour by minute, count", HOUR, "granularity=minute"),
    ("last hour by minute, p95", HOUR, "granularity=minute&aggregation=percentile_95"),
    ("last hour by second, count", HOUR, "granularity=second"),
    ("last day by hour, count", DAY, "granularity=hour"),
    ("last day by hour and consumer, 10 largest", DAY, "granularity=hour&group=consumer_id&limit=10"),
    ("last day by hour and route, p95", DAY, "granularity=hour&group=route&aggregation=percentile_95"),
    ("all by hour, count", ALL, "granularity=hour"),
    ("all by hour, mean", ALL, "granularity=hour&aggregation=mean"),
    ("all by hour, p95", ALL, "granularity=hour&aggregation=percentile_95"),
    ("all by hour, p95 of errors", ALL, "granularity=hour&aggregation=percentile_95&include=status_code:500"),
    ("all by minute, count", ALL, "granularity=minute"),
    ("all by minute and method, count", ALL, "granularity=minute&group=method"),
    ("all by 7 s, count (the most points)", ALL, "granularity=7"),
    ("all, 10 largest urls", ALL, "group=url&limit=10"),
)


def fill(store: Store, application: str, events: int, span_s: int) -> tuple[int, float]:
    """Make `events` that end now; return the first second and how long it took."""
    end = int(time.time()) // HOUR * HOUR
    started = time.perf_counter()
    for first in range(0, events, ROWS_PER_INSERT):
        parameters = {
            "application": application,
            "start_us": (end - span_s) * 1_000_000,
            "span_us": span_s * 1_000_000,
            "events": events,
            "first": first,
            "rows": min(ROWS_PER_INSERT, events - first),
        }
        store.command(INSERT, parameters, settings={"async_insert": 0})
    return end - span_s, time.perf_counter() - started


def ask(store: Store, application: str, start: int, end: int, text: str) -> tuple[float, int, int]:
    """Return the seconds that one question took, its points and its bytes."""
    parameters = [tuple(pair.split("=", 1)) for pair in text.split("&")]
    started = time.perf_counter()
    query = parse_timeseries(str(start), str(end), parameters, max_groups=LIMITS.max_groups)
    answer = answer_timeseries(query, application, ask=store.ask, limits=LIMITS)
    body = json_response(answer).body
    elapsed = time.perf_counter() - started
    return elapsed, sum(map(len, answer["groups"].values())), len(body)


def run(store: Store, events: int, days: int, repeat: int) -> None:
    """Fill the store and print a line for each question."""
    deadline = time.monotonic() + BUDGET_S
    migrations.migrate(store)
    application = f"bench-{uuid.uuid4().hex[:8]}"
    start, seconds = fill(store, application, events, days * DAY_S)
    end = start + days * DAY_S
    print(f"{events:,} events over {days} days made in {seconds:.1f} s")
    print(f"{'question':<44}{'median ms':>10}{'slowest':>10}{'points':>9}{'KiB':>7}")
    for name, span_s, text in QUESTIONS:
        if time.monotonic() > deadline:
            print(f"{name:<44} left out: over {BUDGET_S} s")
            continue
        runs = [ask(store, application, end - span_s if span_s else start, end, text) for _ in range(repeat)]
        times = [1000 * elapsed for elapsed, _, _ in runs]
        _, points, size = runs[0]
        print(f"{name:<44}{statistics.median(times):>10.1f}{max(times):>10.1f}{points:>9,}{size // 1024:>7,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--url", help="a ClickHouse server instead of an embedded store")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        store = Store(arguments.url or f"chdb://{directory}/store")
        store.open()
        try:
            run(store, arguments.events, arguments.days, arguments.repeat)
        finally:
            store.close()


if __name__ == "__main__":
    main()
