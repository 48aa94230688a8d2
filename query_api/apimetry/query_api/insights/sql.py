"""What insights ask beyond usage answers, as SQL. Pure.

`usage.sql` has the invariants.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from apimetry.query_api.planning.filters import UNMATCHED_ROUTES
from apimetry.query_api.planning.rows_sql import Column, range_parameters
from apimetry.query_api.usage.sql import RAW_MEASURES, SUMS, Scope, measures_of, rows_of
from apimetry.store.statement import Statement

_HALVES = Template("""SELECT part.half AS half, $sums
FROM ($rows) AS part
GROUP BY half""")
_CHATTY = Template("""SELECT consumer_id, route, $measures,
    uniqExact(intDiv(toUnixTimestamp64Micro(timestamp), 60000000)) AS minutes
  FROM events
  WHERE application = {application:String}
    AND timestamp >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC')
    AND timestamp < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')$conditions
    AND consumer_id IN {consumers:Array(String)} AND route NOT IN {unmatched:Array(String)}
GROUP BY consumer_id, route
HAVING requests >= {least_per_minute:UInt64} * minutes
ORDER BY requests DESC, consumer_id, route
LIMIT {row_limit:UInt64}""")


def halves(scope: Scope, middle: int) -> Statement:
    """Select rows of (half, the measures): half 0 ends at `middle`, half 1 begins there. An empty half has no row."""
    parameters, rows = scope.parameters, []
    for half, part in enumerate((scope.within(scope.start, middle), scope.within(middle, scope.end))):
        source = part.plan()
        rows.append(rows_of(part, source, Column("half", str(half), str(half)), *measures_of(source), tag=f"_{half}"))
        parameters |= range_parameters(source, tag=f"_{half}")
    return Statement(_HALVES.substitute(sums=SUMS, rows="\n  UNION ALL\n  ".join(rows)), parameters)


def chatty_consumers(scope: Scope, consumers: Sequence[str], *, least_per_minute: int, limit: int) -> Statement:
    """Select rows of (consumer, route, the measures, clock minutes with any request).

    A row is a pair of one of `consumers` and a matched route, with at least `least_per_minute` requests on average in
    its minutes with any request. The `limit` pairs with the most requests are returned. The statement reads events:
    `scope` should be short.
    """
    conditions = "".join(f"\n    AND {condition}" for condition in scope.conditions)
    sql = _CHATTY.substitute(measures=RAW_MEASURES, conditions=conditions)
    return Statement(
        sql,
        {
            **scope.parameters,
            "consumers": list(consumers),
            "unmatched": list(UNMATCHED_ROUTES),
            "least_per_minute": least_per_minute,
            "row_limit": limit,
        },
    )
