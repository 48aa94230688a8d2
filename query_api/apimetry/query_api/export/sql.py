"""An export as SQL, and the bytes before its rows. Pure.

The server binds values; text for `$name` comes from the closed sets of `params`. Rows are stored in the order of time
and come in that order, or are read backwards. The engine sorts nothing, so its memory does not grow with the range.

The statement makes the lines of JSON, column by column: the engine's own JSONEachRow goes row by row, and takes twice
as long for the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template

from apimetry.query_api.export.params import ExportQuery
from apimetry.query_api.planning.event_fields import NULLABLE_NUMBERS
from apimetry.query_api.planning.filter_sql import filter_conditions, filter_parameters
from apimetry.store.statement import Statement
from apimetry.store.streaming import StreamFormat

_SELECT = Template("""SELECT $columns
FROM events
WHERE application = {application:String}
  AND timestamp >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC')
  AND timestamp < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')$conditions
ORDER BY timestamp$direction$limit""")
_FORMS: dict[str, StreamFormat] = {"ndjson": "RawBLOB", "csv": "CSV", "parquet": "Parquet"}
# Seconds with microseconds, as an exact decimal number. The collector reads it back to the microsecond.
_SECONDS = "toDecimal64(timestamp, 6)"
_NUMBERS = frozenset({"status_code", "sample_weight"})
_DATA_AS_JSON = """concat('{', arrayStringConcat(arrayMap((name, text) -> concat(toJSONString(name), ':',
    toJSONString(text)), mapKeys(data), mapValues(data)), ','), '}')"""

# Numbers are never negative, and the JSON of `data` begins with a brace.
_NO_FORMULAS = _NUMBERS | NULLABLE_NUMBERS | {"timestamp", "data"}
# The beginning of a formula, also in full-width characters, after spaces and quotes that a spreadsheet may remove;
# and a tab or a line feed, which begins another cell. Alternatives instead of a class, because they also match bytes.
_SKIPPED = "|".join(("\\s", "\\x00", "\\x0b", *"\"'`", *"\u00a0\u3000\ufeff\u2018\u2019\u201c\u201d"))
_BEGINS = "|".join(("=", "\\+", "-", "@", *"\uff1d\uff0b\uff0d\uff20\u2212"))
_FORMULA = f"^(?:{_SKIPPED})*(?:{_BEGINS})|^[\\t\\r\\n]"
_AS_THEY_ARE: Mapping[str, str] = {}


@dataclass(frozen=True)
class Export:
    """A statement for the store's `stream`, the format of its rows, and the bytes before them."""

    statement: Statement
    form: StreamFormat
    heading: bytes


def make_export(query: ExportQuery, application: str) -> Export:
    """Return the export of `query` about `application`."""
    csv_columns = _spreadsheet_columns if query.csv == "spreadsheet" else _csv_columns
    columns = {"ndjson": _line, "csv": csv_columns, "parquet": ", ".join}[query.format](query.fields)
    conditions = "".join(f"\n  AND {condition}" for condition in filter_conditions(query.filters))
    sql = _SELECT.substitute(
        columns=columns,
        conditions=conditions,
        direction=" DESC" if query.newest_first else "",
        limit="" if query.limit is None else "\nLIMIT {limit:UInt64}",
    )
    parameters: dict[str, object] = {
        "application": application,
        "start_us": query.start * 1_000_000,
        "end_us": query.end * 1_000_000,
        **filter_parameters(query.filters),
    }
    if query.csv == "spreadsheet":
        parameters["formula"] = _FORMULA
    if query.limit is not None:
        parameters["limit"] = query.limit
    return Export(
        Statement(sql, parameters),
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
    if name in NULLABLE_NUMBERS:
        return f"ifNull(toString({name}), 'null')"
    return f"toString({name})" if name in _NUMBERS else f"toJSONString({name})"


def _spreadsheet_columns(fields: Sequence[str]) -> str:
    """Return the columns, with an apostrophe before each text that looks like a formula to a spreadsheet."""
    texts = [name for name in fields if name not in _NO_FORMULAS]
    hardened = {name: f"if(match({name}, {{formula:String}}), concat('\\'', {name}), {name})" for name in texts}
    return _csv_columns(fields, hardened)


def _csv_columns(fields: Sequence[str], texts: Mapping[str, str] = _AS_THEY_ARE) -> str:
    special = {"timestamp": _SECONDS, "data": _DATA_AS_JSON, **texts}
    columns = [special.get(name, name) for name in fields]
    # The store knows a complete CSV by the quotes of its last column.
    columns[-1] = f"ifNull(toString({columns[-1]}), '')"
    return ", ".join(columns)
