"""Filters as conditions of a statement, on rollups and events alike. Pure.

A table must have `columns_of(filters)` (`planning.filters`). The n-th filter binds the parameter `filter_n`, so that
several filters of one field can stand in one statement.
"""

from __future__ import annotations

from collections.abc import Iterable

from apimetry.query_api.planning.filters import (
    NUMERIC_DIMENSIONS,
    STATUS_CLASS,
    AnyFilter,
    Bound,
    Contains,
    column_of,
)

_CLASS_OF_STATUS = "intDiv(status_code, 100)"


def filter_conditions(filters: Iterable[AnyFilter]) -> tuple[str, ...]:
    """Return one expression for each filter; they bind `filter_parameters` of the same filters."""
    return tuple(_condition(filter_, f"filter_{number}") for number, filter_ in enumerate(filters))


def filter_parameters(filters: Iterable[AnyFilter]) -> dict[str, object]:
    """Return the values that `filter_conditions` binds."""
    return {f"filter_{number}": _value(filter_) for number, filter_ in enumerate(filters)}


def key_of(field: str) -> str:
    """Return the expression of a field of GROUPS as text: 404 as "404", and its class as "4xx"."""
    if field == STATUS_CLASS:
        return f"concat(toString({_CLASS_OF_STATUS}), 'xx')"
    column = column_of(field)
    return f"toString({column})" if field in NUMERIC_DIMENSIONS else column


def containing(text: str, parameter: str) -> str:
    """Return the condition that the expression `text` contains a parameter, in small or capital letters."""
    # The engine's search without regard to case answers differently for constants and columns.
    return f"position(lowerUTF8({text}), lowerUTF8({{{parameter}:String}})) > 0"


def _condition(filter_: AnyFilter, name: str) -> str:
    if isinstance(filter_, Bound):
        return f"{filter_.column} {'<=' if filter_.is_upper else '>='} {{{name}:UInt64}}"
    if isinstance(filter_, Contains):
        return containing(filter_.field, name)
    is_class = filter_.field == STATUS_CLASS
    field = _CLASS_OF_STATUS if is_class else filter_.column
    element = "UInt16" if is_class or field in NUMERIC_DIMENSIONS else "String"
    return f"{field} {'NOT IN' if filter_.excludes else 'IN'} {{{name}:Array({element})}}"


def _value(filter_: AnyFilter) -> object:
    if isinstance(filter_, Bound):
        return filter_.limit
    return filter_.text if isinstance(filter_, Contains) else list(filter_.values)
