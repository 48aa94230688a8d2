"""Look through the wrappers of an application: objects and functions that hold it, dispatchers that hold several."""

# ruff: noqa: ANN401 - objects of any kind
from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_OBJECTS: Final = 128
"""Objects that a search visits: a chain of some twenty layers with a few callable attributes in every layer."""


def find_within(app: Any, is_wanted: Callable[[Any], bool]) -> tuple[tuple[str, Any], ...]:
    """Find the wanted applications inside their wrappers.

    The search follows the callable attributes of an object, the closure of a function, the object of a method, the
    parts of a partial, and the mounts of a dispatcher.

    Returns:
        pairs of a dispatcher's prefix and the application under it; longer prefixes first, then outer ones first.
    """
    matches: list[tuple[str, Any]] = []
    waiting, known_ids = deque([("", app)]), {id(app)}
    visited = 0
    while waiting and visited < _MAX_OBJECTS:
        visited += 1
        prefix, item = waiting.popleft()
        owner = getattr(item, "__self__", item)
        if is_wanted(owner):
            matches.append((prefix, owner))
            continue
        for inner_prefix, inner in _held_by(owner):
            if id(inner) not in known_ids:
                known_ids.add(id(inner))
                waiting.append((prefix + inner_prefix, inner))
    return tuple(sorted(matches, key=lambda match: -len(match[0])))


def _held_by(item: Any) -> Iterator[tuple[str, Any]]:
    """Yield the callables that a wrapper holds, with the prefix under which a dispatcher mounts them."""
    attributes = list(getattr(item, "__dict__", {}).values())
    for held in (*_enclosed_by(item), *_parts_of(item), *attributes):
        if _is_callable(held):
            yield "", held
    for mounts in attributes:
        for prefix, mounted in list(mounts.items())[:_MAX_OBJECTS] if isinstance(mounts, dict) else ():
            if isinstance(prefix, str) and prefix.startswith("/") and _is_callable(mounted):
                yield prefix.rstrip("/"), mounted


def _enclosed_by(item: Any) -> Iterator[Any]:
    for cell in getattr(item, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # an empty cell
            yield cell.cell_contents


def _parts_of(item: Any) -> tuple[Any, ...]:
    """Return the function and the arguments of a partial."""
    arguments = getattr(item, "args", None)
    return (item.func, *arguments) if isinstance(arguments, tuple) and hasattr(item, "func") else ()


def _is_callable(item: Any) -> bool:
    return callable(item) and not isinstance(item, type)
