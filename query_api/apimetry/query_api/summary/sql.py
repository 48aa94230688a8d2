"""A summary with filters, or of a short range, as one statement over rollups and events, as the planner says. Pure.

`summary.pieces_sql` has a long range without filters.

Most of the statement's time is its analysis. So percentiles from latency buckets leave the engine as buckets.

A summary has four parts: sums, latency, consumers, and the busiest minute. For each of them the planner says which
tables answer. Sums and latency share one SELECT if they read the same tables, so that events are read once for them.
The consumers and the busiest minute have a SELECT each, which groups: a set of texts in one aggregate took 1.7
times as long as groups. A row of the statement is (number of the SELECT, figures).

Invariants: the server binds values; every count is a sum of `sample_weight`. A request without a measured time is in
no latency. Percentiles are those of a timeseries (`planning.rows_sql`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import Template
from typing import Final

from apimetry.query_api.planning.filter_sql import filter_conditions, filter_parameters
from apimetry.query_api.planning.filters import AnyFilter, columns_of
from apimetry.query_api.planning.granularity import named_granularity
from apimetry.query_api.planning.latency_buckets import bucket_of, whole_percentile
from apimetry.query_api.planning.planner import Needs, Plan, plan
from apimetry.query_api.planning.rows_sql import (
    BELOW,
    OF_ROLLUP,
    Column,
    Conditions,
    added_up,
    group_key,
    partial_rows,
    range_parameters,
    seconds,
    weight,
)
from apimetry.query_api.planning.stored import condition_of, hourly
from apimetry.store.rollups import BUCKETS_PER_DOUBLING, HOUR_S, LAST_HOUR_S
from apimetry.store.statement import Rows, Statement

PERCENTILES: Final = (50, 95, 99)
TOLERATED: Final = 4
"""Apdex tolerates a response of up to so many times its target."""

_PART = Template("SELECT $number AS number, $figures AS figures\nFROM ($rows) AS part")
_BUSIEST = Template("""SELECT $number AS number, [max(requests)] AS figures
FROM (SELECT $requests AS requests FROM ($rows) AS part GROUP BY part.clock_minute)""")
_CONSUMERS = Template("""SELECT $number AS number, [countIf(consumer != '')] AS figures
FROM (SELECT part.consumer AS consumer FROM ($rows) AS part GROUP BY consumer$having)""")
_FIRST_FIGURE = Template("SELECT figures[1] FROM ($select)")
_REQUESTS = Template("""SELECT sum(requests) FROM $table
WHERE application = {application:String}
  AND time >= toDateTime({first_hour:Int64}, 'UTC') AND time < toDateTime({end:Int64}, 'UTC')$condition""")
_WEIGHT = "toUInt64(sample_weight)"
_TIMED = f"if(isNull(response_us), 0, {_WEIGHT})"
_BUCKET = f"toUInt16({BUCKETS_PER_DOUBLING} * log2(assumeNotNull(response_us) + 1.0))"
_SUMS: Final = {
    "requests": (_WEIGHT, "requests"),
    "timed": (_TIMED, "response_us_weight"),
    "latency_us": ("ifNull(response_us, 0) * sample_weight", "response_us_sum"),
    "peak_us": ("ifNull(response_us, 0)", "response_us_max"),
    "request_bytes_sum": ("ifNull(request_bytes, 0) * sample_weight", "request_bytes_sum"),
    "response_bytes_sum": ("ifNull(response_bytes, 0) * sample_weight", "response_bytes_sum"),
}
_OF_SUMS: Final = {
    "requests": "sum(part.requests)",
    "errors": "sumIf(part.requests, part.status >= 400)",
    "server_errors": "sumIf(part.requests, part.status >= 500)",
    "timed": "sum(part.timed)",
    "latency_us": "sum(part.latency_us)",
    "peak_us": "max(part.peak_us)",
    "request_bytes": "sum(part.request_bytes_sum)",
    "response_bytes": "sum(part.response_bytes_sum)",
}
_LEVELS: Final = ", ".join(f"{{p{number}:Float64}}" for number in PERCENTILES)
_AT: Final = tuple(f"p{number}" for number in PERCENTILES)
_BOUNDS: Final = ("target", "tolerated")


@dataclass(frozen=True)
class Scope:
    """The events of `application` in `[start, end)` seconds that pass all `filters`; `now` is when they are asked."""

    application: str
    start: int
    end: int
    filters: tuple[AnyFilter, ...] = ()
    target_us: int | None = None
    now: int | None = None
    takes_minutes: bool = True
    """Whether latencies may come from rows per minute."""


@dataclass(frozen=True)
class Summing:
    """The statement of a summary, and the names of its figures, by number of its SELECT."""

    statement: Statement
    names: tuple[tuple[str, ...], ...]
    estimates: bool
    """Whether latencies come from buckets."""

    def figures(self, rows: Rows) -> dict[str, int]:
        """Return the figures in rows of the statement by name; times are microseconds."""
        figures = {name: value for number, row in rows for name, value in zip(self.names[number], row, strict=True)}
        # Whole microseconds: the response has tenths of a millisecond.
        of_buckets = {name: whole_percentile(figures[name], figures["high"]) for name in _AT if self.estimates}
        return {**figures, **of_buckets}


@dataclass(frozen=True)
class _Part:
    """A part of a summary: its columns of rows, and its figures over them, by name."""

    dimensions: frozenset[str]
    measures: frozenset[str]
    columns: Callable[[Plan], Sequence[Column]]
    figures: Callable[[Plan, Scope], dict[str, str]]


def requests_in_hours(scope: Scope) -> Statement:
    """Return what answers how many requests the hours of a range have, without filters."""
    source = hourly()
    times = {"first_hour": scope.start // HOUR_S * HOUR_S, "end": min(scope.end, LAST_HOUR_S)}
    return Statement(
        _REQUESTS.substitute(table=source.table, condition=condition_of(source)),
        {"application": scope.application, **times},
        OF_ROLLUP,
    )


def summing(scope: Scope) -> Summing:
    """Return the statement that answers for `scope`."""
    dimensions = columns_of(scope.filters)
    by_plan: dict[Plan, list[_Part]] = {}
    for part in (_LATENCY, _TOTALS):
        needs = Needs(
            dimensions | part.dimensions,
            part.measures,
            scope.start,
            scope.end,
            now=scope.now,
            takes_minutes=scope.takes_minutes,
        )
        by_plan.setdefault(plan(needs), []).append(part)
    selects, names, parameters = [], [], _parameters(scope)
    for number, (source, parts) in enumerate(by_plan.items()):
        figures = {name: sql for part in parts for name, sql in part.figures(source, scope).items()}
        columns = {column.name: column for part in parts for column in part.columns(source)}
        rows = partial_rows(source, list(columns.values()), _conditions(scope), tag=f"_{number}")
        listed = f"[{', '.join(figures.values())}]"
        if _LATENCY in parts:
            listed = f"arrayConcat({listed}, {_percentiles(source)})"
        selects.append(_PART.substitute(number=number, figures=listed, rows=rows))
        parameters |= range_parameters(source, tag=f"_{number}")
        names.append((*figures, *(_AT if _LATENCY in parts else ())))
    for name, select in (("consumers", _consumers), ("busiest_minute", _busiest_minute)):
        sql, more = select(scope, len(selects))
        selects.append(sql)
        names.append((name,))
        parameters |= more
    estimates = next(source.estimates for source, parts in by_plan.items() if _LATENCY in parts)
    has_rollup = any(source.rollup for source in by_plan)
    statement = Statement("\nUNION ALL\n".join(selects), parameters, OF_ROLLUP if has_rollup else {})
    return Summing(statement, tuple(names), estimates)


def consumer_count(scope: Scope) -> Statement:
    """Select one row: the number of consumers."""
    sql, parameters = _consumers(scope, 0)
    return Statement(_FIRST_FIGURE.substitute(select=sql), {**_parameters(scope), **parameters}, OF_ROLLUP)


def _consumers(scope: Scope, number: int) -> tuple[str, dict[str, object]]:
    dimensions = columns_of(scope.filters) | {"consumer_id"}
    needs = Needs(dimensions, frozenset({"requests"}), scope.start, scope.end, subtracts=True, now=scope.now)
    source, tag = plan(needs), f"_{number}"
    columns = [group_key(source, "consumer_id", "consumer")]
    if source.subtracts:
        columns.append(weight(source, tag=tag))
    rows = partial_rows(source, columns, _conditions(scope), tag=tag)
    # Of a consumer whose requests are all beyond the range, as many are subtracted.
    having = f" HAVING {added_up(source)} > 0" if source.subtracts else ""
    return _CONSUMERS.substitute(number=number, rows=rows, having=having), range_parameters(source, tag=tag)


def _busiest_minute(scope: Scope, number: int) -> tuple[str, dict[str, object]]:
    minute = named_granularity("minute")
    needs = Needs(
        columns_of(scope.filters),
        frozenset({"requests"}),
        scope.start,
        scope.end,
        minute,
        subtracts=True,
        now=scope.now,
    )
    source = plan(needs)
    of_events = "intDiv(toUnixTimestamp64Micro(timestamp), 60000000)"
    columns = (Column("clock_minute", of_events, f"intDiv({seconds(source)}, 60)"), weight(source))
    rows = partial_rows(source, columns, _conditions(scope))
    return _BUSIEST.substitute(number=number, requests=added_up(source), rows=rows), range_parameters(source)


def _conditions(scope: Scope) -> Conditions:
    return Conditions(filter_conditions(scope.filters))


def _parameters(scope: Scope) -> dict[str, object]:
    parameters: dict[str, object] = {"application": scope.application, **filter_parameters(scope.filters)}
    parameters |= {f"p{number}": number / 100 * BELOW for number in PERCENTILES}
    if scope.target_us is not None:
        for name, bound_us in bounds_us(scope.target_us).items():
            parameters |= {f"{name}_us": bound_us, f"{name}_bucket": bucket_of(bound_us)}
    return parameters


def bounds_us(target_us: int) -> dict[str, int]:
    """Return the target, and the response time that Apdex tolerates, by name."""
    return dict(zip(_BOUNDS, (target_us, TOLERATED * target_us), strict=True))


def _of_totals(source: Plan) -> list[Column]:
    of_rollup = source.rollup.column if source.rollup else str
    return [
        Column("status", "status_code", "status_code"),
        *(Column(name, of_event, of_rollup(measure)) for name, (of_event, measure) in _SUMS.items()),
    ]


def _of_latency(source: Plan) -> list[Column]:
    """Return the columns of latency. Of events alone they are numbers, beside a rollup they are arrays."""
    known = "response_us IS NOT NULL"
    if source.rollup is None:
        value = _BUCKET if source.estimates else "assumeNotNull(response_us)"
        return [
            Column("value", value, ""),
            Column("timed", _TIMED, ""),
            Column("peak_us", "ifNull(response_us, 0)", ""),
        ]
    return [
        Column("buckets", f"if({known}, [{_BUCKET}], [])", "mapKeys(response_us_buckets)"),
        Column("weights", f"if({known}, [{_WEIGHT}], [])", "mapValues(response_us_buckets)"),
        Column("high", "ifNull(response_us, 0)", "response_us_max"),
    ]


def _percentiles(source: Plan) -> str:
    """Return the expression of the values at PERCENTILES, or of their buckets, as an array."""
    if source.rollup is None:
        return f"quantilesExactWeightedIf({_LEVELS})(part.value, part.timed, part.timed > 0)"
    return f"quantilesExactWeightedArray({_LEVELS})(part.buckets, part.weights)"


def _latency_figures(source: Plan, scope: Scope) -> dict[str, str]:
    figures = {"high": "max(part.peak_us)" if source.rollup is None else "max(part.high)"}
    if scope.target_us is not None:
        for name in _BOUNDS:
            figures |= _within(source, name)
    return figures


def _within(source: Plan, name: str) -> dict[str, str]:
    """Return the requests below the bound's bucket and in it; of exact values those up to the bound, and none."""
    if not source.estimates:
        return {name: f"sumIf(part.timed, part.value <= {{{name}_us:UInt64}})", f"{name}_in_bucket": "0"}
    figures = {}
    for figure, sign in ((name, "<"), (f"{name}_in_bucket", "=")):
        holds = f"{sign} {{{name}_bucket:UInt16}}"
        figures[figure] = (
            f"sumIf(part.timed, part.value {holds})"
            if source.rollup is None
            else f"sum(arraySum((bucket, weight) -> if(bucket {holds}, weight, 0), part.buckets, part.weights))"
        )
    return figures


_TOTALS: Final = _Part(
    frozenset({"status_code"}),
    frozenset(measure for _, measure in _SUMS.values()),
    _of_totals,
    lambda _source, _scope: _OF_SUMS,
)
_LATENCY: Final = _Part(
    frozenset(), frozenset({"response_us_buckets", "response_us_max"}), _of_latency, _latency_figures
)
