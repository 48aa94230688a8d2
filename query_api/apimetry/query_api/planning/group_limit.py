"""The groups that one statement may hold, and the refusal of a question that has more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from apimetry.serving.errors import BadRequest
from apimetry.store.errors import QueryLimitExceeded
from apimetry.store.statement import Ask, Rows, Statement

MAX_GROUPS: Final = 100_000
"""Groups that a statement may hold. A thread of the engine stops at more; two threads may hold more together."""

GROUP_LIMIT: Final[Mapping[str, int]] = {"max_rows_to_group_by": MAX_GROUPS}
"""The settings of a statement with this limit."""

# From ClickHouse's src/Common/ErrorCodes.cpp: a statement has more groups than `max_rows_to_group_by`.
_TOO_MANY_ROWS: Final = 158


def ask_for_groups(statement: Statement, ask: Ask, *, advice: str) -> Rows:
    """Return the rows of a statement with GROUP_LIMIT. Blocks while `ask` does.

    Raises:
        BadRequest: there are more than MAX_GROUPS groups; `advice` says what gives fewer of them.
    """
    rows = ask_unless_too_many(statement, ask)
    if rows is None:
        raise too_many_groups(advice)
    return rows


def ask_unless_too_many(statement: Statement, ask: Ask) -> Rows | None:
    """Return the rows of a statement, or None if it has more groups than its settings allow; blocks."""
    try:
        return ask(statement)
    except QueryLimitExceeded as error:
        if error.code != _TOO_MANY_ROWS:
            raise
    return None


def too_many_groups(advice: str) -> BadRequest:
    """Return the refusal of a question with too many groups."""
    return BadRequest(f"The answer would have more than {MAX_GROUPS:,} groups: {advice}")
