"""Print data: a table for people, JSON with ``--json``.

Foreign text (URLs, names, file names, responses of services) goes through `printable`, so that it cannot control the
terminal.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence

import click

_REPLACEMENT = "�"


def printable(text: str) -> str:
    """Replace every character that could control a terminal; line breaks and tabs stay."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else _REPLACEMENT for letter in text)


def one_line(text: str) -> str:
    """Replace every character that could control a terminal, line breaks and tabs too."""
    return "".join(letter if letter.isprintable() else _REPLACEMENT for letter in text)


def say(text: str) -> None:
    """Print text for people."""
    click.echo(printable(text))


def note(text: str) -> None:
    """Print progress and remarks to standard error, apart from the data."""
    click.echo(printable(text), err=True)


def warn(text: str) -> None:
    """Print a warning to standard error."""
    note(f"Warning: {text}")


def print_json(content: object) -> None:
    """Print JSON in ASCII; other characters are escaped."""
    print(json.dumps(content, indent=2))


def print_rows(rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows as one JSON array, or as a table of `columns` with a heading line.

    A table that is wider than the terminal would break ids. It is printed as records, one below the other.
    """
    if as_json:
        print_json(rows)
        return
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    headings = [column.upper() for column in columns]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    if sys.stdout.isatty() and sum(widths) + 2 * (len(widths) - 1) > shutil.get_terminal_size().columns:
        print("\n\n".join(_lines(dict(zip(columns, row, strict=True))) for row in cells))
        return
    for line in (headings, *cells):
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def print_record(record: Mapping[str, object], *, as_json: bool) -> None:
    """Print one record as a JSON object, or as lines of name and value."""
    if as_json:
        print_json(record)
    else:
        print(_lines({name: _cell(value) for name, value in record.items()}))


def _lines(record: Mapping[str, str]) -> str:
    width = max(map(len, record), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}".rstrip() for name, value in record.items())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return one_line(json.dumps(value) if isinstance(value, bool | dict | list) else str(value))
