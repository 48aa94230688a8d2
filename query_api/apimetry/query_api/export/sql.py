"""An export as SQL, and what stands around its rows. Pure.

Values are bound by the server; what is spliced into the text comes from the closed sets of `params`. Rows come in the
order of time, which is how they lie: nothing is sorted, so memory does not grow with the range.

Lines of JSON are made by the statement, column by column: the engine's own JSONEachRow, which goes row by row, takes
twice as long for the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template

from apimetry.query_api.export.params import ExportQuery
from apimetry.query_api.planning.rows_sql import filter_condition, filter_name
from apimetry.store.statement import Statement
from apimetry.store.streaming import StreamFormat

_SELECT = Template("""SELECT $columns
FROM events
WHERE application = {application:String}
  AND timestamp >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC')
  AND timestamp < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')$conditions
ORDER BY timestamp""")
_FORMS: dict[str, StreamFormat] = {"ndjson": "RawBLOB", "csv": "CSV", "parquet": "Parquet"}
# Seconds with microseconds, as a number that is written exactly: a float of ours is read back to the microsecond.
_SECONDS = "toDecimal64(timestamp, 6)"
_NUMBERS = frozenset({"status_code", "sample_weight"})
_NULLABLE_NUMBERS = frozenset({"response_us", "ttfb_us", "request_bytes", "response_bytes"})
_DATA_AS_JSON = """concat('{', arrayStringConcat(arrayMap((name, text) -> concat(toJSONString(name), ':',
    toJSONString(text)), mapKeys(data), mapValues(data)), ','), '}')"""

# Numbers are never negative, and the JSON of `data` begins with a brace.
_NO_FORMULAS = _NUMBERS | _NULLABLE_NUMBERS | {"timestamp", "data"}
# How a formula begins, also in its full-width forms, after spaces and quotes that a spreadsheet may take away; and a
# tab or a line feed, which would begin another cell. Alternatives instead of a class: they hold for bytes, too.
_SKIPPED = "|".join(("\\s", "\\x00", "\\x0b", *"\"'`", *"\u00a0\u3000\ufeff\u2018\u2019\u201c\u201d"))
_BEGINS = "|".join(("=", "\\+", "-", "@", *"\uff1d\uff0b\uff0d\uff20\u2212"))
_FORMULA = f"^(?:{_SKIPPED})*(?:{_BEGINS})|^[\\t\\r\\n]"
_AS_THEY_ARE: Mapping[str, str] = {}


@dataclass(frozen=True)
class Export:
    """A statement of the store's `stream`, the form of its rows, and the bytes that come before them."""

    statement: Statement
    form: StreamFormat
    heading: bytes


def make_export(query: ExportQuery, application: str) -> Export:
    """Return what to ask about `application`."""
    csv_columns = _spreadsheet_columns if query.csv == "spreadsheet" else _csv_columns
    columns = {"ndjson": _line, "csv": csv_columns, "parquet": ", ".join}[query.format](query.fields)
    conditions = "".join(f"\n  AND {filter_condition(filter_)}" for filter_ in query.filters)
    parameters = {
        "application": application,
        "start_us": query.start * 1_000_000,
        "end_us": query.end * 1_000_000,
        **{filter_name(filter_): list(filter_.values) for filter_ in query.filters},
    }
    if query.csv == "spreadsheet":
        parameters["formula"] = _FORMULA
    return Export(
        Statement(_SELECT.substitute(columns=columns, conditions=conditions), parameters),
        _FORMS[query.format],
        f"{','.join(query.fields)}\n".encode() if query.format == "csv" else b"",
    )


def _line(fields: Sequence[str]) -> str:
    members = ", ',".join(f'"{name}":\', {_json(name)}' for name in fields)
    return f"concat('{{{members}, '}}\n') AS line"


def _json(name: str) -> str:
    if name == "timestamp":
        return f"toString({_SECONDS})"
    if name == "data":
        return _DATA_AS_JSON
    if name in _NULLABLE_NUMBERS:
        return f"ifNull(toString({name}), 'null')"
    return f"toString({name})" if name in _NUMBERS else f"toJSONString({name})"


def _spreadsheet_columns(fields: Sequence[str]) -> str:
    """Return the columns with an apostrophe before each text that a spreadsheet would take for a formula."""
    texts = [name for name in fields if name not in _NO_FORMULAS]
    hardened = {name: f"if(match({name}, {{formula:String}}), concat('\\'', {name}), {name})" for name in texts}
    return _csv_columns(fields, hardened)


def _csv_columns(fields: Sequence[str], texts: Mapping[str, str] = _AS_THEY_ARE) -> str:
    special = {"timestamp": _SECONDS, "data": _DATA_AS_JSON, **texts}
    columns = [special.get(name, name) for name in fields]
    # The store tells a whole CSV by its last column's quotes.
    columns[-1] = f"ifNull(toString({columns[-1]}), '')"
    return ", ".join(columns)
