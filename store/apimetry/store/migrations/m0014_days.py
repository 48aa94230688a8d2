"""Create the rollups by the day, which views fill from the rows that enter those by the hour.

The rows of a day are whole from a day on that this migration records in `whole_days`. Inserts of the version before
are not counted by the new views. An insert whose outcome is unknown comes again with a token that the new tables do
not know, so it may be counted twice. The events of all these inserts are older than the recorded day: an event is at
most a day ahead of the clock. In a database that never had an event, all days are whole.

A row of a rollup now leaves with its day, also in the tables by the hour: they keep what those by the day keep.
"""

from __future__ import annotations

from typing import Final

from apimetry.store.layout import Layout

_VALUES: Final = ("response_us", "ttfb_us", "request_bytes", "response_bytes")
_AGGREGATES: Final = {"weight": "sum", "sum": "sum", "min": "min", "max": "max"}
_COUNTED: Final = {
    "retention_days": "max",
    "requests": "sum",
    **{f"{value}_{name}": added for value in _VALUES for name, added in _AGGREGATES.items()},
}
_TOTALLED: Final = {**_COUNTED, "errors": "sum", **{f"{value}_buckets": "sumMap" for value in _VALUES}}
_CONSUMED: Final = {
    "retention_days": "max",
    "requests": "sum",
    "errors": "sum",
    "response_us_untimed": "sum",
    "response_us_sum": "sum",
    "response_us_min": "min",
    "response_us_max": "max",
    **{f"{value}_{name}": "sum" for value in ("request_bytes", "response_bytes") for name in ("weight", "sum")},
}
_TYPES: Final = {
    "application": "LowCardinality(String)",
    "dimension": "Enum8('all' = 0, 'method' = 1, 'status_code' = 2, 'route' = 3)",
    "route": "LowCardinality(String)",
    "method": "LowCardinality(String)",
    "status_code": "UInt16",
    "consumer_id": "LowCardinality(String)",
    "time": "DateTime('UTC')",
}
_ROUTE: Final = ("route", "method", "status_code")
# By table: what follows the application in its key, its measures, and the rows of a granule.
_TABLES: Final[dict[str, tuple[tuple[str, ...], dict[str, str], int]]] = {
    "totals": (("dimension", *_ROUTE, "time"), _TOTALLED, 128),
    "routes": (("time", *_ROUTE), _COUNTED, 8192),
    "consumers": (("consumer_id", "time"), _CONSUMED, 8192),
}
_UNTIMED: Final = "response_us_weight UInt64 ALIAS toUInt64(requests - response_us_untimed)"
_SINCE: Final = """INSERT INTO {table} (since) SETTINGS async_insert = 0
SELECT if((SELECT count() FROM {database}.counters) = 0, 0, greatest(
  toUnixTimestamp(toStartOfDay(now('UTC'))) + 3 * 86400,
  toUnixTimestamp(toStartOfDay((SELECT max(time) FROM {database}.hourly_totals))) + 86400
))"""
_TTL: Final = "toStartOfDay(time) + toIntervalDay(retention_days + 1)"
_HOURLY: Final = ("totals", "routes", "origins", "consumers")


def statements(layout: Layout) -> list[str]:
    """Return the statements that create the tables by the day, record which days are whole, and create the views."""
    since = "whole_days"
    return [
        *(statement for name in _TABLES for statement in _table(layout, name)),
        *layout.shared_table(since, "since UInt32", order_by="tuple()", version="since"),
        _SINCE.format(table=f"{layout.database}.{since}", database=layout.database),
        *(
            f"{layout.alter_stored(f'hourly_{name}', f'MODIFY TTL {_TTL}')} SETTINGS materialize_ttl_after_modify = 0"
            for name in _HOURLY
        ),
        *(statement for name in _TABLES for statement in _view(layout, name)),
    ]


def _table(layout: Layout, name: str) -> list[str]:
    key, measures, granule_rows = _TABLES[name]
    columns = [f"{column} {_TYPES[column]}" for column in ("application", *key)]
    columns += [
        f"{measure} SimpleAggregateFunction({_column_of(measure, added)})" for measure, added in measures.items()
    ]
    if name == "consumers":
        columns.append(_UNTIMED)
    keys = ", ".join(("application", *key))
    return layout.sharded_table(
        f"daily_{name}",
        ",\n".join(columns),
        engine="AggregatingMergeTree",
        partition_by="toMonday(time)",
        order_by=f"({keys})",
        shard_by=f"sipHash64({keys})",
        ttl=_TTL,
        settings=f"index_granularity = {granule_rows}, fsync_after_insert = 1, fsync_part_directory = 1",
    )


def _column_of(measure: str, added: str) -> str:
    if added == "sumMap":
        return "sumMap, Map(UInt16, UInt64)"
    return f"{added}, {'UInt16' if measure == 'retention_days' else 'UInt64'}"


def _view(layout: Layout, name: str) -> list[str]:
    key, measures, _ = _TABLES[name]
    # In the SELECT an alias hides the column of the same name.
    dimensions = [column for column in key if column != "time"]
    added = [f"{function}(hour.{measure}) AS {measure}" for measure, function in measures.items()]
    named = ", ".join(("application", *dimensions, "toStartOfDay(hour.time) AS time", *added))
    select = f"SELECT {named}\nFROM {{source}} AS hour\nGROUP BY {', '.join(('application', *dimensions, 'time'))}"
    return layout.view(f"daily_{name}_view", source=f"hourly_{name}", target=f"daily_{name}", select=select)
