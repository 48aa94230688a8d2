"""Values as SQL over rollups and events, as the planner says. Pure.

Invariants: the server binds values; text for `$name` comes from closed sets. Counts are sums of `sample_weight`.

No rollup has the fields of EVENT_FIELDS, and nearly every event may have its own URL. So their values are those of a
part of the range, which the minutes of a rollup determine. They are ranked by their hashes, because a table of hashes
is small.
"""

from __future__ import annotations

from string import Template
from typing import Final

from apimetry.query_api.planning.filter_sql import containing, filter_conditions, filter_parameters, key_of
from apimetry.query_api.planning.filters import EVENT_FIELDS, column_of, columns_of
from apimetry.query_api.planning.granularity import named_granularity
from apimetry.query_api.planning.planner import Needs, plan
from apimetry.query_api.planning.rows_sql import (
    Column,
    Conditions,
    group_key,
    partial_rows,
    range_parameters,
    seconds,
    weight,
)
from apimetry.query_api.values.params import ValuesQuery
from apimetry.store.rollups import MINUTE_S
from apimetry.store.statement import Statement

NEWEST_EVENTS: Final = 5_000_000
"""Events whose values are searched, at most; with those of the minute in which they begin."""

_VALUES = Template("""SELECT part.value AS value, sum(part.weight) AS requests, max(part.seen_us) AS seen_us
FROM ($rows) AS part
GROUP BY value
HAVING requests > 0
ORDER BY $likeness DESC, requests DESC, value
LIMIT {row_limit:UInt64}""")
_AMONG_LARGEST = Template("""cityHash64($key) IN (
      SELECT hash
      FROM (
        SELECT cityHash64(part.value) AS hash, sum(part.weight) AS requests, max($likeness) AS likeness
        FROM ($rows) AS part
        GROUP BY hash
        ORDER BY likeness DESC, requests DESC, hash
        LIMIT {row_limit:UInt64}
      )
    )""")
_NEWEST = Template("""SELECT if(max(newer) <= {newest_events:UInt64}, 0,
  minIf(clock_minute, newer - requests < {newest_events:UInt64}))
FROM (
  SELECT part.clock_minute AS clock_minute, sum(part.weight) AS requests,
    sum(requests) OVER (ORDER BY clock_minute DESC) AS newer
  FROM ($rows) AS part
  GROUP BY clock_minute
)""")
_MINUTE = Template(f"intDiv($time_s, {MINUTE_S}) * {MINUTE_S}")
_EVENT_MINUTE: Final = _MINUTE.substitute(time_s="intDiv(toUnixTimestamp64Micro(timestamp), 1000000)")


def values(query: ValuesQuery, application: str, now: int | None = None) -> Statement:
    """Select rows of (value, requests, microseconds of the last request or of its hour), one more than the limit."""
    dimensions = columns_of(query.filters) | {column_of(query.field)}
    hour = named_granularity("hour")
    source = plan(Needs(dimensions, frozenset({"requests"}), query.start, query.end, hour, now=now))
    searched = () if query.search is None else (containing(key_of(query.field), "search"),)
    conditions = (*filter_conditions(query.filters), *searched)
    columns = (
        group_key(source, key_of(query.field), "value"),
        weight(source),
        Column("seen_us", "toUnixTimestamp64Micro(timestamp)", f"{seconds(source)} * 1000000"),
    )
    if query.field in EVENT_FIELDS:
        rows = partial_rows(source, columns, Conditions(conditions))
        likeness = _likeness(query, "part.value")
        among_largest = _AMONG_LARGEST.substitute(key=key_of(query.field), likeness=likeness, rows=rows)
        conditions = (*conditions, among_largest)
    sql = _VALUES.substitute(
        rows=partial_rows(source, columns, Conditions(conditions)), likeness=_likeness(query, "value")
    )
    parameters = {
        "application": application,
        **filter_parameters(query.filters),
        **range_parameters(source),
        **({} if query.search is None else {"search": query.search}),
        "row_limit": query.limit + 1,
    }
    return Statement(sql, parameters)


def newest(query: ValuesQuery, application: str, events: int, now: int | None = None) -> Statement:
    """Select one row: the minute in which the newest `events` of the range begin, 0 if there are no more."""
    minute = named_granularity("minute")
    source = plan(Needs(frozenset(), frozenset({"requests"}), query.start, query.end, minute, now=now))
    columns = (Column("clock_minute", _EVENT_MINUTE, _MINUTE.substitute(time_s=seconds(source))), weight(source))
    sql = _NEWEST.substitute(rows=partial_rows(source, columns, Conditions()))
    parameters = {"application": application, **range_parameters(source), "newest_events": events}
    return Statement(sql, parameters)


def _likeness(query: ValuesQuery, value: str) -> str:
    """Return the expression of a value's likeness to the search: 2 if equal, 1 if equal but for capital letters."""
    if query.search is None:
        return "toUInt8(0)"
    return f"({value} = {{search:String}}) + (lowerUTF8({value}) = lowerUTF8({{search:String}}))"
