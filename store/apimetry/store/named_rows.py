"""Rows of a SELECT by the names of its columns; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def select(table: str, columns: Sequence[str]) -> str:
    """Return a SELECT of `columns` from the current rows of a table of records."""
    return f"SELECT {', '.join(columns)} FROM {table} FINAL"  # noqa: S608 - names from this package's own tuples


def named(columns: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    """Return the values of a row of `select(…, columns)` by column."""
    return dict(zip(columns, row, strict=True))
