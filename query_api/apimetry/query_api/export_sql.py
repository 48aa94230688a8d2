"""An export as SQL, and what stands around its rows. Pure.

Values are bound by the server; what is spliced into the text comes from the closed sets of `params`. Rows come in the
order of time, which is how they lie: nothing is sorted, so memory does not grow with the range.
"""

from __future__ import annotations

from dataclasses import dataclass

from apimetry.query_api.export_params import ExportQuery
from apimetry.query_api.params import NUMERIC_DIMENSIONS, Filter
from apimetry.store.streaming import StreamFormat

# `events.` everywhere: a bare name would mean the SELECT's alias, where it has one.
_SELECT = """SELECT {columns}
FROM events
WHERE events.application = {{application:String}}
  AND events.timestamp >= fromUnixTimestamp64Micro({{start_us:Int64}}, 'UTC')
  AND events.timestamp < fromUnixTimestamp64Micro({{end_us:Int64}}, 'UTC'){conditions}
ORDER BY events.timestamp"""
_FORMS: dict[str, StreamFormat] = {"ndjson": "JSONEachRow", "csv": "CSV", "parquet": "Parquet"}
# Seconds with microseconds, as a number that is written exactly: a float of ours is read back to the microsecond.
_SECONDS = "toDecimal64(events.timestamp, 6)"


@dataclass(frozen=True)
class Export:
    """A statement of the store's `stream`, and the bytes that come before its rows."""

    sql: str
    form: StreamFormat
    parameters: dict[str, object]
    heading: bytes


def make_export(query: ExportQuery, application: str) -> Export:
    """Return what to ask about `application`."""
    columns = [f"{_column(name, query.format)} AS {name}" for name in query.fields]
    if query.format == "csv":
        # The store tells a whole CSV by its last column's quotes.
        last = query.fields[-1]
        columns[-1] = f"ifNull(toString({_column(last, query.format)}), '') AS {last}"
    return Export(
        _SELECT.format(columns=", ".join(columns), conditions="".join(map(_condition, query.filters))),
        _FORMS[query.format],
        {
            "application": application,
            "start_us": query.start * 1_000_000,
            "end_us": query.end * 1_000_000,
            **{_name(each): list(each.values) for each in query.filters},
        },
        f"{','.join(query.fields)}\n".encode() if query.format == "csv" else b"",
    )


def _column(name: str, form: str) -> str:
    if name == "timestamp" and form != "parquet":
        return _SECONDS
    if name == "data" and form == "csv":
        return "toJSONString(events.data)"
    return f"events.{name}"


def _name(each: Filter) -> str:
    return f"{'exclude' if each.excludes else 'include'}_{each.field}"


def _condition(each: Filter) -> str:
    element = "UInt16" if each.field in NUMERIC_DIMENSIONS else "String"
    operator = "NOT IN" if each.excludes else "IN"
    return f"\n  AND events.{each.field} {operator} {{{_name(each)}:Array({element})}}"
