"""The limits of a query: time, memory and size of the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from apimetry.store.errors import StoreRejected
from apimetry.store.statement import Statement

QUERY_LIMITS: Final[Mapping[str, int]] = {
    "max_execution_time": 30,
    "max_memory_usage": 4 * 1024**3,
    "max_result_rows": 1_000_000,
    "max_result_bytes": 512 * 1024**2,
}
"""The most that one query may use: seconds, bytes, rows, bytes. A caller may lower a limit, never raise it."""

_OVERFLOW: Final[Mapping[str, object]] = {
    "timeout_overflow_mode": "throw",
    "result_overflow_mode": "throw",
    "group_by_overflow_mode": "throw",
}
# The engine compiles an expression when it sees the expression again. Compiling takes several milliseconds for every
# new value in the expression, and queries over a hundred million rows did not become faster.
_INTERPRETED: Final[Mapping[str, object]] = {"compile_expressions": 0, "compile_aggregate_expressions": 0}


def query_settings(settings: Mapping[str, object] | None) -> dict[str, object]:
    """Return the settings of one query: QUERY_LIMITS, and the caller's `settings` over them.

    Raises StoreRejected for a limit above that of QUERY_LIMITS, and for an overflow mode.
    """
    merged: dict[str, object] = {**QUERY_LIMITS, **_OVERFLOW, **_INTERPRETED}
    for name, value in (settings or {}).items():
        limit = QUERY_LIMITS.get(name)
        if limit is None:
            if name in _OVERFLOW:
                raise StoreRejected(
                    f"{name} is fixed: a query over its limit is an error, never a part of the answer"
                )
            merged[name] = value
        elif isinstance(value, (int, float)) and 0 < value <= limit:
            merged[name] = value
        else:
            raise StoreRejected(f"{name} may be above 0 and at most {limit}")
    return merged


def statement_settings(settings: Mapping[str, object] | None, statement: Statement) -> dict[str, object]:
    """Return the caller's `settings` and the statement's own; of two limits the lower one holds."""
    merged = dict(settings or {})
    for name, value in statement.settings.items():
        limit = merged.get(name, QUERY_LIMITS.get(name))
        is_lower = name in QUERY_LIMITS and isinstance(limit, (int, float)) and limit <= value
        merged[name] = limit if is_lower else value
    return merged
