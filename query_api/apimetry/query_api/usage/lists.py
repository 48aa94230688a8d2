"""Read the sorted lists of a usage response: methods, statuses, routes and consumers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import repeat
from typing import Any, NamedTuple

from apimetry.query_api.planning.figures import Measures
from apimetry.query_api.planning.group_limit import ask_unless_too_many
from apimetry.query_api.planning.latency_buckets import whole_percentile
from apimetry.query_api.usage import lists_sql, sql
from apimetry.query_api.usage.params import Order
from apimetry.query_api.usage.response import MAX_ROWS
from apimetry.query_api.usage.sql import Dimension, Scope
from apimetry.store.statement import Ask, Rows

Group = tuple[Any, Measures]
"""The value of a dimension, and the sums over its requests."""


@dataclass(frozen=True)
class Groups:
    """The first rows of a list, and the requests of all its groups, also of groups without a row."""

    rows: tuple[Group, ...] = ()
    requests: int = 0


@dataclass(frozen=True)
class Lists:
    """The lists of one statement."""

    methods: Groups
    statuses: tuple[Group, ...]
    """All of them."""

    routes: Groups
    failed_routes: Groups
    """Sorted by failed requests. Of their measures only requests and errors are set. Not for lists by latency."""


def read_lists(scope: Scope, order: Order, ask: Ask) -> Lists:
    """Return the lists of `scope` in `order`. Blocks while `ask` does."""
    rows = ask_unless_too_many(lists_sql.every_group(scope), ask)
    if rows is None:
        return _of_first_rows(ask(lists_sql.lists(scope, order, limit=MAX_ROWS)))
    by_list: dict[str, list[Group]] = {"method": [], "status_code": [], "route": []}
    for name, method, status, route, *measures in rows:
        by_list[name].append((key_of(name, method, status, route), Measures(*measures)))
    return lists_of(by_list, order)


def lists_of(by_list: Mapping[str, list[Group]], order: Order) -> Lists:
    """Return the lists of all groups in `order`."""
    failed = [(key, _failures(measures)) for key, measures in by_list["route"] if measures.errors]
    by_requests = Order("requests", order.descending)
    return Lists(
        methods=_first_rows(by_list["method"], order),
        statuses=tuple(in_order(by_list["status_code"], order)),
        routes=_first_rows(by_list["route"], order),
        failed_routes=_first_rows(failed, by_requests),
    )


def read_failed_routes(scope: Scope, order: Order, ask: Ask) -> Groups:
    """Return the routes of failed requests, in the `order` of these requests. Blocks while `ask` does."""
    return _groups(ask(sql.groups(replace(scope, failed=True), "route", order, limit=MAX_ROWS)))


def read_consumers(scope: Scope, order: Order, ask: Ask) -> Groups:
    """Return consumers, whose measures have requests alone. Blocks while `ask` does."""
    rows = ask(sql.counted_groups(scope, "consumer_id", order, limit=MAX_ROWS))
    return Groups(tuple((key, Measures(requests)) for key, requests, *_ in rows), rows[0][-1] if rows else 0)


def read_every_consumer(scope: Scope, order: Order, ask: Ask) -> Groups:
    """Return what `read_consumers` does, with the consumers of hours that are over from memory where they are few."""
    rows = ask_unless_too_many(sql.every_consumer(scope, order), ask)
    if rows is None:
        return read_consumers(scope, order, ask)
    sums: dict[str, Sequence[int]] = {}
    for key, *figures in rows:
        known = sums.get(key)
        sums[key] = figures if known is None else [sum(pair) for pair in zip(known, figures, strict=True)]
    # Thousands of consumers: their measures are made by columns.
    columns = dict(zip(sql.counted(order), zip(*sums.values(), strict=True), strict=False))
    measures_of_all = map(Measures, *(columns.get(name, repeat(0)) for name in Measures._fields))
    every = list(zip(sums, measures_of_all, strict=False))
    first = tuple((key, Measures(measures.requests)) for key, measures in in_order(every, order)[:MAX_ROWS])
    return Groups(first, sum(measures.requests for _, measures in every))


def groups(scope: Scope, dimension: Dimension, order: Order, ask: Ask, *, limit: int = MAX_ROWS) -> list[Group]:
    """Return the first `limit` groups of requests in `order`."""
    return list(_groups(ask(sql.groups(scope, dimension, order, limit=limit))).rows)


def percentiles(scope: Scope, routes: Sequence[str], ask: Ask) -> dict[str, Sequence[int]]:
    """Return each route's latency in microseconds at each of PERCENTILES."""
    rows = ask(lists_sql.percentiles(scope, routes)) if routes else ()
    return {route: _latencies(*levels) for route, *levels in rows}


def in_order(groups: Iterable[Group], order: Order) -> list[Group]:
    """Return groups sorted as the store sorts them."""
    sign = -1 if order.descending else 1
    if order.sort == "requests":
        return sorted(groups, key=lambda group: (sign * group[1].requests, group[0]))
    return sorted(groups, key=lambda group: (sign * _weight(group[1], order), sign * group[1].requests, group[0]))


def _weight(measures: Measures, order: Order) -> Fraction | int:
    if order.sort == "latency":
        return Fraction(measures.latency_us, measures.timed or 1)
    return measures.errors if order.sort == "errors" else measures.requests


def _latencies(levels: Sequence[int], highest_us: int | None = None) -> Sequence[int]:
    """Return the microseconds at levels; with `highest_us`, these are latency buckets."""
    # Whole microseconds: the response has tenths of a millisecond.
    return levels if highest_us is None else [whole_percentile(bucket, highest_us) for bucket in levels]


def _first_rows(groups: list[Group], order: Order) -> Groups:
    first = in_order(groups, order)[:MAX_ROWS]
    return Groups(tuple(first), sum(measures.requests for _, measures in groups))


def _groups(rows: Rows) -> Groups:
    return Groups(tuple((key, Measures(*measures)) for key, *measures, _ in rows), rows[0][-1] if rows else 0)


def key_of(name: str, method: str, status: int, route: str) -> Any:  # noqa: ANN401 - a key is a text or a number
    """Return the value of the list `name` in a row."""
    return {"method": method, "status_code": status, "route": route}[name]


def _failures(measures: Measures) -> Measures:
    return Measures(measures.errors, measures.errors)


class _ListRow(NamedTuple):
    """A row of `lists_sql.lists`: a group, its places in its list, and the sums over the whole list."""

    key: Any
    measures: Measures
    place: int
    failed_place: int
    """The place by failed requests alone; 0 for a group without any."""

    list_requests: int
    list_errors: int


def _of_first_rows(rows: Rows) -> Lists:
    by_list: dict[str, list[_ListRow]] = {"method": [], "status_code": [], "route": []}
    for name, method, status, route, *measures, place, failed_place, requests, errors in rows:
        key = key_of(name, method, status, route)
        by_list[name].append(_ListRow(key, Measures(*measures), place, failed_place, requests, errors))

    def first_rows(name: str) -> Groups:
        first = [row for row in by_list[name] if row.place <= MAX_ROWS]
        return Groups(tuple((row.key, row.measures) for row in first), first[0].list_requests if first else 0)

    failed = sorted(
        (row for row in by_list["route"] if 0 < row.failed_place <= MAX_ROWS), key=lambda row: row.failed_place
    )
    return Lists(
        methods=first_rows("method"),
        statuses=tuple((row.key, row.measures) for row in by_list["status_code"]),
        routes=first_rows("route"),
        failed_routes=Groups(
            tuple((row.key, _failures(row.measures)) for row in failed),
            failed[0].list_errors if failed else 0,
        ),
    )
