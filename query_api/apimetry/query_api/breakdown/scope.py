"""The events of a table, the columns of its keys, and the plan of what answers about them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from apimetry.query_api.planning.filter_sql import containing, filter_conditions, filter_parameters, key_of
from apimetry.query_api.planning.filters import STATUS_CLASS, AnyFilter, column_of, columns_of
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.planning.planner import Needs, Plan, plan
from apimetry.query_api.planning.rows_sql import Column, group_key

Key = tuple[str | int, ...]
"""The values of one row's dimensions, as the engine has them: 404 for a status code, 4 for its class."""

REQUESTS: Final = frozenset({"requests"})
_CLASS_OF_STATUS: Final = "intDiv(status_code, 100)"


@dataclass(frozen=True)
class Scope:
    """The events of `application` in `[start, end)` seconds that pass all filters, grouped `by` dimensions."""

    application: str
    start: int
    end: int
    by: tuple[str, ...]
    filters: tuple[AnyFilter, ...] = ()
    search: str | None = None
    now: int | None = None
    """When the query is asked, in seconds."""

    hashes: tuple[int, ...] | None = None
    """If not None: only rows whose key has one of these hashes. Keys themselves may be too long for parameters."""

    def within(self, start: int, end: int) -> Scope:
        """Return the same events in another range."""
        return replace(self, start=start, end=end)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the columns of the dimensions in rows of this scope."""
        return tuple(f"key_{number}" for number in range(len(self.by)))

    def columns(self, source: Plan) -> list[Column]:
        """Return the columns of the dimensions."""
        return [group_key(source, _expression(field), name) for field, name in zip(self.by, self.names, strict=True)]

    def plan(
        self,
        measures: frozenset[str] = REQUESTS,
        *,
        dimensions: frozenset[str] = frozenset(),
        granularity: Granularity | None = None,
        subtracts: bool = False,
        takes_minutes: bool = False,
    ) -> Plan:
        """Return what answers for these `measures`, which are columns of rollups, and for more `dimensions`."""
        needed = columns_of(self.filters) | {column_of(field) for field in self.by} | dimensions
        needs = Needs(
            needed,
            measures,
            self.start,
            self.end,
            granularity,
            subtracts=subtracts,
            now=self.now,
            takes_minutes=takes_minutes,
        )
        return plan(needs)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Return the conditions of the events, on rollups and events alike; they bind `parameters`."""
        within = () if self.hashes is None else (f"{self.hash} IN {{hashes:Array(UInt64)}}",)
        return (*filter_conditions(self.filters), *self.searched, *within)

    @property
    def hash(self) -> str:
        """Return the expression of a key's hash, in rows of rollups and events."""
        return hash_of(_expression(field) for field in self.by)

    @property
    def searched(self) -> tuple[str, ...]:
        """Return the condition of the search."""
        return () if self.search is None else (containing(key_of(self.by[0]), "search"),)

    @property
    def parameters(self) -> dict[str, object]:
        """Return the values that `conditions` bind."""
        searched = {} if self.search is None else {"search": self.search}
        hashes = {} if self.hashes is None else {"hashes": list(self.hashes)}
        return {"application": self.application, **filter_parameters(self.filters), **searched, **hashes}


def hash_of(columns: Iterable[str]) -> str:
    """Return the expression of a key's hash, which is the same on rollups and events."""
    return f"cityHash64({', '.join(columns)})"


def texts_of(by: tuple[str, ...], key: Key) -> list[str]:
    """Return the texts of a key, as in responses: 404 as "404", and its class as "4xx"."""
    return [f"{value}xx" if field == STATUS_CLASS else str(value) for field, value in zip(by, key, strict=True)]


def _expression(field: str) -> str:
    return _CLASS_OF_STATUS if field == STATUS_CLASS else column_of(field)
