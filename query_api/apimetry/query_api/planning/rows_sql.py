"""Rows of a rollup and of events under one set of columns, as the FROM of a statement that adds them up. Pure.

A SQL text has two kinds of gaps, here and in the `sql` module of every feature: the server binds the value of
`{name:Type}`, and `Template` fills `$name`. Values are always bound. Text for `$name` comes from closed sets.

A row of either kind counts `weight` requests. The statement around the rows groups and adds up, so it need not know
where the rows come from.

Percentiles from buckets: bucketing keeps the order, so the percentile's bucket is exact. The percentile is the middle
of that bucket, but at most the maximum. It is within 2 % of every value in the bucket (`store.rollups` has the
arithmetic).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Final

from apimetry.query_api.planning.planner import Plan
from apimetry.store.rollups import BUCKETS_PER_DOUBLING, KEPT_MINUTES_S, Rollup

_EVENTS = Template("""SELECT $columns
  FROM events
  WHERE application = {application:String}
    AND $range$conditions""")
_WHOLE_RANGE = Template("""timestamp >= fromUnixTimestamp64Micro({start_us$tag:Int64}, 'UTC')
    AND timestamp < fromUnixTimestamp64Micro({end_us$tag:Int64}, 'UTC')""")
_EDGES = Template("""((timestamp >= fromUnixTimestamp64Micro({first_${edge}_start_us$tag:Int64}, 'UTC')
        AND timestamp < fromUnixTimestamp64Micro({first_${edge}_end_us$tag:Int64}, 'UTC'))
      OR (timestamp >= fromUnixTimestamp64Micro({last_${edge}_start_us$tag:Int64}, 'UTC')
        AND timestamp < fromUnixTimestamp64Micro({last_${edge}_end_us$tag:Int64}, 'UTC')))""")
# Rows per minute are there if they are whole (`Store.ask` binds since when) and kept. Otherwise events answer for all
# that is not in the middle.
_HAS_MINUTES = Template(
    "({minutes_first_s$tag:UInt32} >= greatest({minutes_since_s:UInt32},"
    f" toUnixTimestamp(now('UTC')) - {KEPT_MINUTES_S}))"
)
_EITHER_EDGES = Template("""(($has_minutes AND $edges)
    OR (NOT $has_minutes AND $edges_of_hours))""")
# Sums of UInt64 are modulo 2^64: there, this is minus the value.
_SIGNED = Template("if($inside, $value, toUInt64(-toInt64($value)))")
_ROLLUP = Template("""SELECT $columns
  FROM $table
  WHERE application = {application:String}
    AND $range$conditions""")
_MIDDLE = Template("""time >= toStartOfHour(toDateTime({middle_start_s$tag:UInt32}, 'UTC'))
    AND time < toDateTime({middle_end_s$tag:UInt32}, 'UTC')""")
_MINUTES = Template("""time >= toDateTime({minutes_start_s$tag:UInt32}, 'UTC')
    AND time < toDateTime({minutes_end_s$tag:UInt32}, 'UTC')
    AND NOT (time >= toDateTime({middle_start_s$tag:UInt32}, 'UTC')
      AND time < toDateTime({middle_end_s$tag:UInt32}, 'UTC'))
    AND $has_minutes""")
# `Store.ask` binds the day from which on days are whole.
_SINCE = Template("toDateTime(greatest({days_start_s$tag:UInt32}, {days_since_s:UInt32}), 'UTC')")
_DAYS = Template("""time >= $since
    AND time < toDateTime({days_end_s$tag:UInt32}, 'UTC')""")
_WITHOUT_DAYS = Template("(time < $since OR time >= toDateTime({days_end_s$tag:UInt32}, 'UTC'))")
_WITHOUT = Template("""(time < toDateTime({without_start_s$tag:UInt32}, 'UTC')
      OR time >= toDateTime({without_end_s$tag:UInt32}, 'UTC'))""")
_WITHIN_MINUTES = Template("$seconds BETWEEN {middle_start_s$tag:UInt32} AND {middle_end_s$tag:UInt32} - 1")
# A row with requests in all minutes of its hour has a number for each. `sumMap` over all rows takes twice the time.
_MOST_IN_A_MINUTE = Template("""arrayMax(sumForEach(if(length($minutes) = 60, mapValues($minutes), mapValues(
    mapAdd($minutes, mapFromArrays(range(toUInt8(60)), arrayWithConstant(60, toUInt64(0))))))))""")
_BY_MINUTE = Template("$table ARRAY JOIN mapKeys(minutes) AS minute, mapValues(minutes) AS minute_requests")

# By default the engine reads a part in two steps: the columns of the conditions, and then the others. The rows of a
# rollup are few, and one step takes some ten percent less of a statement's time.
OF_ROLLUP: Final[Mapping[str, int]] = {"optimize_move_to_prewhere": 0}
"""The engine's settings for a statement that mostly reads a rollup."""


# The engine rounds `level * weight` up, and 0.07 * 200 is 14.000000000000002 in floating point: it would take the
# next value. With a level that is four units in the last place lower, no product of up to 10^13 requests does.
BELOW = 1 - 2**-51


@dataclass(frozen=True)
class Column:
    """A column of both kinds of rows: its expression over events, and over a rollup."""

    name: str
    of_events: str
    of_rollup: str


@dataclass(frozen=True)
class Conditions:
    """Conditions beside application and time: expressions for both kinds of rows, and for events alone."""

    shared: tuple[str, ...] = ()
    of_events: tuple[str, ...] = ()


def partial_rows(
    plan: Plan, columns: Sequence[Column], conditions: Conditions, *, events_by: str = "", tag: str = ""
) -> str:
    """Return the SELECT of all rows of `plan`, for a FROM; it binds the application and `range_parameters`.

    `events_by` follows GROUP BY where `of_events` are aggregates. A statement with several time ranges gives each of
    them its own `tag`: the end of the names of its parameters.
    """
    selects = []
    if plan.rollup is not None and plan.middle[0] < plan.middle[1]:
        selects.append(_rollup_rows(plan, plan.rollup, columns, conditions, tag))
    if plan.rollup is not None and plan.minutes is not None:
        selects.append(_minute_rows(plan, plan.rollup, columns, conditions, tag))
    if plan.rollup is not None and plan.days is not None:
        selects.append(_day_rows(plan, plan.rollup, columns, conditions, tag))
    if plan.reads_events:
        rows = _EVENTS.substitute(
            columns=", ".join(f"{column.of_events} AS {column.name}" for column in columns),
            range=_range_of_events(plan, tag),
            conditions=_and((*conditions.shared, *conditions.of_events)),
        )
        selects.append(f"{rows}\n  GROUP BY {events_by}" if events_by else rows)
    return "\n  UNION ALL\n  ".join(selects)


def _range_of_events(plan: Plan, tag: str) -> str:
    if plan.rollup is None:
        return _WHOLE_RANGE.substitute(tag=tag)
    if plan.minutes is None:
        return _EDGES.substitute(edge="edge", tag=tag)
    return _EITHER_EDGES.substitute(
        has_minutes=_HAS_MINUTES.substitute(tag=tag),
        edges=_EDGES.substitute(edge="edge", tag=tag),
        edges_of_hours=_EDGES.substitute(edge="edge_of_hours", tag=tag),
    )


def _rollup_rows(plan: Plan, rollup: Rollup, columns: Sequence[Column], conditions: Conditions, tag: str) -> str:
    within_minutes = _WITHIN_MINUTES.substitute(seconds=seconds(plan), tag=tag)
    more = (
        *([within_minutes] if plan.by_minute else ()),
        *([_WITHOUT_DAYS.substitute(since=_SINCE.substitute(tag=tag), tag=tag)] if plan.days else ()),
    )
    return _ROLLUP.substitute(
        columns=", ".join(f"{column.of_rollup} AS {column.name}" for column in columns),
        table=_BY_MINUTE.substitute(table=rollup.table) if plan.by_minute else rollup.table,
        range=_MIDDLE.substitute(tag=tag),
        conditions=_and((*_conditions(plan, rollup, conditions, tag), *more)),
    )


def _day_rows(plan: Plan, rollup: Rollup, columns: Sequence[Column], conditions: Conditions, tag: str) -> str:
    return _ROLLUP.substitute(
        columns=", ".join(f"{column.of_rollup} AS {column.name}" for column in columns),
        table=rollup.days,
        range=_DAYS.substitute(since=_SINCE.substitute(tag=tag), tag=tag),
        conditions=_and(_conditions(plan, rollup, conditions, tag)),
    )


def _minute_rows(plan: Plan, rollup: Rollup, columns: Sequence[Column], conditions: Conditions, tag: str) -> str:
    return _ROLLUP.substitute(
        columns=", ".join(f"{column.of_rollup} AS {column.name}" for column in columns),
        table=rollup.minutes,
        range=_MINUTES.substitute(has_minutes=_HAS_MINUTES.substitute(tag=tag), tag=tag),
        conditions=_and(_conditions(plan, rollup, conditions, tag)),
    )


def _conditions(plan: Plan, rollup: Rollup, conditions: Conditions, tag: str) -> tuple[str, ...]:
    return (
        *conditions.shared,
        *([rollup.condition] if rollup.condition else ()),
        *([_WITHOUT.substitute(tag=tag)] if plan.without else ()),
    )


def range_parameters(plan: Plan, *, tag: str = "") -> dict[str, object]:
    """Return the values of the time range that `partial_rows` binds."""
    parameters: dict[str, object] = {"start_us": plan.start * 1_000_000, "end_us": plan.end * 1_000_000}
    if plan.rollup is not None:
        parameters["middle_start_s"], parameters["middle_end_s"] = plan.middle
        parameters |= _edge_parameters(plan, plan.around, "edge")
    if plan.minutes is not None:
        parameters["minutes_start_s"], parameters["minutes_end_s"] = plan.minutes
        parameters["minutes_first_s"] = plan.middle[1] if plan.minutes[0] == plan.middle[0] else plan.minutes[0]
        parameters |= _edge_parameters(plan, plan.middle, "edge_of_hours")
    if plan.days is not None:
        parameters["days_start_s"], parameters["days_end_s"] = plan.days
    if plan.without is not None:
        parameters["without_start_s"], parameters["without_end_s"] = plan.without
    return {f"{name}{tag}": value for name, value in parameters.items()}


def settings_of(plan: Plan) -> Mapping[str, int]:
    """Return the engine's settings for a statement over the rows of `plan`."""
    return OF_ROLLUP if plan.rollup else {}


def _edge_parameters(plan: Plan, around: tuple[int, int], name: str) -> dict[str, object]:
    parameters: dict[str, object] = {}
    for edge, times in (("first", (plan.start, around[0])), ("last", (plan.end, around[1]))):
        parameters[f"{edge}_{name}_start_us"] = min(times) * 1_000_000
        parameters[f"{edge}_{name}_end_us"] = max(times) * 1_000_000
    return parameters


def weight(plan: Plan, measure: str = "requests", *, tag: str = "") -> Column:
    """Return the column `weight`: the number of requests of a row; it binds `range_parameters` with the `tag`."""
    of_events = signed(plan, "toUInt64(sample_weight)", tag=tag)
    if plan.by_minute:
        return Column("weight", of_events, "minute_requests")
    return Column("weight", of_events, plan.rollup.column(measure) if plan.rollup else "")


def inside() -> str:
    """Return the condition of the events in the range; it binds `range_parameters`, without a tag."""
    return _WHOLE_RANGE.substitute(tag="")


def edges() -> str:
    """Return the condition of the events at the edges; it binds `range_parameters`, without a tag."""
    return _EDGES.substitute(edge="edge", tag="")


def range_of_days() -> str:
    """Return the condition of rows per day, and of the hours in these days; it binds `range_parameters`, untagged."""
    return _DAYS.substitute(since=_SINCE.substitute(tag=""), tag="")


def range_outside_days() -> str:
    """Return the condition of all hours but those in `range_of_days`."""
    return _WITHOUT_DAYS.substitute(since=_SINCE.substitute(tag=""), tag="")


def signed(plan: Plan, value: str, *, tag: str = "") -> str:
    """Return the expression of what an event adds to a sum of UInt64; it binds `range_parameters` with the `tag`."""
    return _SIGNED.substitute(inside=_WHOLE_RANGE.substitute(tag=tag), value=value) if plan.subtracts else value


def added_up(plan: Plan, column: str = "part.weight") -> str:
    """Return the expression of the sum of a column of rows, of UInt64; a sum of `signed` values is at least 0.

    On a server, readers see the events of an insert a moment before its rollups: events beyond the range would be
    subtracted from a row that does not have them yet.
    """
    total = f"sum({column})"
    return f"if(bitTest({total}, 63), 0, {total})" if plan.subtracts else total


def group_key(plan: Plan, field: str, name: str = "key") -> Column:
    """Return a text dimension to group by."""
    # A UNION of two text types has the type String: the engine would copy the text into every row of the rollup.
    shared = plan.rollup is not None and field == "consumer_id"
    return Column(name, f"toLowCardinality({field})" if shared else field, field)


def most_in_a_minute(minutes: str = "minutes") -> str:
    """Return the expression of the most requests in a minute, in several rows of one hour; 0 without any row."""
    return _MOST_IN_A_MINUTE.substitute(minutes=minutes)


def seconds(plan: Plan) -> str:
    """Return the expression of a rollup's time in seconds since the epoch: of its hours, minutes or days."""
    return "toInt64(toUnixTimestamp(time))" + (" + 60 * minute" if plan.by_minute else "")


def bucket_columns(plan: Plan, value: str) -> list[Column]:
    """Return the columns of a percentile from buckets: buckets, their weights, and the largest value."""
    if not plan.estimates:
        return []
    buckets = f"{value}_buckets"
    bucket = f"toUInt16({BUCKETS_PER_DOUBLING} * log2(assumeNotNull({value}) + 1.0))"
    return [
        Column("buckets", f"[{bucket}]", f"mapKeys({buckets})"),
        Column("weights", "[toUInt64(sample_weight)]", f"mapValues({buckets})"),
        Column("high", f"assumeNotNull({value})", f"{value}_max"),
    ]


def middle_of_bucket(bucket: str) -> str:
    """Return the expression of a bucket's middle: 2lh / (l + h), of its lowest and highest whole number."""
    lowest = f"(ceil(exp2({bucket} / {BUCKETS_PER_DOUBLING})) - 1)"
    highest = f"(ceil(exp2(({bucket} + 1) / {BUCKETS_PER_DOUBLING})) - 2)"
    return f"2 * {lowest} * {highest} / greatest({lowest} + {highest}, 1)"


def _and(conditions: Sequence[str]) -> str:
    return "".join(f"\n    AND {condition}" for condition in conditions)
