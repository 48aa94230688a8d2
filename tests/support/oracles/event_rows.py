"""Rows of the events table as the writer sends them."""

from __future__ import annotations

import time

from apimetry.store.events import ROW_COLUMNS
from apimetry.store.native import encode_block

DEFAULTS: dict[str, object] = {
    "application": "shop",
    "timestamp": 0,
    "method": "GET",
    "url": "/v1/items/7",
    "route": "/v1/items/{id}",
    "function": "items.show",
    "status_code": 200,
    "response_us": 1_500,
    "ttfb_us": None,
    "request_bytes": None,
    "response_bytes": None,
    "consumer_id": "",
    "error_type": "",
    "client_ip": "",
    "user_agent": "",
    "sample_weight": 1,
    "data": {},
    "source": "",
    "version": "",
    "retention_days": 90,
    "user_agent_family": "",
}


def now_us() -> int:
    """Now, in microseconds since the epoch."""
    return time.time_ns() // 1000


def encode_row(**values: object) -> bytes:
    """A block of one row, now unless it has a timestamp."""
    return _encode([{"timestamp": now_us(), **values}])


def encode_rows(count: int, **values: object) -> bytes:
    """A block of `count` rows with `url` /0, /1, …: each is told apart."""
    values = {"timestamp": now_us(), **values}
    return _encode([{"url": f"/{number}", **values} for number in range(count)])


def _encode(rows: list[dict[str, object]]) -> bytes:
    whole = [{**DEFAULTS, **row} for row in rows]
    return encode_block(ROW_COLUMNS, [[row[column] for row in whole] for column in ROW_COLUMNS])
