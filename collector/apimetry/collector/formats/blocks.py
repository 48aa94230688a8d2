"""Encode events as a block of the events table: whole columns at once, without a step per event.

The types of an event cannot check that its timestamp is in range. This module checks that, on the whole column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress

from msgspec import Struct
from msgspec.structs import astuple

from apimetry.collector.formats.event_structs import JSONEvent, LenientJSONEvent, LenientWireEvent, Sender, WireEvent
from apimetry.collector.formats.user_agents import UserAgents
from apimetry.collector.traffic.tally import Tally, tally
from apimetry.middleware.wire import METHODS, bound_method
from apimetry.store.events import ROW_COLUMNS
from apimetry.store.native import Values, encode_block

UNKNOWN_FUNCTION = "unknown"
NO_DATA: dict[str, str] = {}
US_PER_S = 1_000_000
US_PER_DAY = 86_400 * US_PER_S

Columns = dict[str, Values]
WIRE_COLUMNS = ("timestamp", *WireEvent.__struct_fields__[1:])
"""The table's names for the fields of the msgpack format."""


@dataclass(frozen=True, slots=True)
class Target:
    """A batch's application, the range of accepted timestamps in µs since the epoch, and what names user agents."""

    application: str
    retention_days: int
    earliest_us: int
    latest_us: int
    user_agents: UserAgents
    counts_traffic: bool = False
    """Whether a batch has a tally of its rows."""


def make_target(  # noqa: PLR0913 - what it holds
    application: str,
    retention_days: int,
    *,
    now_us: int,
    max_ahead_s: int,
    user_agents: UserAgents,
    counts_traffic: bool = False,
) -> Target:
    """Return the target of a batch that arrives at `now_us`."""
    earliest_us = max(0, now_us - retention_days * US_PER_DAY)
    return Target(
        application, retention_days, earliest_us, now_us + max_ahead_s * US_PER_S, user_agents, counts_traffic
    )


@dataclass(slots=True)
class Block:
    """The rows of a batch as one block (empty without rows), and the positions of events with a bad timestamp."""

    row_bytes: bytes = b""
    count: int = 0
    tally: Tally | None = None
    out_of_range: list[int] = field(default_factory=list)


def encode_wire_events(events: Sequence[WireEvent | LenientWireEvent], target: Target, sender: Sender) -> Block:
    """Return events of the msgpack format as a block."""
    rows, columns = _in_range(_columns(WIRE_COLUMNS, events), target)
    if rows.count:
        columns["source"] = (sender.source,) * rows.count
        columns["version"] = (sender.version,) * rows.count
        _encode(rows, columns, target)
    return rows


def encode_json_events(events: Sequence[JSONEvent | LenientJSONEvent], target: Target) -> Block:
    """Return events of the JSON format as a block."""
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


def encode_columns(columns: Columns, target: Target) -> Block:
    """Return events as a block; `columns` has all values of every column that a sender fills, or nothing."""
    rows, columns = _in_range(columns, target)
    if rows.count:
        _encode(rows, columns, target)
    return rows


def _columns(names: Sequence[str], events: Sequence[Struct]) -> Columns:
    return dict(zip(names, zip(*map(astuple, events), strict=True), strict=True)) if events else {}


def _in_range(columns: Columns, target: Target) -> tuple[Block, Columns]:
    """Return the columns without the rows whose timestamps are out of range, and a block with their positions."""
    timestamps, earliest, latest = columns.get("timestamp", ()), target.earliest_us, target.latest_us
    if not timestamps or (earliest <= min(timestamps) and max(timestamps) <= latest):
        return Block(count=len(timestamps)), columns
    in_range = [earliest <= timestamp <= latest for timestamp in timestamps]
    out_of_range = [position for position, is_in_range in enumerate(in_range) if not is_in_range]
    columns = {name: list(compress(values, in_range)) for name, values in columns.items()}
    return Block(count=in_range.count(True), out_of_range=out_of_range), columns


def _encode(rows: Block, columns: Columns, target: Target) -> None:
    columns["function"] = _filled(columns["function"], UNKNOWN_FUNCTION)
    columns["data"] = _filled(columns["data"], NO_DATA)
    if not METHODS.issuperset(columns["method"]):
        _bound_methods(columns)
    columns["user_agent_family"] = target.user_agents.families(columns["user_agent"])
    columns["application"] = (target.application,) * rows.count
    columns["retention_days"] = (target.retention_days,) * rows.count
    if target.counts_traffic:
        rows.tally = tally(columns)
    rows.row_bytes = encode_block(ROW_COLUMNS, [columns[name] for name in ROW_COLUMNS])


def _bound_methods(columns: Columns) -> None:
    """Replace every unknown method by `OTHER`, and put its text into the event's data."""
    bounded = [bound_method(method) for method in columns["method"]]
    columns["method"] = [method for method, _ in bounded]
    columns["data"] = [
        {"method": text, **data} if text else data for (_, text), data in zip(bounded, columns["data"], strict=True)
    ]


def _filled(values: Values, default: object) -> Values:
    """Return the values with `default` in place of empty and absent values."""
    if all(values):
        return values
    return [value or default for value in values] if any(values) else (default,) * len(values)
