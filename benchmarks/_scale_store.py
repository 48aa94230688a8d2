"""A store with the events of one application at scale, made inside the engine.

30 days: 60 routes, 2,000 consumers, a million URLs, skewed latencies, nulls.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from apimetry.store import migrations
from apimetry.store.client import Store
from apimetry.store.events import ROW_COLUMNS
from apimetry.store.rollups import TABLES

DAY_S = 86_400
DAYS = 30
SPAN_S = DAYS * DAY_S
PAST_HOUR_S = 2366
ROWS_PER_INSERT = 1_000_000
APPLICATION = "bench"
# What views fill from events. Other rollups are filled from these.
FED = ("hourly_totals", "hourly_origins", "hourly_consumers", "hourly_consumers_untimed", "minute_totals")

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


def now_of(store: Store) -> int:
    """Return the second after the newest event."""
    ((newest,),) = store.query("SELECT toUnixTimestamp(max(timestamp)) FROM events")
    return int(newest) + 1


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
