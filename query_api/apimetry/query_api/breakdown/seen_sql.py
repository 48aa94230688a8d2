"""When the groups of a table were seen first and last: a SELECT for the FROM of a statement. Pure.

Where a rollup knows the dimensions, the times are of all that is stored, and exact to the hour: the time of an hour's
row is the hour's beginning, and the events of the hour that goes on have their own times. Otherwise the times are of
the table's range, and exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

from apimetry.query_api.breakdown.scope import Scope
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.planning.planner import Plan
from apimetry.query_api.planning.rows_sql import Column, Conditions, partial_rows, range_parameters, seconds
from apimetry.store.rollups import HOUR_S

_SEEN = Template("""SELECT $keys, min(part.seen_us) AS first_us, max(part.seen_us) AS last_us
  FROM ($rows) AS part
  GROUP BY $keys""")
_TAG = "_seen"


@dataclass(frozen=True)
class Seen:
    """The groups of a scope, and what answers when they were seen."""

    scope: Scope
    source: Plan

    @staticmethod
    def of(scope: Scope) -> Seen:
        """Return the groups of a table with this scope."""
        everything = scope.within(0, max(scope.end, scope.now or 0))
        source = everything.plan(granularity=Granularity(HOUR_S))
        return Seen(scope, scope.plan() if source.rollup is None else source)

    @property
    def precision(self) -> str:
        """Return how exact the times are."""
        return "microsecond" if self.source.rollup is None else "hour"

    def select(self, among: str = "") -> str:
        """Return the SELECT of groups, of those alone whose hashes a SELECT `among` returns."""
        columns = (
            *self.scope.columns(self.source),
            Column("seen_us", "toUnixTimestamp64Micro(timestamp)", f"{seconds(self.source)} * 1000000"),
        )
        within = (f"{self.scope.hash} IN ({among})",) if among else ()
        conditions = Conditions((*self.scope.conditions, *within))
        return _SEEN.substitute(
            keys=", ".join(self.scope.names), rows=partial_rows(self.source, columns, conditions, tag=_TAG)
        )

    @property
    def parameters(self) -> dict[str, object]:
        """Return the values that `select` binds."""
        return {**self.scope.parameters, **range_parameters(self.source, tag=_TAG)}
