"""SQL with the values that it binds, and what runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Statement:
    """One SELECT without SETTINGS or FORMAT. Its values go as `{name:Type}` and are bound by the server."""

    sql: str
    parameters: Mapping[str, object] = field(default_factory=dict)


Rows = Sequence[tuple[Any, ...]]

Ask = Callable[[Statement], Rows]
"""Runs one statement, within its caller's limits on time and memory, and returns its rows; blocks."""
