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
    parts: Parts | None = None
    """The statements that answer the same together, in another order; None: there are none."""


@dataclass(frozen=True)
class Parts:
    """The rows of a statement in two parts: those about a range of the past, which hardly change, and the others.

    Of the statements that answer one question, all with the same range are answered by their parts, or none is.
    Together their parts have the same rows as the statements.
    """

    range: tuple[int, int]
    """`[start, end)` in seconds since the epoch: all events that the rows of `past` depend on."""

    past: Statement
    others: Statement | None
    """None: all rows are about the past."""


Rows = Sequence[tuple[Any, ...]]

Ask = Callable[[Statement], Rows]
"""Runs one statement within the caller's limits of time and memory, and returns the rows; blocks."""
