"""How the command prints data: a table for people, JSON with ``--json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence


def print_rows(rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows as one JSON array, or as a table of `columns` with a heading line."""
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for line in ([column.upper() for column in columns], *cells):
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def print_record(record: Mapping[str, object], *, as_json: bool) -> None:
    """Print one record as a JSON object, or as lines of name and value."""
    if as_json:
        print(json.dumps(record, indent=2))
        return
    width = max(map(len, record), default=0)
    for name, value in record.items():
        print(f"{name.ljust(width)}  {_cell(value)}".rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
