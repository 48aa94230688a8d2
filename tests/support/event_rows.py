"""Rows of the events table as the writer sends them."""

from __future__ import annotations

import time

import msgpack

from apimetry.store.events import ROW_COLUMNS

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
}


def now_us() -> int:
    """Now, in microseconds since the epoch."""
    return time.time_ns() // 1000


def encode_row(**values: object) -> bytes:
    """One row of MsgPack values, now unless it has a timestamp."""
    row = {**DEFAULTS, "timestamp": now_us(), **values}
    return b"".join(msgpack.packb(row[column]) for column in ROW_COLUMNS)


def encode_rows(count: int, **values: object) -> bytes:
    """`count` rows with `url` /0, /1, …: each is told apart."""
    values = {"timestamp": now_us(), **values}
    return b"".join(encode_row(url=f"/{number}", **values) for number in range(count))
