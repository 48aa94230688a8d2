"""The types of a statement, of its rows, and of the function that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Statement:
    """One SELECT without SETTINGS or FORMAT. It names its values as `{name:Type}`, and the server binds them."""

    sql: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, int | float] = field(default_factory=dict)
    """The engine's settings for this statement alone. A limit holds where it is lower than the caller's."""
    is_live: bool = False
    """Whether it reads other tables than events and their rollups: its rows may change while no event changes."""


Rows = Sequence[tuple[Any, ...]]

Ask = Callable[[Statement], Rows]
"""Runs one statement within the caller's limits of time and memory, and returns the rows; blocks."""
