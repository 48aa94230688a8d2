"""What stands between us and an application: objects and functions that hold it, dispatchers that hold several."""

# ruff: noqa: ANN401  # objects of any kind
from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_LOOKED_AT: Final = 128
"""Objects that are looked at: a chain of some twenty layers, each with a few attributes that can be called."""


def find_within(app: Any, is_wanted: Callable[[Any], bool]) -> tuple[tuple[str, Any], ...]:
    """Find the applications that are wanted in what wraps them; the outermost first.

    Followed are the callable attributes of an object, what a function closes over, the object of a method, the parts
    of a partial, and the mounts of a dispatcher.

    Returns:
        each with the prefix under which a dispatcher has it; longer prefixes first.
    """
    found: list[tuple[str, Any]] = []
    waiting, seen = deque([("", app)]), {id(app)}
    looked_at = 0
    while waiting and looked_at < _MAX_LOOKED_AT:
        looked_at += 1
        prefix, item = waiting.popleft()
        owner = getattr(item, "__self__", item)
        if is_wanted(owner):
            found.append((prefix, owner))
            continue
        for inner_prefix, inner in _held_by(owner):
            if id(inner) not in seen:
                seen.add(id(inner))
                waiting.append((prefix + inner_prefix, inner))
    return tuple(sorted(found, key=lambda each: -len(each[0])))


def _held_by(item: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a wrapper holds and can be called, with the prefix a dispatcher has it under."""
    attributes = list(getattr(item, "__dict__", {}).values())
    for held in (*_enclosed_by(item), *_parts_of(item), *attributes):
        if _is_callable(held):
            yield "", held
    for mounts in attributes:
        for prefix, mounted in list(mounts.items())[:_MAX_LOOKED_AT] if isinstance(mounts, dict) else ():
            if isinstance(prefix, str) and prefix.startswith("/") and _is_callable(mounted):
                yield prefix.rstrip("/"), mounted


def _enclosed_by(item: Any) -> Iterator[Any]:
    for cell in getattr(item, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # not filled yet
            yield cell.cell_contents


def _parts_of(item: Any) -> tuple[Any, ...]:
    """Return the function and the arguments of a partial."""
    arguments = getattr(item, "args", None)
    return (item.func, *arguments) if isinstance(arguments, tuple) and hasattr(item, "func") else ()


def _is_callable(item: Any) -> bool:
    return callable(item) and not isinstance(item, type)
