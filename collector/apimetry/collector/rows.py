"""Events to rows of ClickHouse's `MsgPack` format: values one after another, without a header per row.

All values of a batch are encoded by one call as one flat array, whose single header is then cut off.
Timestamps out of range are the one check that types cannot make; it is made here, beside the arithmetic.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from apimetry.collector.events import JSONEvent, LenientJSONEvent, LenientWireEvent, Sender, WireEvent

ROW_FIELDS = (
    "application", "timestamp", "method", "url", "route", "function", "status_code", "response_us", "ttfb_us",
    "request_bytes", "response_bytes", "consumer_id", "error_type", "client_ip", "user_agent",
    "sample_weight", "data", "source", "version", "retention_days",
)  # fmt: skip
"""The order of values written here; a test compares it with the store's `ROW_COLUMNS`."""

FORMER_ROW_FIELDS: tuple[tuple[str, ...], ...] = ()
"""What earlier versions wrote, newest first: a spool that they left is inserted under the columns it has. Whoever
changes ROW_FIELDS adds the former ones here."""

UNKNOWN_FUNCTION = "unknown"
NO_DATA: dict[str, str] = {}
US_PER_S = 1_000_000
US_PER_DAY = 86_400 * US_PER_S


def row_schema(fields: tuple[str, ...]) -> int:
    """Stands for a list of columns in a segment's header: rows of unknown columns are not inserted by mistake."""
    return zlib.crc32(",".join(fields).encode())


ROW_SCHEMA = row_schema(ROW_FIELDS)
ROW_SCHEMAS: Mapping[int, tuple[str, ...]] = {
    row_schema(fields): fields for fields in (ROW_FIELDS, *FORMER_ROW_FIELDS)
}
"""Every list of columns that this version can insert, by its number."""

_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Target:
    """The application a batch belongs to, and the range of timestamps it takes, in µs since the epoch."""

    application: str
    retention_days: int
    earliest_us: int
    latest_us: int


def make_target(application: str, retention_days: int, *, now_us: int, max_ahead_s: int) -> Target:
    """The target of a batch that arrives at `now_us`."""
    earliest_us = max(0, now_us - retention_days * US_PER_DAY)
    return Target(application, retention_days, earliest_us, now_us + max_ahead_s * US_PER_S)


@dataclass(slots=True)
class Rows:
    """A growing batch: flat values, and the indexes of the events left out for their timestamps."""

    values: list[object] = field(default_factory=list)
    count: int = 0
    out_of_range: list[tuple[int, float]] = field(default_factory=list)


def add_wire_events(
    rows: Rows, events: Iterable[tuple[int, WireEvent | LenientWireEvent]], target: Target, sender: Sender
) -> None:
    """Append numbered events of the msgpack format."""
    values, application, days = rows.values, target.application, target.retention_days
    earliest, latest, source, version = target.earliest_us, target.latest_us, sender.source, sender.version
    for index, e in events:
        if not earliest <= e.timestamp_us <= latest:
            rows.out_of_range.append((index, e.timestamp_us / US_PER_S))
            continue
        rows.count += 1
        values += (
            application, e.timestamp_us, e.method, e.url, e.route, e.function or UNKNOWN_FUNCTION,
            e.status_code, e.response_us, e.ttfb_us, e.request_bytes, e.response_bytes, e.consumer_id,
            e.error_type, e.client_ip, e.user_agent, e.sample_weight, e.data or NO_DATA, source, version,
            days,
        )  # fmt: skip


def add_json_events(rows: Rows, events: Iterable[tuple[int, JSONEvent | LenientJSONEvent]], target: Target) -> None:
    """Append numbered events of the JSON format."""
    values, application, days = rows.values, target.application, target.retention_days
    earliest, latest = target.earliest_us, target.latest_us
    for index, e in events:
        timestamp_us = e.timestamp * US_PER_S
        if not earliest <= timestamp_us <= latest:
            rows.out_of_range.append((index, e.timestamp))
            continue
        rows.count += 1
        values += (
            application, round(timestamp_us), e.method, e.url, e.route or "", e.function or UNKNOWN_FUNCTION,
            e.status_code, e.response_us, e.ttfb_us, e.request_bytes, e.response_bytes, e.consumer_id or "",
            e.error_type or "", e.client_ip or "", e.user_agent or "", e.sample_weight or 1,
            e.data or NO_DATA, e.source or "", e.version or "", days,
        )  # fmt: skip


def encode_rows(rows: Rows) -> bytes:
    """The rows' values, one after another."""
    encoded = _encoder.encode(rows.values)
    # An array's header is 1 byte up to 15 elements, 3 up to 65,535, 5 beyond.
    length = len(rows.values)
    return encoded[1 if length < 16 else 3 if length < 65_536 else 5 :]
