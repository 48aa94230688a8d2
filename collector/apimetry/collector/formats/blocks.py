"""Events to a block of the events table: columns at once, without a step for each event.

Timestamps out of range are the one check that types cannot make; it is made here, where a batch's are a column.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress

from msgspec import Struct
from msgspec.structs import astuple

from apimetry.collector.formats.event_structs import JSONEvent, LenientJSONEvent, LenientWireEvent, Sender, WireEvent
from apimetry.middleware.wire import METHODS, bound_method
from apimetry.store.events import ROW_COLUMNS
from apimetry.store.native import Values, encode_block

UNKNOWN_FUNCTION = "unknown"
NO_DATA: dict[str, str] = {}
US_PER_S = 1_000_000
US_PER_DAY = 86_400 * US_PER_S

Columns = dict[str, Values]
WIRE_COLUMNS = ("timestamp", *WireEvent.__struct_fields__[1:])
"""What the fields of the msgpack format are called in the table."""


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
class Block:
    """A batch as one block (none for no rows), and the positions of the events left out for their timestamps."""

    row_bytes: bytes = b""
    count: int = 0
    left_out: list[int] = field(default_factory=list)


def encode_wire_events(events: Sequence[WireEvent | LenientWireEvent], target: Target, sender: Sender) -> Block:
    """Events of the msgpack format as rows."""
    rows, columns = _in_range(_columns(WIRE_COLUMNS, events), target)
    if rows.count:
        columns["source"] = (sender.source,) * rows.count
        columns["version"] = (sender.version,) * rows.count
        _encode(rows, columns, target)
    return rows


def encode_json_events(events: Sequence[JSONEvent | LenientJSONEvent], target: Target) -> Block:
    """Events of the JSON format as rows."""
    columns = _columns(JSONEvent.__struct_fields__, events)
    if events:
        columns["timestamp"] = [seconds * US_PER_S for seconds in columns["timestamp"]]
    rows, columns = _in_range(columns, target)
    if rows.count:
        columns["timestamp"] = list(map(round, columns["timestamp"]))
        for name in ("route", "consumer_id", "error_type", "client_ip", "user_agent", "source", "version"):
            columns[name] = _filled(columns[name], "")
        columns["sample_weight"] = _filled(columns["sample_weight"], 1)
        _encode(rows, columns, target)
    return rows


def _columns(names: Sequence[str], events: Sequence[Struct]) -> Columns:
    return dict(zip(names, zip(*map(astuple, events), strict=True), strict=True)) if events else {}


def _in_range(columns: Columns, target: Target) -> tuple[Block, Columns]:
    """The columns without the rows whose timestamps are out of range, which are noted."""
    timestamps, earliest, latest = columns.get("timestamp", ()), target.earliest_us, target.latest_us
    if not timestamps or (earliest <= min(timestamps) and max(timestamps) <= latest):
        return Block(count=len(timestamps)), columns
    kept = [earliest <= each <= latest for each in timestamps]
    left_out = [position for position, keep in enumerate(kept) if not keep]
    columns = {name: list(compress(values, kept)) for name, values in columns.items()}
    return Block(count=kept.count(True), left_out=left_out), columns


def _encode(rows: Block, columns: Columns, target: Target) -> None:
    columns["function"] = _filled(columns["function"], UNKNOWN_FUNCTION)
    columns["data"] = _filled(columns["data"], NO_DATA)
    if not METHODS.issuperset(columns["method"]):
        _bound_methods(columns)
    columns["application"] = (target.application,) * rows.count
    columns["retention_days"] = (target.retention_days,) * rows.count
    rows.row_bytes = encode_block(ROW_COLUMNS, [columns[name] for name in ROW_COLUMNS])


def _bound_methods(columns: Columns) -> None:
    """Call a method that nobody knows `OTHER`, and keep its text in the event's data."""
    bounded = [bound_method(method) for method in columns["method"]]
    columns["method"] = [method for method, _ in bounded]
    columns["data"] = [
        {"method": text, **data} if text else data for (_, text), data in zip(bounded, columns["data"], strict=True)
    ]


def _filled(values: Values, default: object) -> Values:
    """The values, with a default in place of empty and absent ones."""
    if all(values):
        return values
    return [value or default for value in values] if any(values) else (default,) * len(values)
