"""Consumers that are new, silent or failing: which rows of a table stay. Pure.

- *new*: the first request of all that is stored lies in the range.
- *silent*: at least SILENT_REQUESTS in the seven days before the end of the range, and then none for three times the
  longest gap in these days, and for an hour at least. Gaps are counted in clock hours: one from an hour with requests
  to the next hour with requests. Between neighbouring hours there is no gap. Silence begins with the end of the last
  hour with requests.
- *failing*: over FAILING_REQUESTS, an error rate over 5 %, and over twice that of all requests in the range.

New and silent are judged by all requests of a consumer, also by those that the filters leave out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from string import Template
from types import MappingProxyType
from typing import Final

from apimetry.query_api.breakdown.measures import ALWAYS_READ, PARTS
from apimetry.query_api.breakdown.scope import Scope
from apimetry.query_api.planning.filter_sql import filter_conditions
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.planning.rows_sql import Column, Conditions, partial_rows, range_parameters, seconds, weight
from apimetry.store.rollups import HOUR_S

CONSUMER: Final = ("consumer_id",)
"""The only table whose rows can be restricted so."""

SILENT_REQUESTS: Final = 50
FAILING_REQUESTS: Final = 20
_SILENT_OVER_S: Final = 7 * 86_400

# The time of silence begins with the end of an hour, as long as the row of a rollup tells no more.
_SILENT = Template("""SELECT key_0
    FROM (
      SELECT part.key_0 AS key_0, sum(part.weight) AS all_requests, max(part.until_s) AS until_s,
        arrayMax(arrayDifference(arraySort(groupUniqArray(part.hour)))) AS gap_h
      FROM ($rows) AS part
      GROUP BY key_0
      HAVING all_requests >= {silent_requests:UInt64}
        AND {silent_end_s:Int64} - until_s >= if(gap_h <= 1, 1, 3 * gap_h) * 3600
    )""")
_SEEN_BEFORE = Template("key_0 NOT IN (SELECT key_0 FROM ($rows))")
_FAILING = Template(
    "requests > {failing_requests:UInt64} AND errors * 20 > requests AND errors / requests > 2 *"
    " (SELECT sum(part.errors) / greatest(sum(part.requests), 1) FROM ($rows) AS part)"
)


@dataclass(frozen=True)
class Restriction:
    """Conditions of groups, and keys of groups that are rows without requests, too."""

    having: tuple[str, ...]
    also: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)


def _new(scope: Scope) -> Restriction:
    earlier = replace(scope, filters=(), search=None, start=0, end=scope.start)
    source = earlier.plan()
    rows = partial_rows(source, earlier.columns(source), Conditions(), tag="_earlier")
    return Restriction((_SEEN_BEFORE.substitute(rows=rows),), parameters=range_parameters(source, tag="_earlier"))


def _silent(scope: Scope) -> Restriction:
    end = min(scope.end, scope.now or scope.end)
    of_consumers = [filter_.column in CONSUMER for filter_ in scope.filters]
    conditions = [
        condition for condition, stays in zip(filter_conditions(scope.filters), of_consumers, strict=True) if stays
    ]
    days = replace(scope, filters=(), search=None, start=max(0, end - _SILENT_OVER_S), end=end)
    source = days.plan(granularity=Granularity(HOUR_S))
    columns = (
        *days.columns(source),
        weight(source),
        Column(
            "hour", "intDiv(toUnixTimestamp64Micro(timestamp), 3600000000)", f"intDiv({seconds(source)}, {HOUR_S})"
        ),
        Column("until_s", "intDiv(toUnixTimestamp64Micro(timestamp), 1000000)", f"{seconds(source)} + {HOUR_S}"),
    )
    rows = partial_rows(source, columns, Conditions((*conditions, *scope.searched)), tag="_silent")
    silent = _SILENT.substitute(rows=rows)
    parameters = {
        **range_parameters(source, tag="_silent"),
        "silent_requests": SILENT_REQUESTS,
        "silent_end_s": end,
    }
    return Restriction((f"key_0 IN ({silent})",), silent, parameters)


def _failing(scope: Scope) -> Restriction:
    everything = replace(scope, by=(), search=None)
    source = everything.plan(frozenset(ALWAYS_READ))
    columns = [
        Column(name, PARTS[name].of_event, source.rollup.column(name) if source.rollup else "")
        for name in ALWAYS_READ
    ]
    rows = partial_rows(source, columns, Conditions(filter_conditions(scope.filters)), tag="_all")
    parameters = {**range_parameters(source, tag="_all"), "failing_requests": FAILING_REQUESTS}
    return Restriction((_FAILING.substitute(rows=rows),), parameters=parameters)


RESTRICTIONS: Final[Mapping[str, Callable[[Scope], Restriction]]] = MappingProxyType(
    {"new": _new, "silent": _silent, "failing": _failing}
)
