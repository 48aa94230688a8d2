"""The events that `collector_ingest.py` sends, as rows of the wire and as bodies of each format."""

from __future__ import annotations

import json
import os
import random
import time

from apimetry.middleware import wire


def rows(count: int, seed: int) -> list[tuple[object, ...]]:
    """Make events of the last hour: 10,000 URLs, 30 routes, 500 consumers."""
    rng = random.Random(seed)
    now_us = int(time.time() * 1e6)
    return [
        (
            now_us - rng.randrange(3_600_000_000), rng.choice(["GET", "GET", "POST"]),
            f"/v1/scores/{rng.randrange(10_000)}", f"/v1/scores/{{identity}}/{rng.randrange(30)}",
            f"scores.handler_{rng.randrange(30)}", rng.choice([200, 200, 200, 404, 500]), rng.randrange(1000, 90_000),
            None, rng.randrange(2000), rng.randrange(9000), f"consumer-{rng.randrange(500)}", "", "", "", 1, None,
        )
        for _ in range(count)
    ]  # fmt: skip


# The event of the timeseries API, and nothing of ours.
SEED_FIELDS = ("timestamp", "consumer_id", "method", "url", "function", "response_us", "status_code")

_SENDER = {"source": "bench", "version": "1", "instance": "b" * 32, "captured": 0, "sent": 0, "dropped": {}}


def live_batches(events: int, batch: int, began_s: float, rate: float) -> list[bytes]:
    """Make distinct batches of events in order of time, `rate` a second; each goes out after its last event."""
    kinds = [rows(batch, seed) for seed in range(100)]
    bodies = []
    for number in range(events // batch):
        first_us, step_us = 1e6 * (began_s + number * batch / rate), 1e6 / rate
        kind = kinds[number % len(kinds)]
        timed = [(int(first_us + index * step_us), *row[1:]) for index, row in enumerate(kind)]
        bodies.append(wire.encode_batch(number.to_bytes(8, "big") + os.urandom(8), _SENDER, timed))
    return bodies


def batches(events: int, batch: int, form: str, *, first: int = 0) -> list[bytes]:
    """Make distinct batches; the events of a hundred of them repeat under other ids, to make them quickly."""
    kinds = [rows(batch, seed) for seed in range(min(100, events // batch))]
    if form == "json":
        objects = [[_object(row) for row in kind] for kind in kinds]
        texts = [json.dumps(event).encode() for event in objects]
        return [texts[number % len(texts)] for number in range(events // batch)]
    return [
        wire.encode_batch((first + number).to_bytes(16, "big"), _SENDER, kinds[number % len(kinds)])
        for number in range(events // batch)
    ]


def _object(row: tuple[object, ...]) -> dict[str, object]:
    values = dict(zip(wire.EVENT_FIELDS, row, strict=True))
    values["timestamp"] = row[0] / 1e6  # type: ignore[operator]
    return {name: values[name] for name in SEED_FIELDS}


def line_protocol(events: int, seed: int = 0) -> bytes:
    """Write as many points for a time series database: tags of the dimensions, the response time as the value."""
    return b"\n".join(
        f"events,method={row[1]},route=r{hash(row[3]) % 30},status={row[5]},consumer={row[10]} response_us={row[6]} "
        f"{row[0]}000".encode()
        for row in rows(events, seed)
    )
