"""What the engine does with the same rows when nothing stands before it: the limits of `collector_ingest.py`.

    python benchmarks/_engine_alone.py {msgpack,native,json} DIRECTORY EVENTS BATCH

Prints the seconds and the CPU seconds of one insert into the same tables, all rollups included.
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import chain
from pathlib import Path

import msgspec

from apimetry.collector.formats.blocks import make_target
from apimetry.collector.formats.msgpack import decode_msgpack
from apimetry.collector.formats.user_agents import UserAgents
from apimetry.store.events import ROW_COLUMNS, insert_settings
from apimetry.store.native import decode_block
from benchmarks._collector_under_test import APPLICATION, store_of
from benchmarks._ingest_events import batches, rows


def main() -> None:
    form, directory, events, batch = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    store = store_of("embedded", directory)
    agents = UserAgents()
    target = make_target(APPLICATION, 90, now_us=time.time_ns() // 1000, max_ahead_s=86_400, user_agents=agents)
    warm = decode_msgpack(batches(batch, batch, "msgpack")[0], target, max_events=batch).row_bytes
    store.insert_rows("warm", warm)
    of_insert = store._pool.call(lambda client: insert_settings(client, form), repeats=True)  # noqa: SLF001 - as the collector inserts
    settings = ", ".join(f"{name} = '{value}'" for name, value in of_insert.items())
    if form == "json":
        path = directory / "events.json"
        with path.open("w") as file:
            kinds = [rows(batch, seed) for seed in range(min(100, events // batch))]
            for number in range(events // batch):
                for row in kinds[number % len(kinds)]:
                    names = dict(zip(JSON_FIELDS, row, strict=False))
                    names["timestamp"] = round(row[0] / 1e6, 6)
                    file.write(json.dumps({"application": APPLICATION, "retention_days": 90, **names}) + "\n")
        columns = ", ".join(("application", "retention_days", *JSON_FIELDS))
        began_s, cpu_s = time.perf_counter(), time.process_time()
        store.command(f"INSERT INTO events ({columns}) FROM INFILE '{path}' SETTINGS {settings} FORMAT JSONEachRow")
    else:
        sent = batches(events, batch, "msgpack")
        blocks = [decode_msgpack(body, target, max_events=batch).row_bytes for body in sent]
        body = b"".join(blocks if form == "native" else map(as_msgpack, blocks))
        began_s, cpu_s = time.perf_counter(), time.process_time()
        if form == "native":
            store.insert_rows("one-ready-body", body)
        else:
            path = directory / "events.msgpack"
            path.write_bytes(body)
            columns = ", ".join(ROW_COLUMNS)
            store.command(f"INSERT INTO events ({columns}) FROM INFILE '{path}' SETTINGS {settings} FORMAT MsgPack")
    print(time.perf_counter() - began_s, time.process_time() - cpu_s)
    sys.stdout.flush()
    store.close()
    os._exit(0)


def as_msgpack(block: bytes) -> bytes:
    """Return the rows of a block as values of MsgPack one after another."""
    columns = [column.values for column in decode_block(block)]
    return b"".join(map(msgspec.msgpack.encode, chain.from_iterable(zip(*columns, strict=True))))


_MADE_BY_US = {"application", "data", "source", "version", "retention_days", "user_agent_family"}
JSON_FIELDS = tuple(name for name in ROW_COLUMNS if name not in _MADE_BY_US)

if __name__ == "__main__":
    main()
