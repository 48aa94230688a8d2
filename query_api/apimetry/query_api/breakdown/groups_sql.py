"""The groups of one range, with their parts and percentiles: a SELECT for the FROM of a statement. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template
from typing import Final

from apimetry.query_api.breakdown.measures import PARTS, Reads
from apimetry.query_api.breakdown.scope import Scope
from apimetry.query_api.planning.latency_buckets import whole_percentile
from apimetry.query_api.planning.planner import Plan
from apimetry.query_api.planning.rows_sql import (
    BELOW,
    Column,
    Conditions,
    added_up,
    group_key,
    middle_of_bucket,
    partial_rows,
    range_parameters,
    signed,
)
from apimetry.store.rollups import BUCKETS_PER_DOUBLING

_GROUPS = Template("""SELECT $keys, $sums
  FROM ($rows) AS part
  GROUP BY $keys
  HAVING $having""")
_EMPTY = Template("SELECT $columns FROM ($keys)")
_EXACT = Template(
    "quantilesExactWeightedIf($levels)(assumeNotNull(part.${value}_known), part.requests,"
    " isNotNull(part.${value}_known)) AS ${p}${value}_percentiles"
)
# Most of a short statement's time is its analysis. So percentiles leave the engine as buckets, and the maximum.
_OF_BUCKETS = Template(
    "arrayPushBack(quantilesExactWeightedArray($levels)(part.${value}_filled, part.${value}_counts),"
    " max(part.${value}_high)) AS ${p}${value}_percentiles"
)
# Of a group without events the array is empty.
_OF_BUCKET = Template("least(toFloat64($array[-1]), $middle)")
_BUCKET = Template(f"toUInt16({BUCKETS_PER_DOUBLING} * log2(assumeNotNull($value) + 1.0))")
_ONE_EVENT: Final = PARTS["requests"].of_event
_AGGREGATES: Final = {
    "max": "max(part.{name})",
    "distinct": "uniqExactIf(part.{name}, part.{name} != '')",
}


@dataclass(frozen=True)
class Groups:
    """The groups of a scope, what answers for them, and what is read of them.

    A statement about two ranges names the columns of the second one with a `prefix`.
    """

    scope: Scope
    source: Plan
    reads: Reads
    prefix: str = ""

    @property
    def columns(self) -> dict[str, str]:
        """Return the names of the columns beside the key, and what a group without events has in them.

        They are PARTS, and an array for each value with percentiles.
        """
        arrays = (f"{self.prefix}{value}_percentiles" for value in self.reads.percentiles)
        return {**{f"{self.prefix}{name}": "0" for name in PARTS}, **dict.fromkeys(arrays, "[]")}

    def percentile(self, value: str, number: int) -> str:
        """Return the expression of a percentile that is read."""
        array = f"{self.prefix}{value}_percentiles"
        figure = f"{array}[{self.reads.percentiles[value].index(number) + 1}]"
        if not self.source.estimates:
            return figure
        return _OF_BUCKET.substitute(array=array, middle=middle_of_bucket(figure))

    def percentiles(self, array: Sequence[int]) -> list[int]:
        """Return the microseconds that an array of percentiles in a row stands for; an empty one for none."""
        if not self.source.estimates or not array:
            return list(array)
        # Whole microseconds: the response has tenths of a millisecond.
        return [whole_percentile(bucket, array[-1]) for bucket in array[:-1]]

    def select(self, having: Sequence[str] = (), also: str = "") -> str:
        """Return the SELECT of the groups with requests for which all of `having` hold.

        `also` are more rows, as a SELECT of the key; their parts are 0. With it, groups need no requests.
        """
        rows = partial_rows(self.source, self._columns(), Conditions(self.scope.conditions), tag=self._tag)
        if also:
            rows = f"{rows}\n  UNION ALL\n  {self._empty(also)}"
        return _GROUPS.substitute(
            keys=", ".join(self.scope.names),
            sums=", ".join([*self._sums(), *self._percentiles()]),
            rows=rows,
            having="\n    AND ".join([*([] if also else [f"{self.prefix}requests > 0"]), *having]),
        )

    @property
    def parameters(self) -> dict[str, object]:
        """Return the values that `select` binds."""
        numbers = {number for of_value in self.reads.percentiles.values() for number in of_value}
        return {
            **self.scope.parameters,
            **range_parameters(self.source, tag=self._tag),
            **{_level(number): number / 100 * BELOW for number in numbers},
        }

    @property
    def _tag(self) -> str:
        return f"_{self.prefix}" if self.prefix else ""

    def _columns(self) -> list[Column]:
        return [*self.scope.columns(self.source), *map(self._part, self.reads.parts), *self._values()]

    def _part(self, name: str) -> Column:
        part, rollup = PARTS[name], self.source.rollup
        if part.kind == "distinct":
            return group_key(self.source, part.of_event, name)
        of_event = signed(self.source, part.of_event, tag=self._tag) if part.kind == "sum" else part.of_event
        return Column(name, of_event, " + ".join(map(rollup.column, part.of_rollup)) if rollup else "")

    def _sums(self) -> list[str]:
        """Return the aggregates of all PARTS; a part that is not read is 0."""
        return [
            f"{self._aggregate(name) if name in self.reads.parts else 0} AS {self.prefix}{name}" for name in PARTS
        ]

    def _aggregate(self, name: str) -> str:
        kind = PARTS[name].kind
        return added_up(self.source, f"part.{name}") if kind == "sum" else _AGGREGATES[kind].format(name=name)

    def _values(self) -> list[Column]:
        """Return the columns of percentiles. Events without a value are in none."""
        if not self.source.estimates:
            return [Column(f"{value}_known", value, "") for value in self.reads.percentiles]
        columns = []
        for value in self.reads.percentiles:
            bucket, unknown = _BUCKET.substitute(value=value), f"isNull({value})"
            columns += [
                Column(f"{value}_filled", f"if({unknown}, [], [{bucket}])", f"mapKeys({value}_buckets)"),
                Column(f"{value}_counts", f"if({unknown}, [], [{_ONE_EVENT}])", f"mapValues({value}_buckets)"),
                Column(f"{value}_high", f"ifNull({value}, 0)", f"{value}_max"),
            ]
        return columns

    def _percentiles(self) -> list[str]:
        """Return the aggregates of percentiles: for each value one array, in the order of its numbers."""
        template = _OF_BUCKETS if self.source.estimates else _EXACT
        return [
            template.safe_substitute(
                p=self.prefix,
                value=value,
                levels=", ".join(f"{{{_level(number)}:Float64}}" for number in numbers),
            )
            for value, numbers in self.reads.percentiles.items()
        ]

    def _empty(self, also: str) -> str:
        nothing = {"key": "", "_filled": "[]", "_counts": "[]", "_known": "NULL", "consumers": "''"}
        columns = [
            column.name
            if column.name.startswith("key")
            else f"{next((nothing[end] for end in nothing if column.name.endswith(end)), 0)} AS {column.name}"
            for column in self._columns()
        ]
        return _EMPTY.substitute(columns=", ".join(columns), keys=also)


def _level(number: int) -> str:
    return f"p{number}"
