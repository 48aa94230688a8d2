"""The aggregations of a timeseries query as SQL: the columns of rows, and the figures over them. Pure.

With `count` beside other aggregations, rows have events without the value too, and `known` is the weight of the
others. Otherwise all events of the rows have the value, or `count` is the only aggregation.
"""

from __future__ import annotations

from dataclasses import dataclass

from apimetry.query_api.planning.planner import Plan
from apimetry.query_api.planning.rows_sql import (
    Column,
    added_up,
    bucket_columns,
    group_key,
    middle_of_bucket,
    signed,
    weight,
)
from apimetry.query_api.timeseries.params import CONSUMERS, TimeseriesQuery, percentile_of

_NOTHING_IS_LESS = "toUInt64(18446744073709551615)"
# The columns of rollups that an aggregation of X needs beside `X_weight`.
_COLUMNS = {"count": (), CONSUMERS: (), "mean": ("sum",), "sum": ("sum",), "min": ("min",), "max": ("max",)}
_OF_PERCENTILES = ("buckets", "max")


@dataclass(frozen=True)
class Aggregates:
    """The SQL of the aggregations of `query`."""

    query: TimeseriesQuery

    @property
    def counts(self) -> bool:
        """Return whether events without the value count."""
        return not {"count", CONSUMERS}.isdisjoint(self.query.aggregations)

    @property
    def is_mixed(self) -> bool:
        """Return whether some aggregations are of all events, and others of the events with the value."""
        return self.counts and len(self.query.aggregations) > 1

    @property
    def add_up(self) -> bool:
        """Return whether all aggregations are sums, or made of sums."""
        return set(self.query.aggregations) <= {"count", "sum", "mean"}

    @property
    def measures(self) -> frozenset[str]:
        """Return the columns that a rollup needs."""
        value = self.query.value
        columns = (_COLUMNS.get(aggregation, _OF_PERCENTILES) for aggregation in self.query.aggregations)
        needed = {f"{value}_{name}" for names in columns for name in names}
        counted = {"requests"} if self.counts else set()
        return frozenset(needed | counted | (set() if counted and not needed else {f"{value}_weight"}))

    @property
    def conditions(self) -> tuple[str, ...]:
        """Return the conditions of events."""
        return () if self.counts else (f"{self.query.value} IS NOT NULL",)

    def weight(self, plan: Plan) -> Column:
        """Return the column of the requests that decide whether a point exists, and which groups are the largest."""
        return weight(plan, "requests" if self.counts else f"{self.query.value}_weight")

    def columns(self, plan: Plan) -> list[Column]:
        """Return the columns of rows."""
        value, names = self.query.value, set(self.query.aggregations)
        known = f"if(isNull({value}), 0, toUInt64(sample_weight))"
        columns = [self.weight(plan)]
        if self.is_mixed:
            columns.append(Column("known", signed(plan, known), f"{value}_weight"))
        if names & {"sum", "mean"}:
            total = f"toUInt64({self._or(0)}) * sample_weight"
            columns.append(Column("total", signed(plan, total), f"{value}_sum"))
        if CONSUMERS in names:
            columns.append(group_key(plan, "consumer_id", "consumer"))
        if "min" in names:
            columns.append(Column("low", self._or(_NOTHING_IS_LESS), f"{value}_min"))
        if "max" in names:
            columns.append(Column("high", self._or(0), f"{value}_max"))
        if self.query.percentiles:
            columns += self._of_percentiles(plan)
        return list({column.name: column for column in columns}.values())

    def figures(self, plan: Plan) -> str:
        """Return the aggregates over the rows, in the order of the query."""
        return ", ".join(
            f"{self._figure(plan, aggregation)} AS value_{number}"
            for number, aggregation in enumerate(self.query.aggregations)
        )

    def _or(self, nothing: object) -> str:
        """Return the value of an event, or what stands for none."""
        # The conditions exclude nulls where nothing is mixed. A type without nulls is faster.
        return f"ifNull({self.query.value}, {nothing})" if self.is_mixed else f"assumeNotNull({self.query.value})"

    def _of_percentiles(self, plan: Plan) -> list[Column]:
        columns = bucket_columns(plan, self.query.value)
        if not columns:
            return [Column("value", f"assumeNotNull({self.query.value})", "")]
        if not self.is_mixed:
            return columns
        known = f"isNotNull({self.query.value})"
        return [
            Column(
                column.name,
                self._or(0) if column.name == "high" else f"if({known}, {column.of_events}, [])",
                column.of_rollup,
            )
            for column in columns
        ]

    def _figure(self, plan: Plan, aggregation: str) -> str:
        if aggregation == "count":
            return added_up(plan)
        if aggregation == CONSUMERS:
            return "uniqExactIf(part.consumer, part.consumer != '')"
        known, total = added_up(plan, "part.known" if self.is_mixed else "part.weight"), added_up(plan, "part.total")
        figure = {
            "sum": total,
            "mean": f"{total} / {known}",
            "min": "min(part.low)",
            "max": "max(part.high)",
        }.get(aggregation) or self._percentile(plan, aggregation)
        return f"if({known} = 0, NULL, {figure})" if self.is_mixed and aggregation != "sum" else figure

    def _percentile(self, plan: Plan, aggregation: str) -> str:
        """Return one of all percentiles: the engine computes equal aggregates once."""
        percentiles = self.query.percentiles
        levels = ", ".join(f"{{level_{number}:Float64}}" for number in range(len(percentiles)))
        number = percentile_of(aggregation)
        place = next(place for place, other in enumerate(percentiles, start=1) if other == number)
        if plan.estimates:
            bucket = f"quantilesExactWeightedArray({levels})(part.buckets, part.weights)[{place}]"
            return f"least(toFloat64(max(part.high)), {middle_of_bucket(bucket)})"
        if self.is_mixed:
            return f"quantilesExactWeightedIf({levels})(part.value, part.known, part.known > 0)[{place}]"
        return f"quantilesExactWeighted({levels})(part.value, part.weight)[{place}]"
