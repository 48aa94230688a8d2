"""Pages of events as SQL. Pure.

The server binds values; text for `$name` comes from the closed sets of `planning.event_fields`. Rows are stored in
the order of time. So the engine reads backwards or forwards from a time, and stops when it has the rows of a page.
"""

from __future__ import annotations

from string import Template

from apimetry.query_api.events.params import EventsQuery
from apimetry.query_api.events.positions import Position
from apimetry.query_api.planning.event_fields import NULLABLE_NUMBERS
from apimetry.query_api.planning.filter_sql import filter_conditions, filter_parameters
from apimetry.store.statement import Statement

TIMESTAMP_US = "toUnixTimestamp64Micro(timestamp)"
# Ids are made of the hash: a change of the columns, or of their order, changes the ids of stored events. The engine's
# hash of null is null. The retention is no part of an event, and changes.
_HASHED = (
    *("method", "url", "route", "function", "status_code", "response_us", "ttfb_us", "request_bytes"),
    *("response_bytes", "consumer_id", "error_type", "client_ip", "user_agent", "sample_weight", "data", "source"),
    "version",
)
_ARGUMENTS = (f"isNull({name}), ifNull({name}, 0)" if name in NULLABLE_NUMBERS else name for name in _HASHED)
HASH = f"cityHash64({', '.join(_ARGUMENTS)})"

_SPAN = """application = {application:String}
    AND timestamp >= fromUnixTimestamp64Micro({low_us:Int64}, 'UTC')
    AND timestamp < fromUnixTimestamp64Micro({high_us:Int64}, 'UTC')"""
# The inner query reads the times and the columns of the filters. The hash needs every column: it is computed for the
# few events at these times.
_NEXT = Template("""SELECT $columns
FROM events
WHERE $span$conditions
  AND timestamp IN (
    SELECT timestamp
    FROM events
    WHERE $span$conditions
    ORDER BY timestamp$direction
    LIMIT {limit:UInt64})
ORDER BY timestamp$direction, row_hash$direction
LIMIT {limit:UInt64}""")
_AT = """application = {application:String}
    AND timestamp = fromUnixTimestamp64Micro({at_us:Int64}, 'UTC')"""
_COPIES = Template("""SELECT $columns
  FROM events
  WHERE $at$conditions
    AND row_hash = {at_hash:UInt64}
  LIMIT {limit:UInt64} OFFSET {skipped:UInt64}""")
_SAME_TIME = Template("""SELECT * FROM (
  $copies
  UNION ALL
  SELECT $columns
  FROM events
  WHERE $at$conditions
    AND row_hash $than {at_hash:UInt64}
  ORDER BY row_hash$direction
  LIMIT {limit:UInt64})
ORDER BY row_hash$direction
LIMIT {limit:UInt64}""")
_TRACE = "data['trace_id'] = {trace_id:String}"
_COUNT = f"""SELECT count()
FROM events
WHERE {_SPAN}"""  # noqa: S608 - our own text


def next_events(
    query: EventsQuery, application: str, span_us: tuple[int, int], *, limit: int, max_time_s: float | None = None
) -> Statement:
    """Return the first events of a span `[low, high)` of microseconds, in the query's order.

    With `max_time_s` the statement ends in time. Then it also reads the span with all threads, in no order: that is
    faster where few events pass the filters.
    """
    sql = _NEXT.substitute(
        columns=_columns(query.fields), span=_SPAN, conditions=_and(query), direction=_direction(query)
    )
    settings: dict[str, int | float] = {}
    if max_time_s is not None:
        settings["max_execution_time"] = max_time_s
        settings["optimize_read_in_order"] = 0 if query.is_filtered else 1
    parameters = _parameters(query, application)
    return Statement(sql, {**parameters, "low_us": span_us[0], "high_us": span_us[1], "limit": limit}, settings)


def events_at(query: EventsQuery, application: str, position: Position, *, limit: int) -> Statement:
    """Return the events at the time of `position` that lie behind it, in the query's order."""
    sql = _SAME_TIME.substitute(
        copies=_copies(query),
        columns=_columns(query.fields),
        at=_AT,
        conditions=_and(query),
        than="<" if query.newest_first else ">",
        direction=_direction(query),
    )
    return Statement(sql, {**_parameters(query, application), **_place(position), "limit": limit})


def one_event(query: EventsQuery, application: str, position: Position) -> Statement:
    """Return the event that lies before `position`."""
    before = Position(position.timestamp_us, position.hash, position.copies - 1)
    return Statement(_copies(query), {**_parameters(query, application), **_place(before), "limit": 1})


def count_of(application: str, span_us: tuple[int, int]) -> Statement:
    """Return the number of all events in a span, also of those that pass no filter."""
    return Statement(_COUNT, {"application": application, "low_us": span_us[0], "high_us": span_us[1]})


def _columns(fields: tuple[str, ...]) -> str:
    """Return the columns of a page: time in microseconds, hash, and the fields except the time."""
    rest = [name for name in fields if name != "timestamp"]
    return ", ".join([f"{TIMESTAMP_US} AS timestamp_us", f"{HASH} AS row_hash", *rest])


def _copies(query: EventsQuery) -> str:
    return _COPIES.substitute(columns=_columns(query.fields), at=_AT, conditions=_and(query))


def _place(position: Position) -> dict[str, object]:
    return {"at_us": position.timestamp_us, "at_hash": position.hash, "skipped": position.copies}


def _direction(query: EventsQuery) -> str:
    return " DESC" if query.newest_first else ""


def _parameters(query: EventsQuery, application: str) -> dict[str, object]:
    trace = {"trace_id": query.trace_id} if query.trace_id else {}
    return {"application": application, **filter_parameters(query.filters), **trace}


def _and(query: EventsQuery) -> str:
    conditions = [*filter_conditions(query.filters), *([_TRACE] if query.trace_id else ())]
    return "".join(f"\n    AND {condition}" for condition in conditions)
